"""CityFlow-ReID: a made-up folder in the layout of the release, compared with plain code that reads the same files."""

import os
import re

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data import CityFlow
from ealn_plugin.data.splitting import draw_test_vehicles
from tests.helpers.releases import jpeg

FOLDERS = {"train": "image_train", "query": "image_query", "test": "image_test"}


def write_labels(folder, part, items, vehicles=True):
    rows = [
        f'<Item imageName="{name}" {f"""vehicleID="{vehicle:04}" """ if vehicles else ""}cameraID="c{camera:03}" />'
        for name, vehicle, camera in items
    ]
    text = "\n".join(
        ['<?xml version="1.0" encoding="gb2312" ?>', '<TrainingImages Version="1.0">', *rows, "</TrainingImages>"]
    )
    (folder / f"{part}_label.xml").write_bytes(text.encode("gb2312"))


@pytest.fixture
def release(tmp_path):
    """Ten labelled vehicles with five images each from three cameras, four images to test on without vehicles."""
    folder = tmp_path / "AIC21_Track2_ReID"
    train = [(f"{5 * v + n:06}.jpg", 3 * v + 1, 1 + (v + n) % 3) for v in range(10) for n in range(5)]
    for part, items in (
        ("train", train),
        ("query", [("000001.jpg", 50, 40)]),
        ("test", [(f"{n:06}.jpg", 50, 41) for n in (1, 2, 3)]),
    ):
        (folder / FOLDERS[part]).mkdir(parents=True)
        for name, *_ in items:
            (folder / FOLDERS[part] / name).write_bytes(jpeg())
        write_labels(folder, part, items, vehicles=part == "train")
    return folder


def naive(folder, part):
    text = (folder / f"{part}_label.xml").read_text()
    found = re.findall(r'imageName="(.*?)" vehicleID="(.*?)" cameraID="c(.*?)"', text)
    return {(str(folder / FOLDERS[part] / name), int(v), int(camera) - 1) for name, v, camera in found}


def test_labelled_vehicles_are_divided_where_the_test_images_have_no_labels(release, caplog):
    caplog.set_level("INFO")
    found = toolkit.build_dataset("cityflow", str(release.parent))
    every = naive(release, "train")
    tested = {item[1] for item in found.query}
    assert len(every) == 50 and len(tested) == 3 and found.num_train_pids == 7
    assert {item[:3] for item in found.query + found.gallery} == {item for item in every if item[1] in tested}
    assert {(item[0], item[2]) for item in found.train} == {(p, c) for p, v, c in every if v not in tested}
    assert len({(item[1], item[2]) for item in found.query}) == len(found.query) == 9
    assert (
        "the test images have no labels, so the labelled vehicles are split with data.split_id 0: 7 training vehicles "
        "and 3 test vehicles with 9 query images"
    ) in caplog.text
    images = {str(vehicle): [(path, str(c)) for path, v, c in every if v == vehicle] for _, vehicle, _ in every}
    assert tested == set(map(int, draw_test_vehicles(images)))


def test_split_id_is_the_seed(release):
    drawn = {
        frozenset(item[1] for item in CityFlow(str(release), split_id=seed, verbose=False).query) for seed in range(5)
    }
    assert len(drawn) > 1
    first, again = (CityFlow(str(release), split_id=1, verbose=False, mode=mode) for mode in ("query", "gallery"))
    assert (first.train, first.query, first.gallery) == (again.train, again.query, again.gallery)


def test_labels_of_the_test_images_are_used_by_those_who_hold_them(release):
    write_labels(release, "query", [("000001.jpg", 50, 40)])
    write_labels(release, "test", [(f"{n:06}.jpg", 50, 41) for n in (1, 2, 3)])
    found = CityFlow(str(release), verbose=False)
    assert {item[:3] for item in found.query} == naive(release, "query") and found.num_train_pids == 10
    assert {item[:3] for item in found.gallery} == naive(release, "test")


@pytest.mark.parametrize("name", CityFlow.folder_names)
def test_every_folder_name(release, name, tmp_path):
    os.makedirs(tmp_path / "root" / os.path.dirname(name))
    os.rename(release, tmp_path / "root" / name)
    assert len(CityFlow(str(tmp_path / "root"), verbose=False).train) == 35


@pytest.mark.parametrize(
    "items, error, expected",
    [
        (
            [("000009.jpg", 1, 1), ("none.jpg", 2, 1)],
            FileNotFoundError,
            "1 of 2 labelled images do not exist, the first",
        ),
        (
            [("000001.jpg", 1, 1), ("000001.jpg", 2, 1)],
            ValueError,
            "train_label.xml:4: .*the labels \\(1, 1\\) that an",
        ),
        (
            [("000001.jpg", 1, 1), ("000002.jpg", 2, 1)],
            ValueError,
            "none of the 2 labelled vehicles is seen by two cam",
        ),
        ([], ValueError, "none of the 0 labelled vehicles"),
        (None, FileNotFoundError, "which labels the training images; unpack the release again"),
    ],
)
def test_a_slip_is_one_sentence(release, items, error, expected):
    if items is None:
        (release / "train_label.xml").unlink()
    else:
        write_labels(release, "train", items)
    with pytest.raises(error, match=expected):
        CityFlow(str(release), verbose=False)


def test_a_label_without_a_vehicle_is_named_with_its_line(release):
    write_labels(release, "train", [("000001.jpg", 1, 1)], vehicles=False)
    with pytest.raises(
        ValueError, match='train_label.xml:3: .*expected vehicleID and cameraID, such as vehicleID="0269"'
    ):
        CityFlow(str(release), verbose=False)
