"""Small stand-ins for data, networks and engines, for tests of everything that needs them."""

import numpy as np
import torch
from PIL import Image

from ealn_plugin import EALNEngine, schemes, toolkit
from ealn_plugin import config as configuration
from ealn_plugin.data import synthetic
from ealn_plugin.data.viewpoints import View, write_viewpoints_csv
from ealn_plugin.models import (
    CodeClassifier,
    CrossViewDecoder,
    EditingGenerator,
    PatchGAN,
    ReconstructingGenerator,
    ResnetGenerator,
    SmallResNet,
    StarGANDiscriminator,
    StarGANGenerator,
    VehicleDiscriminator,
    VehicleEncoder,
)
from ealn_plugin.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ealn_plugin.models.multi_view import FeatureDiscriminator, MultiViewNetwork, RealMultiViewNetwork
from ealn_plugin.runs import train as training


def make_veri_folder(root, train=6, test=4, cameras=3, views=("front", "rear"), size=40):
    """A stand-in VeRI-776 folder: one plain colour per vehicle with noise, one image per camera and view."""
    folder = root / "VeRi"
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 226, (train + test, 3))
    labels = {}
    for split in ("train", "query", "test"):
        (folder / f"image_{split}").mkdir(parents=True)
    for vehicle in range(1, train + test + 1):
        for camera in range(1, cameras + 1):
            for number, view in enumerate(views):
                name = f"{vehicle:04d}_c{camera:03d}_{camera * 100 + number:08d}_{number}.jpg"
                pixels = colours[vehicle - 1] + rng.integers(-30, 31, (size, size, 3))
                pixels[: size // 4 if view == "front" else 0] = 255
                splits = ["train"] if vehicle <= train else ["test"] + (["query"] if camera == 1 else [])
                for split in splits:
                    path = folder / f"image_{split}" / name
                    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=95)
                    labels[f"image_{split}/{name}"] = (View[view.upper()], 1.0)
    write_viewpoints_csv(folder / "viewpoints.csv", labels)
    return root


def render_small(root, lookalikes=0):
    """A rendered VeRI-776 of 6 training and 4 test vehicles at 40 pixels; returns ``root``."""
    counts = dict(train_vehicles=6, train_images=30, train_tracks=14, test_vehicles=4, test_images=16, test_tracks=9)
    preset = synthetic.Preset(**counts, cameras=4, models=7, image_size=40)
    folder = synthetic.render_dataset(root, "veri776", preset, 1, processes=1, progress=False)
    if lookalikes:
        synthetic.add_companions(folder, lookalikes, 1, progress=False)
    return root


def small_schemes(names=("hard", "view"), residual=True, **options):
    """Schemes with networks of a few hundred parameters, StarGAN's and XVGAN's for 32 x 32 pixels."""
    small = dict(filters=4, blocks=1, residual=residual)

    def generator():
        return ResnetGenerator(**small)

    def discriminator():
        return PatchGAN(filters=4, layers=1)

    def hard():
        return ReconstructingGenerator(**small) if options.get("reconstructions") else generator()

    def four():
        return generator(), generator(), discriminator(), discriminator()

    made = {
        "hard": lambda: schemes.HardNegativeScheme(hard(), discriminator(), **options),
        "view": lambda: schemes.CrossViewScheme(*four(), **options),
        "cyclegan": lambda: schemes.CycleGANScheme(*four(), **options),
        "stargan": lambda: schemes.StarGANScheme(
            StarGANGenerator(**small), StarGANDiscriminator((32, 32), filters=2), **options
        ),
        "xvgan": lambda: schemes.XVGANScheme(
            VehicleEncoder(2, hidden=16),
            CodeClassifier(32),
            CrossViewDecoder((32, 32), filters=2),
            VehicleDiscriminator((32, 32), 32, filters=2),
            **options,
        ),
        "vami": lambda: schemes.VAMIScheme(RealMultiViewNetwork(), FeatureDiscriminator(32), **options),
        "mix": lambda: schemes.MixedNegativesScheme(**options),
        "edit": lambda: schemes.EditingScheme(EditingGenerator(2), PatchGAN(4, filters=4, layers=1), **options),
        "paste": lambda: schemes.PastedRegionsScheme(**options),
        "perturb": lambda: schemes.PerturbedCopiesScheme(**options),
        "true_view": lambda: schemes.TrueOtherViewsScheme(**options),
        "truth": lambda: schemes.TrueHardNegativesScheme(**options),
        "hdc": lambda: schemes.CascadeScheme(**options),
        "gste": lambda: schemes.GroupSensitiveScheme(**options),
        "lsro": lambda: schemes.UnlabelledImagesScheme(
            DCGANGenerator((32, 32), noise=5, filters=2), DCGANDiscriminator((32, 32), filters=2), **options
        ),
    }
    return [made[name]() for name in names]


def build_engine(datamanager, names=("hard", "view"), seed=1, scheme_options=None, backbone="", adam=False, **options):
    """An EALNEngine, on the CPU unless asked otherwise, from fixed initial weights.

    Args:
        backbone: one of torchreid's, such as 'osnet_x0_25'; empty: ``TinyBackbone``, or for the scheme vami its
            network around a small one.
        adam: Adam for it, at the rate of the configurations, instead of SGD with momentum.
    """
    torch.manual_seed(seed)
    classes = datamanager.num_train_pids
    if backbone:
        model = toolkit.build_model(backbone, classes, use_gpu=False)
    else:
        model = MultiViewNetwork(SmallResNet(1, width=16), classes) if "vami" in names else TinyBackbone(classes)
    optimizer = (
        torch.optim.Adam(model.parameters(), lr=0.0003)
        if adam
        else torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    )
    options = {"use_gpu": False, **options}
    return EALNEngine(
        datamanager, model, optimizer, schemes=small_schemes(names, **(scheme_options or {})), seed=seed, **options
    )


def build_datamanager(root, **options):
    """An ImageDataManager with small defaults."""
    settings = dict(
        root=str(root),
        sources="veri776",
        height=32,
        width=32,
        batch_size_train=8,
        batch_size_test=16,
        workers=0,
        num_instances=2,
        train_sampler="RandomIdentitySampler",
        use_gpu=False,
    )
    return toolkit.build_datamanager(**{**settings, **options})


def train_run(folder, root, scheme="hard_view", options=()):
    """A run folder as tools/train_ealn.py leaves it, after one epoch of small networks on ``root``'s VeRI-776."""
    training.train(
        configuration.load_config(
            "",
            [
                "data.root",
                str(root),
                "data.save_dir",
                str(folder),
                "data.height",
                32,
                "data.width",
                32,
                "data.workers",
                0,
                "model.name",
                "squeezenet1_1",
                "model.pretrained",
                False,
                "use_gpu",
                False,
                "train.max_epoch",
                1,
                "train.batch_size",
                8,
                "sampler.num_instances",
                2,
                "test.batch_size",
                16,
                "ealn.scheme",
                scheme,
                "ealn.generator.filters",
                4,
                "ealn.generator.blocks",
                1,
                "ealn.discriminator.filters",
                4,
                "ealn.discriminator.layers",
                1,
                "ealn.sample_every",
                0,
                "ealn.diagnose_every",
                0,
                "ealn.test_untrained",
                False,
                *options,
            ],
        ),
        progress=False,
    )
    return folder


class TinyBackbone(torch.nn.Module):
    """A single-branch backbone that keeps torchreid's contract, with both kinds of batch normalization."""

    def __init__(self, num_classes, dim=8):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 5, stride=4)
        self.norm = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, dim)
        self.fc_norm = torch.nn.BatchNorm1d(dim)
        self.classifier = torch.nn.Linear(dim, num_classes)

    def forward(self, images):
        x = torch.relu(self.norm(self.conv(images))).mean((2, 3))
        features = self.fc_norm(self.fc(x))
        return (self.classifier(features), features) if self.training else features


def use_tiny_backbone(patch, *names):
    """Have torchreid build ``TinyBackbone`` under these names of models; ``patch``: a pytest.MonkeyPatch."""
    for name in names:
        patch.setitem(toolkit._model_factory(), name, lambda num_classes, **_: TinyBackbone(num_classes))


def clustered(count, dim=16, clusters=40, seed=0, spread=0.5):
    """L2-normalised float32 vectors [count, dim] around some centres, as the images of vehicles are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, count)] + spread * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def build_index(folder, vectors, first=0, **options):
    """An index of /gallery/<row>.jpg from vectors, added in pieces of 30; a second call adds to it."""
    from ealn_plugin.search import IndexWriter, Records  # here: most tests need no search

    options = {"identity": {"weights": "a"}, "segment": 64, **options}
    rows = np.arange(first, first + len(vectors))
    with IndexWriter(folder, vectors.shape[1], **options) as writer:
        writer.add(
            (
                Records(
                    [f"/gallery/{row}.jpg" for row in rows[part : part + 30]],
                    rows[part : part + 30] // 4,
                    rows[part : part + 30] % 3,
                    rows[part : part + 30] % 4 - 1,
                ),
                vectors[part : part + 30],
            )
            for part in range(0, len(vectors), 30)
        )
        writer.finish()
        return writer.manifest
