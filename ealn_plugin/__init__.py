"""Vehicle re-identification with Embedding Adversarial Learning, as a plugin of torchreid.

Importing it registers the vehicle datasets, the networks and the engine with torchreid and puts the exact, fast
ranking into torchreid's slot for a compiled one. Importing it again, or reloading it, changes nothing.
"""

import os
import sys

# torch's threads wait for each other by spinning, for milliseconds. Where another process wants the same cores that
# makes a training step dozens of times slower; this much is enough on a quiet machine (RESULTS.md, "Threads on a
# busy machine"). It is read when torch is first imported, and what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

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

# A command line puts all this off until its arguments are known to be good (tools/ealn_cli, system/entrances.py).
if not getattr(sys.modules.get("ealn_cli"), "deferred", False):
    from ealn_plugin import schemes, toolkit
    from ealn_plugin.data import DATASETS, VehicleID, VehicleID13164, VehicleIDLarge, VehicleIDMedium, VeRi776, View
    from ealn_plugin.engine.ealn import EALNEngine
    from ealn_plugin.evaluation.ranking import fast_ranking
    from ealn_plugin.inference.extractor import Extracted, FeatureExtractor
    from ealn_plugin.models import patchgan_70, resnet_generator_9blocks, resnet_small, timm_backbone, vgg_cnn_m_1024
    from ealn_plugin.runs import compared_networks

    for _name, _dataset in DATASETS.items():
        toolkit.register_dataset(_name, _dataset)
    for _factory in (vgg_cnn_m_1024, resnet_small, resnet_generator_9blocks, patchgan_70):
        toolkit.register_model(_factory.__name__, _factory)
    toolkit.register_model_family(timm_backbone.PREFIX, timm_backbone.build_timm, timm_backbone.check_timm_name)
    compared_networks.register_families()
    toolkit.register_engine(EALNEngine)
    fast_ranking(True)
