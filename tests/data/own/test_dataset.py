"""A user's photographs as a dataset of torchreid: splits, numbers, cameras, views and what is said of them."""

import itertools
import os

import pytest
from PIL import Image

from ealn_plugin.config.own_data import OwnData
from ealn_plugin.data import VIEWPOINTS, View
from ealn_plugin.data.own.dataset import OwnDataset, read_photographs, record_of
from tests.helpers.photographs import take_photographs, write_rows

COLUMNS = ("path", "pid", "camid")


@pytest.fixture
def rows(tmp_path):
    """Six vehicles, two cameras, three images in each."""
    return take_photographs(tmp_path)


def dataset(tmp_path, rows, columns=COLUMNS, **options):
    source = OwnData("csv", write_rows(tmp_path / "cars.csv", rows, columns))
    return OwnDataset(source, "cars", verbose=False, **options)


def images(items):
    return {os.path.basename(item[0]) for item in items}


def vehicles(items):
    return {name.partition("_")[0] for name in images(items)}


def test_without_a_split_vehicles_are_divided_and_cameras_ask_once(tmp_path, rows):
    found = dataset(tmp_path, rows)
    assert len(vehicles(found.train)) == 4 and len(vehicles(found.query)) == 2
    assert not vehicles(found.train) & vehicles(found.query) and vehicles(found.query) == vehicles(found.gallery)
    assert [len(items) for items in (found.train, found.query, found.gallery)] == [24, 4, 8]
    asked = [tuple(name.split("_")[:2]) for name in images(found.query)]
    assert len(set(asked)) == 4
    assert {item[1] for item in found.train} == set(range(4))
    assert found.protocols == ("image",) and found.without_camera == set()


def test_the_split_is_the_same_for_the_same_contents_and_seed(tmp_path, rows):
    first = dataset(tmp_path, rows)
    again = dataset(tmp_path, rows[::-1])
    assert images(first.query) == images(again.query) and images(first.train) == images(again.train)
    others = {frozenset(vehicles(dataset(tmp_path, rows, split_id=seed).query)) for seed in range(6)}
    assert len(others) > 1
    there = tmp_path / "elsewhere"
    moved = dataset(there, take_photographs(there))
    assert images(moved.query) == images(first.query)


def test_the_three_datasets_of_a_manager_fit_together(tmp_path, rows):
    lists = [dataset(tmp_path, rows, mode=mode) for mode in ("train", "query", "gallery")]
    for one, other in itertools.pairwise(lists):
        assert (one.train, one.query, one.gallery) == (other.train, other.query, other.gallery)


def test_given_splits_are_used_as_they_are(tmp_path, rows):
    for row in rows:
        vehicle, camera = int(row["path"][0]), row["camid"]
        row["split"] = "train" if vehicle < 4 else "query" if camera == "gate" else "gallery"
    found = dataset(tmp_path, rows, (*COLUMNS, "split"))
    assert images(found.query) == {row["path"] for row in rows if row["split"] == "query"}
    assert images(found.gallery) == {row["path"] for row in rows if row["split"] == "gallery"}


def test_test_is_divided_alone_and_is_the_gallery_beside_queries(tmp_path, rows):
    for row in rows:
        row["split"] = "train" if int(row["path"][0]) < 4 else "test"
    alone = dataset(tmp_path, rows, (*COLUMNS, "split"))
    assert [len(items) for items in (alone.train, alone.query, alone.gallery)] == [24, 4, 8]
    for row in rows:
        if row["path"] in ("4_gate_0.jpg", "5_yard_1.jpg"):
            row["split"] = "query"
    beside = dataset(tmp_path, rows, (*COLUMNS, "split"))
    assert images(beside.query) == {"4_gate_0.jpg", "5_yard_1.jpg"} and len(beside.gallery) == 10


@pytest.mark.parametrize("cameras", [None, ["one"]])
def test_without_two_cameras_every_image_is_its_own(tmp_path, rows, cameras, caplog):
    caplog.set_level("INFO")
    for row in rows:
        row["camid"] = cameras[0] if cameras else ""
    found = OwnDataset(OwnData("csv", write_rows(tmp_path / f"{cameras}.csv", rows, COLUMNS)), "cars")
    assert "every image counts as its own camera, as no two cameras are given, so nothing is junk" in caplog.text
    camids = [item[2] for item in found.train + found.query + found.gallery]
    assert len(set(camids)) == len(camids) == len(found.without_camera)
    assert len(found.query) == 2 == len(vehicles(found.query)) and len(found.gallery) == 10


def test_an_image_without_a_camera_among_others_is_its_own(tmp_path, rows):
    for row in rows:
        if row["path"].endswith("0.jpg"):
            row["camid"] = ""
    found = dataset(tmp_path, rows)
    every = found.train + found.query + found.gallery
    alone = [item[2] for item in every if item[0] in found.without_camera]
    assert len(alone) == 12 == len(set(alone)) and not set(alone) & {0, 1}
    assert {item[2] for item in every if item[0] not in found.without_camera} == {0, 1}


def test_whole_numbers_stay_the_numbers_and_texts_are_numbered_in_sorted_order(tmp_path, rows):
    by_text = dataset(tmp_path, rows)
    for _, pid, *_ in by_text.query + by_text.gallery:
        assert pid in range(6)
    for path, pid, *_ in by_text.query:
        assert os.path.basename(path).startswith(f"{pid}_")  # 'car 0' to 'car 5' in this order
    for row in rows:
        row["pid"], row["camid"] = str(700 + int(row["path"][0])), "1" if row["camid"] == "gate" else "4"
    by_number = dataset(tmp_path, rows)
    assert {(pid - 700, camid) for _, pid, camid, _ in by_number.query} == {
        (int(os.path.basename(path)[0]), 0 if "gate" in path else 3) for path, *_ in by_number.query
    }


def test_labels_that_only_look_alike_are_not_taken_for_one(tmp_path, rows):
    for row in rows:
        row["pid"] = {"0": "7", "1": "07"}.get(row["path"][0], row["path"][0])
    found = dataset(tmp_path, rows)
    assert len({row["pid"] for row in rows}) == 6 == len(vehicles(found.train + found.query))
    assert found.num_train_pids == len(vehicles(found.train))


def test_views_are_kept_and_viewpoints_csv_goes_before(tmp_path, rows):
    found = dataset(tmp_path, rows, (*COLUMNS, "view"))
    assert found.protocols == ("image", "same_view", "cross_view", "all_views")
    for row in rows:
        assert VIEWPOINTS.get(str(tmp_path / row["path"])) == View[row["view"].upper()]
    (tmp_path / "viewpoints.csv").write_text("image,view\n0_gate_0.jpg,side\n")
    dataset(tmp_path, rows, (*COLUMNS, "view"))
    assert VIEWPOINTS.get(str(tmp_path / "0_gate_0.jpg")) == View.SIDE


def test_paths_may_be_absolute_and_lie_anywhere(tmp_path, rows):
    there = tmp_path / "archive"
    for row in rows[:6]:
        there.mkdir(exist_ok=True)
        os.rename(tmp_path / row["path"], there / row["path"])
        row["path"] = str(there / row["path"])
    for row in rows[6:]:
        row["path"] = f"../{tmp_path.name}/{row['path']}"
    found = dataset(tmp_path, rows)
    for path, *_ in found.train + found.query + found.gallery:
        assert os.path.isabs(path) and path == os.path.normpath(path)
        Image.open(path).load()


def test_training_images_alone_are_for_training_and_test_images_alone_for_tests(tmp_path, rows):
    for row in rows:
        row["split"] = "train"
    only = dataset(tmp_path, rows, (*COLUMNS, "split"), combineall=True)
    assert (len(only.train), only.query, only.gallery, only.num_train_pids) == (36, [], [], 6)
    with pytest.raises(ValueError, match="holds training images alone, expected a test part"):
        dataset(tmp_path, rows, (*COLUMNS, "split"), mode="query")
    for row in rows:
        row["split"] = "test"
    tests = dataset(tmp_path, rows, (*COLUMNS, "split"))
    assert (tests.train, tests.num_train_pids, len(tests.query), len(tests.gallery)) == ([], 0, 12, 24)


def test_a_recorded_split_keeps_new_images_and_vehicles_apart(tmp_path, rows):
    path = write_rows(tmp_path / "cars.csv", rows)
    recorded = record_of(OwnData("csv", path), "cars", 0)
    before = dataset(tmp_path, rows)
    more = [*rows, *(dict(row, path=f"more/{row['path']}") for row in take_photographs(tmp_path / "more", seed=1))]
    more += [
        dict(row, path=f"new/{row['path']}", pid=f"new {row['pid']}")
        for row in take_photographs(tmp_path / "new", vehicles=20)
    ]
    after = dataset(tmp_path, more, recorded_splits={"cars": recorded})
    trained, tested = set(recorded["train"]), set(recorded["test"])
    assert len(trained) == 4 and len(tested) == 2
    labels = {os.path.normpath(tmp_path / row["path"]): row["pid"] for row in more}
    assert {labels[item[0]] for item in after.train} == trained
    assert tested < {labels[item[0]] for item in after.query}
    assert {item[0] for item in before.query} <= {item[0] for item in after.query}
    drawn_anew = dataset(tmp_path, more)
    assert {labels[item[0]] for item in drawn_anew.train} != trained  # what the record is for
    others = dataset(tmp_path, more[-120:], recorded_splits={"cars": recorded})  # other vehicles: another dataset
    assert len({item[1] for item in others.query}) == 6


def test_what_is_recorded_is_the_split(tmp_path, rows):
    source = OwnData("csv", write_rows(tmp_path / "cars.csv", rows))
    recorded, found = record_of(source, "cars", 3), dataset(tmp_path, rows, split_id=3)
    assert {int(label[-1]) for label in recorded["test"]} == {pid for _, pid, *_ in found.query}
    assert set(recorded["query"]) == images(found.query)
    for row in rows:
        row["split"] = "test"
    write_rows(tmp_path / "cars.csv", rows, (*COLUMNS, "split"))
    assert record_of(source, "cars", 0) is None


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda row: dict(row, camid=row["pid"]), "none of 6 vehicles is in images from two cameras, one to ask with"),
        (lambda row: dict(row, camid="", pid=row["path"]), "none of 36 vehicles has two images, one to ask with"),
        (
            lambda row: dict(row, split="query" if row["pid"] < "car 3" else "gallery"),
            "none of 6 vehicles is in images from two cameras",
        ),
    ],
)
def test_a_dataset_without_an_answer_is_refused(tmp_path, rows, change, expected):
    rows = [change(row) for row in rows]
    with pytest.raises(ValueError, match=expected):
        dataset(tmp_path, rows, (*COLUMNS, "split") if "split" in rows[0] else COLUMNS)


def test_one_line_says_who_decided_what(tmp_path, rows, caplog):
    caplog.set_level("INFO")
    for mode in ("train", "query", "gallery"):
        OwnDataset(OwnData("csv", write_rows(tmp_path / "cars.csv", rows)), "cars", mode=mode)
    lines = [record.message for record in caplog.records if "split by vehicle" in record.message]
    assert lines == [
        f"{tmp_path}/cars.csv: split by vehicle with data.split_id 0, as no split is given: 4 training vehicles and "
        "2 test vehicles with 4 query images of 2 vehicles and 8 gallery images"
    ]
    assert f"cars from {tmp_path}: train 24 images of 4 vehicles in 2 cameras" in caplog.text


def test_a_folder_is_read_as_well(tmp_path):
    for split, first in (("train", 0), ("test", 3)):
        for vehicle in range(first, first + 3):
            take_photographs(tmp_path / "cars" / split / f"car {vehicle}", vehicles=1)
    found = OwnDataset(OwnData("folder", str(tmp_path / "cars")), "cars", verbose=False)
    assert [len(items) for items in (found.train, found.query, found.gallery)] == [18, 3, 15]
    assert len(read_photographs(OwnData("folder", str(tmp_path / "cars"))).items) == 36
