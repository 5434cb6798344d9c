import logging

import pytest

from ealn_plugin.data.annotations import APPEARANCE, MODELS, VIEWPOINTS
from ealn_plugin.data.base import VehicleDataset
from ealn_plugin.data.viewpoints import View

SPLITS = {
    "train": [("i/a.jpg", 40, 0), ("i/b.jpg", 9, 1), ("i/c.jpg", 40, 2)],
    "query": [("i/d.jpg", 5, 0), ("i/e.jpg", 6, 0)],
    "gallery": [("i/f.jpg", 5, 1), ("i/g.jpg", 5, 4)],
}


def build(folder, splits=SPLITS, **options):
    return VehicleDataset(str(folder), splits, {"i/a.jpg": View.SIDE}, {"i/a.jpg": 12}, **options)


def test_identities_are_relabelled_and_annotations_filled(tmp_path):
    dataset = build(tmp_path)
    folder = f"{tmp_path}/i"
    assert dataset.train == [(f"{folder}/a.jpg", 1, 0, 0), (f"{folder}/b.jpg", 0, 1, 0), (f"{folder}/c.jpg", 1, 2, 0)]
    assert [item[1] for item in dataset.query + dataset.gallery] == [5, 6, 5, 5]
    assert VIEWPOINTS.lookup([f"{folder}/a.jpg", f"{folder}/b.jpg"]).tolist() == [View.SIDE, View.UNKNOWN]
    assert APPEARANCE.lookup([f"{folder}/a.jpg", f"{folder}/b.jpg"]).tolist() == [12, -1]
    assert len(VIEWPOINTS) == len(APPEARANCE) == 7


def test_models_are_those_of_attributes_csv_or_else_of_the_groups(tmp_path):
    build(tmp_path)
    images = [f"{tmp_path}/i/{name}.jpg" for name in "abcd"]
    assert MODELS.lookup(images).tolist() == [12, -1, -1, -1]
    (tmp_path / "attributes.csv").write_text("vehicle,model\n40,wagon-c\n0005,sedan-a\n")
    build(tmp_path)
    assert MODELS.lookup(images).tolist() == [1, -1, 1, 0]


def test_counts_are_logged_and_unmatched_queries_reported(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        build(tmp_path)
    assert "train 3 images of 2 vehicles in 3 cameras" in caplog.text
    assert "0 front, 0 rear, 1 side, 6 unknown" in caplog.text
    assert "1 of 2 query images have no gallery image of their vehicle from another camera" in caplog.text


def test_combineall_takes_a_query_vehicle_that_the_gallery_lacks(tmp_path):
    dataset = build(tmp_path, combineall=True)
    assert [item[1] for item in dataset.train] == [1, 0, 1, 2, 3, 2, 2]
    assert (dataset.num_train_pids, dataset.num_train_cams) == (4, 4)


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_an_empty_split_is_a_sentence(tmp_path, split):
    with pytest.raises(ValueError, match=f"found 0 images for the {split} split in .*datasets.md"):
        build(tmp_path, {**SPLITS, split: []})


def test_a_query_set_without_a_match_is_a_sentence(tmp_path):
    gallery = [("i/f.jpg", 5, 0), ("i/g.jpg", 7, 1)]  # the same camera as the query, another vehicle
    with pytest.raises(ValueError, match="a query set without a match in .*none of the 2 query images"):
        build(tmp_path, {**SPLITS, "gallery": gallery})


def test_minimum_confidence_comes_from_the_class_or_the_call(tmp_path):
    (tmp_path / "viewpoints.csv").write_text("image,view,confidence\ni/b.jpg,rear,0.6\n")

    class Careful(VehicleDataset):
        min_view_confidence = 0.7

    path = tmp_path / "i" / "b.jpg"
    build(tmp_path)
    assert VIEWPOINTS.get(path) == View.REAR
    Careful(str(tmp_path), SPLITS, {}, {})
    assert VIEWPOINTS.get(path) == View.UNKNOWN
    Careful(str(tmp_path), SPLITS, {}, {}, min_view_confidence=0.6)
    assert VIEWPOINTS.get(path) == View.REAR
