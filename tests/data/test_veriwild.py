"""VERI-Wild: a made-up folder in the layout of the release, compared with plain code that reads the same files."""

import os
import random

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data import VeriWild, VeriWildLarge, VeriWildMedium
from ealn_plugin.data.veriwild import read_cameras
from tests.helpers.releases import jpeg

LISTS = {"train_list": 8, "test_3000": 3, "test_5000": 5, "test_10000": 6}
NAMES = {
    "veriwild": VeriWild,
    "veriwild_small": VeriWild,
    "veriwild_medium": VeriWildMedium,
    "veriwild_large": VeriWildLarge,
}


@pytest.fixture
def release(tmp_path):
    """Vehicles 1 to 14 with two to four images from different cameras; the last six are tested on."""
    draw, folder, number = random.Random(0), tmp_path / "VERI-Wild", 0
    (folder / "train_test_split").mkdir(parents=True)
    info, images = ["id/image;Camera ID;Time;Model;Type;Color"], {}
    for vehicle in range(1, 15):
        (folder / "images" / f"{vehicle:05}").mkdir(parents=True)
        for camera in draw.sample(range(1, 175), 2 + vehicle % 3):
            number += 1
            name = f"{vehicle:05}/{number:06}"
            (folder / "images" / f"{name}.jpg").write_bytes(jpeg(number))
            info.append(f"{name};{camera};2018-03-{vehicle:02} 05:09:50;大众/朗逸;轿车;黑色")
            images.setdefault(vehicle, []).append(name)
    (folder / "train_test_split" / "vehicle_info.txt").write_bytes("\r\n".join(info).encode("gb18030"))
    lists = {"train_list": [name for vehicle in range(1, 9) for name in images[vehicle]]}
    for test, count in list(LISTS.items())[1:]:
        vehicles = range(9, 9 + count)
        lists[f"{test}_query"] = [images[vehicle][0] for vehicle in vehicles]
        lists[test] = [name for vehicle in vehicles for name in images[vehicle][1:]]
    for name, lines in lists.items():
        (folder / "train_test_split" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def naive(folder, name):
    """[(path, vehicle, camera)] by plain splitting of lines."""
    lines = (folder / "train_test_split" / "vehicle_info.txt").read_bytes().decode("gb18030").splitlines()[1:]
    cameras = {line.split(";")[0]: int(line.split(";")[1]) - 1 for line in lines}
    listed = (folder / "train_test_split" / f"{name}.txt").read_text().split()
    return [(str(folder / "images" / f"{line}.jpg"), int(line.split("/")[0]), cameras[line]) for line in listed]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_reads_its_lists(release, name):
    found = toolkit.build_dataset(name, str(release.parent))
    test = NAMES[name].test_list
    assert type(found) is NAMES[name] and found.protocols == ("image",)
    assert [item[:3] for item in found.query] == naive(release, f"{test}_query")
    assert [item[:3] for item in found.gallery] == naive(release, test)
    assert [(path, label + 1, camera) for path, label, camera, _ in found.train] == naive(release, "train_list")
    assert len({item[1] for item in found.gallery}) == LISTS[test] and found.num_train_pids == 8


def test_the_published_lists_have_these_sizes():
    assert [kind.test_list for kind in (VeriWild, VeriWildMedium, VeriWildLarge)] == [
        "test_3000",
        "test_5000",
        "test_10000",
    ]


def test_views_bring_their_protocols(release):
    found = naive(release, "test_3000") + naive(release, "test_3000_query")
    lines = [f"{os.path.relpath(path, release)},{'front' if camera % 2 else 'rear'}" for path, _, camera in found]
    (release / "viewpoints.csv").write_text("\n".join(["image,view", *lines]))
    assert VeriWild(str(release), verbose=False).protocols == ("image", "same_view", "cross_view", "all_views")


def test_other_endings_and_a_missing_training_list(release):
    path = naive(release, "test_3000")[0][0]
    os.rename(path, path[:-3] + "png")
    (release / "train_test_split" / "train_list.txt").unlink()
    found = VeriWild(str(release), verbose=False)
    assert found.train == [] and found.gallery[0][0].endswith(".png")


@pytest.mark.parametrize(
    "file, text, error, expected",
    [
        ("test_3000.txt", "00009", ValueError, "test_3000.txt:1: found '00009', expected VEHICLE/IMAGE"),
        (
            "test_3000.txt",
            "00009/999999",
            FileNotFoundError,
            "1 of 1 listed images do not exist, the first is images/0000",
        ),
        (
            "vehicle_info.txt",
            "id/image\n00009 000020",
            ValueError,
            "vehicle_info.txt:2: .*expected VEHICLE/IMAGE;CAMERA",
        ),
        (
            "vehicle_info.txt",
            "id/image\n00009/1;1",
            ValueError,
            "expected an image whose camera is in vehicle_info.txt",
        ),
        ("vehicle_info.txt", None, FileNotFoundError, "which says the cameras of the images; take it from the release"),
        ("test_3000_query.txt", None, FileNotFoundError, "or choose a dataset name whose list is there"),
    ],
)
def test_a_slip_is_one_sentence(release, file, text, error, expected):
    path = release / "train_test_split" / file
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=expected):
        VeriWild(str(release), verbose=False)


def test_cameras_that_count_from_0_stay(tmp_path):
    (tmp_path / "vehicle_info.txt").write_text("id/image;Camera ID\n1/1;0\n1/2;3\n")
    assert read_cameras(str(tmp_path / "vehicle_info.txt")) == {"1/1": 0, "1/2": 3}
