"""Vehicle re-identification with Embedding Adversarial Learning, as a plugin of torchreid.

Importing it registers the vehicle datasets, the networks and the engine with torchreid and puts the exact, fast
ranking into torchreid's slot for a compiled one. Importing it again, or reloading it, changes nothing.
"""

import os

# torch's threads wait for each other by spinning, for milliseconds. Where another process wants the same cores that
# makes a training step dozens of times slower; this much is enough on a quiet machine (RESULTS.md, "Threads on a
# busy machine"). It is read when torch is first imported, and what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from ealn_plugin import (
    schemes,  # noqa: E402
    toolkit,  # noqa: E402
)
from ealn_plugin.data import (
    DATASETS,  # noqa: E402
    VehicleID,  # noqa: E402
    VehicleID13164,  # noqa: E402
    VehicleIDLarge,  # noqa: E402
    VehicleIDMedium,  # noqa: E402
    VeRi776,  # noqa: E402
    View,  # noqa: E402
)
from ealn_plugin.engine.ealn import EALNEngine  # noqa: E402
from ealn_plugin.evaluation.ranking import fast_ranking  # noqa: E402
from ealn_plugin.inference.extractor import (
    Extracted,  # noqa: E402
    FeatureExtractor,  # noqa: E402
)
from ealn_plugin.models import (
    patchgan_70,  # noqa: E402
    resnet_generator_9blocks,  # noqa: E402
    resnet_small,  # noqa: E402
    vgg_cnn_m_1024,  # noqa: E402
)

__version__ = "0.1.0"
__all__ = [
    "EALNEngine",
    "Extracted",
    "FeatureExtractor",
    "VeRi776",
    "VehicleID",
    "VehicleID13164",
    "VehicleIDLarge",
    "VehicleIDMedium",
    "View",
    "fast_ranking",
    "schemes",
]

for _name, _dataset in DATASETS.items():
    toolkit.register_dataset(_name, _dataset)
for _factory in (vgg_cnn_m_1024, resnet_small, resnet_generator_9blocks, patchgan_70):
    toolkit.register_model(_factory.__name__, _factory)
toolkit.register_engine(EALNEngine)
fast_ranking(True)
