"""ealn_plugin/visualization/ranked_lists.py: the right frames in the right order, and sheets that can be read."""

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.evaluation.features import Features
from ealn_plugin.visualization import page
from ealn_plugin.visualization.ranked_lists import (
    COLOURS,
    choose_queries,
    draw_ranked_lists,
    rank_queries,
    ranked_list,
    split_rows,
)


def line(paths=()):
    """Embeddings on a line, the query at 0: junk, wrong, correct, junk, wrong, correct."""
    return Features(
        [[0], [1], [2], [3], [4], [5], [6]],
        [7, 7, 8, 7, 7, 9, 7],
        [1, 1, 1, 2, 1, 2, 3],
        [0, 1, 2, -1, 0, 0, 0],
        [True] + [False] * 6,
        list(paths),
    )


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for number in range(7):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (40, 20 + number), (200, 220, 240)).save(paths[-1])
    return paths


def test_a_list_by_hand():
    found = ranked_list(line(), 0, topk=3)
    assert [(entry.row, entry.kind, entry.place, entry.rank, entry.distance) for entry in found.entries] == [
        (1, "junk", 1, 0, 1),
        (2, "wrong", 2, 1, 4),
        (3, "correct", 3, 2, 9),
        (4, "junk", 4, 0, 16),
        (5, "wrong", 5, 3, 25),
    ]
    assert found.query == 0 and found.num_junk == 2
    assert len(ranked_list(line(), 0, topk=50).entries) == 6


def test_ties_keep_the_gallerys_order():
    features = Features(np.ones((5, 2)), [1, 2, 3, 1, 4], [0, 1, 1, 1, 1], [0] * 5, [True] + [False] * 4)
    assert [entry.row for entry in ranked_list(features, 0).entries] == [1, 2, 3, 4]


def test_metric_and_normalization():
    features = Features([[1, 0], [5, 1], [0.5, 0.5]], [1, 1, 2], [0, 1, 1], [0] * 3, [True, False, False])
    assert [entry.row for entry in ranked_list(features, 0).entries] == [2, 1]
    assert [entry.row for entry in ranked_list(features, 0, dist_metric="cosine").entries] == [1, 2]
    assert [entry.row for entry in ranked_list(features, 0, normalize_feature=True).entries] == [1, 2]


def test_queries_are_spread_evenly_and_have_a_match():
    count = 40
    pids = np.concatenate([np.arange(count), np.arange(count)])
    camids = np.concatenate([np.zeros(count), np.where(np.arange(count) % 2, 1, 0)])  # even vehicles: junk only
    features = Features(np.zeros((2 * count, 1)), pids, camids, pids * 0, np.arange(2 * count) < count)
    chosen = choose_queries(features, 4)
    assert chosen == [5, 15, 25, 35]
    assert choose_queries(features, 100) == list(range(1, count, 2)) and choose_queries(features, 0) == []
    named = Features(
        *(getattr(features, name) for name in ("embeddings", "pids", "camids", "views", "is_query")),
        [f"{99 - number:03d}.jpg" for number in range(2 * count)],
    )
    assert choose_queries(named, 4) == [35, 25, 15, 5]


def test_without_queries_a_draw_is_shown():
    features = Features(np.zeros((9, 1)), [1, 1, 1, 2, 2, 2, 3, 3, 4], [0] * 9, [0] * 9, [False] * 9)
    queries, gallery = split_rows(features)
    assert sorted(features.pids[gallery]) == [1, 2, 3] and sorted([*queries, *gallery]) == list(range(8))
    found = ranked_list(features, choose_queries(features, 1)[0])
    assert found.num_junk == 0 and {entry.kind for entry in found.entries} == {"correct", "wrong"}


def test_the_sheet_has_the_frames_of_its_entries(tmp_path, pictures):
    found = rank_queries(line(pictures), 3, 10)
    assert found[0].embeddings.shape == (7, 0) and len(found[1]) == 1
    draw_ranked_lists(tmp_path / "sheet.png", "a title", {"net": found})
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    left = page.MARGIN
    # The lower edge of the query's frame is that of all frames of its list.
    row = pixels[np.flatnonzero((pixels[:, left] == COLOURS["query"]).all(axis=1))[-1]]
    step, first = page.TILE + page.GAP, left + 2 * (page.TILE + 2 * page.GAP)
    kinds = [
        next((kind for kind, colour in COLOURS.items() if tuple(row[first + 2 + rank * step]) == colour), None)
        for rank in range(5)
    ]
    assert kinds == ["wrong", "correct", "wrong", "correct", None]
    assert (pixels == COLOURS["junk"]).all(axis=2).any()


def test_several_networks_share_the_queries(tmp_path, pictures):
    one, other = rank_queries(line(pictures), 3), rank_queries(line(pictures), 3, dist_metric="cosine")
    draw_ranked_lists(tmp_path / "one.png", "title " * 100, {"one": one})
    draw_ranked_lists(tmp_path / "two.png", "title", {"one": one, "other " * 100: other})
    one, two = (Image.open(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.width == two.width and one.height < two.height < 2 * one.height


def test_features_without_images_get_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="do not name their images; add an array paths"):
        rank_queries(line(), 3)
    with pytest.raises(FileNotFoundError, match="'/no/0.jpg' does not exist"):
        draw_ranked_lists(tmp_path / "a.png", "", {"net": rank_queries(line([f"/no/{n}.jpg" for n in range(7)]), 1)})
    assert list(tmp_path.iterdir()) == []
