import random

import numpy as np
import pytest
import torch

from ealn_plugin.data import (
    APPEARANCE,
    DATASETS,
    VIEWPOINTS,
    VehicleID,
    VehicleID13164,
    VehicleIDLarge,
    VehicleIDMedium,
    View,
)
from ealn_plugin.data.vehicleid import draw_gallery
from tests.helpers.releases import VEHICLEID_TEST, VEHICLEID_TRAIN


def names(items):
    return [path.rpartition("/")[2].removesuffix(".jpg") for path, *_ in items]


def write_list(folder, name, lines, newline="\n"):
    (folder / "train_test_split" / name).write_bytes("".join(line + newline for line in lines).encode())


def view_of(dataset, image):
    return VIEWPOINTS.get(f"{dataset.dataset_dir}/image/{image}.jpg")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", VehicleID.folder_names)
def test_counts_under_every_folder_name_with_only_the_lists_asked_for(make_vehicleid, name, newline):
    folder = make_vehicleid(name, newline=newline)
    dataset = VehicleID(folder.parent)
    assert dataset.dataset_dir == str(folder)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (5, 3, 2)
    assert [item[1:3] for item in dataset.train] == [(1, 0), (1, 0), (0, 0), (0, 0), (0, 0)]
    assert {item[2] for item in dataset.query} == {0} and {item[2] for item in dataset.gallery} == {1}
    assert [item[1] for item in dataset.gallery] == [70, 71]  # 72 has a single image
    assert sorted(names(dataset.query + dataset.gallery)) == sorted(VEHICLEID_TEST)[:5]


@pytest.mark.parametrize(
    "dataset, test_list",
    [
        (VehicleID, "test_list_800"),
        (VehicleIDMedium, "test_list_1600"),
        (VehicleIDLarge, "test_list_2400"),
        (VehicleID13164, "test_list_13164"),
    ],
)
def test_every_size_reads_its_own_list(make_vehicleid, dataset, test_list):
    folder = make_vehicleid(test_list=test_list)
    assert len(dataset(folder).query) == 3
    for other in {VehicleID, VehicleIDMedium, VehicleIDLarge, VehicleID13164} - {dataset}:
        with pytest.raises(FileNotFoundError, match=f"{other.test_list}.txt does not exist"):
            other(folder)


def test_registered_names():
    assert {name: dataset.__name__ for name, dataset in DATASETS.items() if name.startswith("vehicleid")} == {
        "vehicleid": "VehicleID",
        "vehicleid_small": "VehicleID",
        "vehicleid_medium": "VehicleIDMedium",
        "vehicleid_large": "VehicleIDLarge",
        "vehicleid_13164": "VehicleID13164",
    }


def test_three_constructions_draw_alike_and_leave_the_global_random_states_alone(make_vehicleid):
    folder = make_vehicleid()
    drawn = []
    for seed in range(3):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        drawn.append(VehicleID(folder, mode=("train", "query", "gallery")[seed]).gallery)
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert drawn[0] == drawn[1] == drawn[2]


def test_the_draw_depends_on_the_list_but_not_on_the_order_of_its_lines():
    images = {vehicle: [f"{vehicle}_{number}" for number in range(9)] for vehicle in range(50)}
    shuffled = {vehicle: images[vehicle][::-1] for vehicle in reversed(images)}
    assert draw_gallery(images, "test_list_800") == draw_gallery(shuffled, "test_list_800")
    assert draw_gallery(images, "test_list_800") != draw_gallery(images, "test_list_1600")
    assert len(set(name[-1] for name in draw_gallery(images, "test_list_800").values())) > 5


def test_query_and_gallery_of_the_data_manager_are_one_draw(make_vehicleid, data_manager):
    manager = data_manager(make_vehicleid().parent, "vehicleid_small")
    tested = manager.test_dataset["vehicleid_small"]
    assert not set(names(tested["query"])) & set(names(tested["gallery"]))
    assert sorted(names(tested["query"] + tested["gallery"])) == sorted(VEHICLEID_TEST)[:5]
    assert next(iter(manager.train_loader))["img"].shape == (2, 3, 16, 16)


def test_combineall_through_torchreid(make_vehicleid, data_manager):
    manager = data_manager(make_vehicleid().parent, "vehicleid", combineall=True)
    assert (manager.num_train_pids, manager.num_train_cams) == (4, 2)
    assert len(manager.train_loader.dataset) == 10


@pytest.mark.parametrize("list_name", ["test_list_800.txt", "test_list_800_view.txt", "views.txt"])
def test_view_lists_label_the_test_images(make_vehicleid, list_name):
    folder = make_vehicleid()
    labels = dict(zip(VEHICLEID_TEST, (0, 1, -1, 0, 0, 1), strict=True))
    lines = [f"{image} {vehicle} {labels[image]}" for image, vehicle in VEHICLEID_TEST.items()]
    write_list(folder, list_name, lines, newline="\r\n")
    dataset = VehicleID(folder)
    assert [view_of(dataset, image) for image in sorted(VEHICLEID_TEST)[:5]] == [
        View.FRONT,
        View.REAR,
        View.UNKNOWN,
        View.FRONT,
        View.FRONT,
    ]
    assert view_of(dataset, "0000101") == View.UNKNOWN


def test_view_order_switches_the_meaning(make_vehicleid, monkeypatch):
    folder = make_vehicleid()
    write_list(folder, "test_list_view.txt", ["0000201 70 0", "0000202 70 1"])
    dataset = VehicleID(folder, view_order=("rear", View.FRONT))
    assert [view_of(dataset, image) for image in ("0000201", "0000202")] == [View.REAR, View.FRONT]
    VehicleID(folder)
    assert view_of(dataset, "0000201") == View.FRONT
    monkeypatch.setattr(VehicleID, "view_order", ("rear", "front"))
    VehicleID(folder)
    assert view_of(dataset, "0000201") == View.REAR


@pytest.mark.parametrize("view_order", [("front", "front"), ("front",), ("front", "side"), "front", (0, 1), 3])
def test_a_wrong_view_order_is_a_sentence(make_vehicleid, view_order):
    folder = make_vehicleid()
    with pytest.raises(ValueError, match="view_order is .*expected .*'front', 'rear'"):
        VehicleID(folder, view_order=view_order)


def test_contradicting_view_lists_give_unknown(make_vehicleid, caplog):
    folder = make_vehicleid()
    write_list(folder, "view_a.txt", ["0000201 70 0", "0000202 70 1"])
    write_list(folder, "view_b.txt", ["0000201 70 1", "0000202 70 1"])
    dataset = VehicleID(folder)
    assert [view_of(dataset, image) for image in ("0000201", "0000202")] == [View.UNKNOWN, View.REAR]
    assert "contradict each other on 1 image(s)" in caplog.text


def test_viewpoints_csv_labels_training_images_and_overrides(make_vehicleid):
    folder = make_vehicleid()
    write_list(folder, "test_list_view.txt", ["0000201 70 0"])
    (folder / "viewpoints.csv").write_text("image,view\nimage/0000101.jpg,rear\nimage/0000201.jpg,side\n")
    dataset = VehicleID(folder)
    assert [view_of(dataset, image) for image in ("0000101", "0000201")] == [View.REAR, View.SIDE]


def test_colour_and_model_make_the_appearance_groups(make_vehicleid):
    folder = make_vehicleid()
    (folder / "attribute").mkdir()
    (folder / "attribute" / "color_attr.txt").write_bytes(b"11 0\r\n7 0\r\n70 3\r\n71 3\r\n")
    (folder / "attribute" / "model_attr.txt").write_bytes(b"11 249\n7 249\n70 249\n")
    dataset = VehicleID(folder)
    path = f"{dataset.dataset_dir}/image/{{}}.jpg"
    groups = {image: APPEARANCE.get(path.format(image)) for image in ("0000101", "0000103", "0000201", "0000204")}
    assert groups["0000101"] == groups["0000103"] >= 0
    assert groups["0000201"] not in (groups["0000101"], -1)
    assert groups["0000204"] == -1  # a colour but no model


@pytest.mark.parametrize(
    "name, line, message",
    [
        ("train_list.txt", "0000101", r"train_list\.txt:2: found '0000101', expected IMAGE VEHICLE"),
        ("train_list.txt", "0000101.jpg 11", r"train_list\.txt:2: found '0000101.jpg 11', expected"),
        ("test_list_800.txt", "0000201 70 2", r"test_list_800\.txt:2: found '0000201 70 2', expected"),
        ("test_list_800.txt", "0000201 seventy", r"test_list_800\.txt:2: found '0000201 seventy', expected"),
        ("some_view_list.txt", "0000201 70", r"some_view_list\.txt:2: found '0000201 70', expected .*VIEW 0, 1 or -1"),
        ("some_view_list.txt", "0000201 99 0", r"some_view_list\.txt:2: found '0000201 99', expected vehicle 70"),
        ("train_list.txt", "0000102 12", r"train_list\.txt:2: found '0000102 12', expected vehicle 11"),
    ],
)
def test_a_malformed_list_line_is_named(make_vehicleid, name, line, message):
    folder = make_vehicleid()
    first = "0000102 11 0" if name == "train_list.txt" else "0000202 70 0"
    write_list(folder, name, [first, line])
    with pytest.raises(ValueError, match=message):
        VehicleID(folder)


@pytest.mark.parametrize("line", ["11", "11 red", "11 1000", "a 1"])
def test_a_malformed_attribute_line_is_named(make_vehicleid, line):
    folder = make_vehicleid()
    (folder / "attribute").mkdir()
    (folder / "attribute" / "color_attr.txt").write_text(f"7 1\n{line}\n")
    with pytest.raises(ValueError, match=rf"color_attr\.txt:2: found '{line}', expected VEHICLE CODE"):
        VehicleID(folder)


def test_missing_images_are_counted_and_the_first_is_named(make_vehicleid):
    folder = make_vehicleid()
    for image in ("0000103", "0000104"):
        (folder / "image" / f"{image}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 5 listed images do not exist, the first is image/0000103\.jpg"):
        VehicleID(folder)


def test_a_missing_dataset_names_the_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"VehicleID was not found.*VehicleID_V1\.0.*see datasets.md"):
        VehicleID(tmp_path)


def test_a_test_list_without_two_images_of_a_vehicle_is_a_sentence(make_vehicleid):
    folder = make_vehicleid()
    write_list(folder, "test_list_800.txt", ["0000201 70", "0000204 71"])
    with pytest.raises(ValueError, match="a query set without a match, because none of its 2 vehicles"):
        VehicleID(folder)


@pytest.mark.parametrize("name, split", [("train_list.txt", "train"), ("test_list_800.txt", "query")])
def test_an_empty_list_is_a_sentence(make_vehicleid, name, split):
    folder = make_vehicleid()
    write_list(folder, name, [])
    with pytest.raises(ValueError, match=f"found 0 images for the {split} split"):
        VehicleID(folder)


def test_a_repeated_line_counts_once(make_vehicleid):
    folder = make_vehicleid()
    lines = [f"{image} {vehicle}" for image, vehicle in VEHICLEID_TRAIN.items()]
    write_list(folder, "train_list.txt", [*lines, lines[0]])
    assert len(VehicleID(folder).train) == 5
