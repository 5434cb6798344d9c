"""ealn_plugin/data/donors.py: against naive loops; one vehicle, one view, images read once."""

import numpy as np
import pytest
import torch

from ealn_plugin.data import donors
from ealn_plugin.data.donors import donor_lists, nearest_donors, thumbnails


def made_up(count=60, vehicles=9, seed=0):
    random = torch.Generator().manual_seed(seed)
    features = torch.rand(count, 7, generator=random)
    pids = torch.randint(vehicles, (count,), generator=random)
    views = torch.randint(-1, 3, (count,), generator=random)
    return features, pids, views


@pytest.mark.parametrize("rows", [7, 1024])
def test_donors_and_own_images_equal_those_of_a_naive_search(monkeypatch, rows):
    monkeypatch.setattr(donors, "_ROWS", rows)
    features, pids, views = made_up()
    views[5] = 7  # the only image of its view: any other vehicle will do, and none of its own
    found, own = nearest_donors(features, pids, views, 4)
    for i in range(60):
        distance = ((features - features[i]) ** 2).sum(1)
        others = [j for j in range(60) if pids[j] != pids[i] and views[j] == views[i]]
        others = others or [j for j in range(60) if pids[j] != pids[i]]
        same = [j for j in range(60) if pids[j] == pids[i] and views[j] == views[i] and j != i]
        for expected, rows_found in ((others, found[i]), (same, own[i])):
            assert rows_found.tolist() == sorted(expected, key=lambda j: distance[j])[:4]
    assert any(not len(rows) for rows in own)


def test_lists_by_path_and_the_image_itself_where_a_vehicle_has_no_other():
    pictures = {f"{n}.jpg": np.full((30, 40, 3), 40 * n, dtype=np.uint8) for n in range(5)}
    read = []

    def reader(path):
        read.append(path)
        return pictures[path]

    lists = donor_lists(list(pictures), [0, 0, 1, 1, 2], torch.zeros(5), reader, 2, progress=False)
    assert read == list(pictures)
    assert lists["donor"]["0.jpg"] == ["2.jpg", "3.jpg"] and lists["donor"]["4.jpg"] == ["3.jpg", "2.jpg"]
    assert lists["own"] == {
        "0.jpg": ["1.jpg"],
        "1.jpg": ["0.jpg"],
        "2.jpg": ["3.jpg"],
        "3.jpg": ["2.jpg"],
        "4.jpg": ["4.jpg"],
    }


def test_thumbnails_are_means_of_patches():
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    expected = image.reshape(12, 2, 12, 3, 3).mean(axis=(1, 3))
    found = thumbnails(["a"], lambda path: image, progress=False).view(12, 12, 3)
    assert (found - torch.from_numpy(expected)).abs().max() <= 0.51


def test_one_vehicle_has_no_donors():
    with pytest.raises(ValueError, match="other vehicles, but the 3 training images show 1"):
        donor_lists(["a", "b", "c"], [4, 4, 4], torch.zeros(3), None, 2)
    with pytest.raises(ValueError, match="count of donors is 0"):
        nearest_donors(*made_up(), 0)
