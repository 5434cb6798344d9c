"""view_labels.py: what is labelled, what is learned from, and which viewpoints.csv may be replaced."""

import json
import os

import pytest

from ealn_plugin.data import folders
from ealn_plugin.data.viewpoints import View, read_viewpoints_csv, write_viewpoints_csv
from ealn_plugin.labelling import labels as view_labels
from tests.helpers.standins import make_veri_folder


@pytest.fixture
def root(tmp_path):
    return make_veri_folder(tmp_path, train=12, test=5)


@pytest.fixture
def unlabelled(root):
    (root / "VeRi" / "viewpoints.csv").unlink()
    return root


def _target(root):
    return view_labels.images_of_datasets(["veri776"], str(root))[0]


def test_a_dataset_gives_the_images_of_all_splits(root):
    target = _target(root)
    assert target.folder == str(root / "VeRi")
    assert len(target.views) == 12 * 6 + 5 * 6 + 5 * 2
    assert target.views == {
        image: view for image, (view, _) in read_viewpoints_csv(root / "VeRi" / "viewpoints.csv").items()
    }
    assert all(os.path.isfile(target.path(image)) for image in target.views)


def test_names_of_one_folder_are_one_target(make_vehicleid):
    folder = make_vehicleid()
    (folder / "train_test_split" / "test_list_1600.txt").write_bytes(
        (folder / "train_test_split" / "test_list_800.txt").read_bytes()
    )
    targets = view_labels.images_of_datasets(["vehicleid", "vehicleid_medium"], str(folder))
    assert [target.folder for target in targets] == [str(folder)]
    assert set(targets[0].views.values()) == {View.UNKNOWN}


def test_a_folder_gives_every_visible_image_below_it(unlabelled):
    (unlabelled / "VeRi" / ".hidden").mkdir()
    (unlabelled / "VeRi" / ".hidden" / "a.jpg").write_bytes(b"")
    target = folders.images_of_folder(str(unlabelled))
    assert len(target.views) == 112 and all(image.startswith("VeRi/image_") for image in target.views)
    with pytest.raises(FileNotFoundError, match="holds no image"):
        folders.images_of_folder(str(unlabelled / "nowhere"))


def _vehicles(part):
    return {os.path.basename(path)[:4] for path, _ in part}


def test_no_vehicle_is_in_two_parts(root):
    images = view_labels.labelled_images(["veri776"], str(root))
    parts = [_vehicles(part) for part in (images.train, images.calibration, images.test)]
    assert [len(part) for part in parts] == [11, 1, 5] and len(set.union(*parts)) == 17
    assert parts[2] == {f"{number:04d}" for number in range(13, 18)}
    assert len(images.test) == 5 * 6  # queries lie in the gallery too and count once
    again, other = (view_labels.labelled_images(["veri776"], str(root), seed) for seed in (0, 3))
    assert again == images and other.calibration != images.calibration


def test_where_one_part_is_unlabelled_all_vehicles_are_drawn_from(root):
    path = root / "VeRi" / "viewpoints.csv"
    labels = read_viewpoints_csv(path)
    write_viewpoints_csv(
        path,
        {
            image: label
            for image, label in labels.items()
            if not image.startswith("image_test") and not image.startswith("image_query")
        },
    )
    images = view_labels.labelled_images(["veri776"], str(root))
    assert [len(_vehicles(part)) for part in (images.train, images.calibration, images.test)] == [9, 1, 2]
    path.unlink()
    with pytest.raises(ValueError, match="has 0 vehicles with known views"):
        view_labels.labelled_images(["veri776"], str(root))


def test_views_of_the_release_are_left_to_it(unlabelled):
    names = sorted(os.listdir(unlabelled / "VeRi" / "image_test"))[:2]
    points = "-1 " * 40
    (unlabelled / "VeRi" / "keypoint_test.txt").write_text(
        "".join(f"VeRi/image_test/{name} {points}{code}\n" for name, code in zip(names, "01"))
    )
    target = _target(unlabelled)
    assert target.views[f"image_test/{names[1]}"] == View.REAR
    left_out = set(target.views) - set(view_labels.images_to_label(target))
    assert left_out >= {f"image_test/{name}" for name in names}
    assert {os.path.basename(image) for image in left_out} == set(names)
    assert view_labels.images_to_label(target, relabel=True) == list(target.views)


def test_predictions_are_known_as_such(unlabelled):
    folder, target = unlabelled / "VeRi", _target(unlabelled)
    images = view_labels.images_to_label(target)
    counts = view_labels.write_predicted_views(target.folder, {image: (View.FRONT, 0.9) for image in images}, {"a": 1})
    assert counts == {"front": 112, "rear": 0, "side": 0, "unknown": 0}
    assert json.loads((folder / "viewpoints.json").read_text())["a"] == 1
    # neither truth to compare with nor something to learn from, but something to predict again
    target = _target(unlabelled)
    assert set(target.views.values()) == {View.UNKNOWN} and view_labels.images_to_label(target) == images
    with pytest.raises(ValueError, match="0 vehicles"):
        view_labels.labelled_images(["veri776"], str(unlabelled))
    view_labels.write_predicted_views(target.folder, {images[0]: (View.REAR, 0.8)}, {})
    labels = read_viewpoints_csv(folder / "viewpoints.csv")
    assert labels[images[0]] == (View.REAR, 0.8) and labels[images[1]] == (View.FRONT, 0.9) and len(labels) == 112


def test_a_file_of_others_is_kept_unless_forced(root):
    folder = str(root / "VeRi")
    before = (root / "VeRi" / "viewpoints.csv").read_bytes()
    with pytest.raises(FileExistsError, match="--force"):
        view_labels.write_predicted_views(folder, {"image_test/a.jpg": (View.SIDE, 1.0)}, {})
    assert (root / "VeRi" / "viewpoints.csv").read_bytes() == before
    view_labels.write_predicted_views(folder, {"image_test/a.jpg": (View.SIDE, 1.0)}, {}, force=True)
    assert len(read_viewpoints_csv(root / "VeRi" / "viewpoints.csv")) == 1
    with open(root / "VeRi" / "viewpoints.csv", "a", encoding="utf-8") as file:
        file.write("image_test/b.jpg,front,1.0\n")  # a correction by hand
    with pytest.raises(FileExistsError, match="changed since"):
        view_labels.check_replaceable(folder)
