"""Stand-in releases: real file names, lists and quirks, images of a few pixels."""

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data import APPEARANCE, DATASETS, VIEWPOINTS
from tests.helpers.releases import VEHICLEID_TEST, VEHICLEID_TRAIN, VERI, VERI_LISTS, jpeg


@pytest.fixture
def make_veri(tmp_path):
    """Return a function that makes root/<name> in VeRI-776's layout and returns that folder."""

    def make(name="VeRi", lists=False):
        folder = tmp_path / name
        for split, images in VERI.items():
            (folder / split).mkdir(parents=True)
            for number, image in enumerate(images):
                (folder / split / image).write_bytes(jpeg(20 * number))
            if lists:
                (folder / VERI_LISTS[split]).write_bytes("".join(f"{image}\r\n" for image in images).encode())
        return folder

    return make


@pytest.fixture
def make_vehicleid(tmp_path):
    """Return a function that makes root/<name> in VehicleID's layout and returns that folder."""

    def make(name="VehicleID_V1.0", test_list="test_list_800", newline="\n"):
        folder = tmp_path / name
        (folder / "image").mkdir(parents=True)
        (folder / "train_test_split").mkdir()
        for number, image in enumerate([*VEHICLEID_TRAIN, *VEHICLEID_TEST]):
            (folder / "image" / f"{image}.jpg").write_bytes(jpeg(20 * number))
        for list_name, vehicles in (("train_list", VEHICLEID_TRAIN), (test_list, VEHICLEID_TEST)):
            text = "".join(f"{image} {vehicle}{newline}" for image, vehicle in vehicles.items())
            (folder / "train_test_split" / f"{list_name}.txt").write_bytes(text.encode())
        return folder

    return make


@pytest.fixture
def data_manager():
    """Return a function that builds torchreid's data manager on one of our datasets."""
    for name, dataset in DATASETS.items():
        toolkit.register_dataset(name, dataset)

    def build(root, name, **options):
        return toolkit.torchreid.data.ImageDataManager(
            root=str(root),
            sources=name,
            height=16,
            width=16,
            batch_size_train=2,
            batch_size_test=2,
            workers=0,
            use_gpu=False,
            **options,
        )

    return build


@pytest.fixture(autouse=True)
def fresh_tables():
    """Empty the process-wide tables around every test."""
    VIEWPOINTS.clear()
    APPEARANCE.clear()
    yield
    VIEWPOINTS.clear()
    APPEARANCE.clear()
