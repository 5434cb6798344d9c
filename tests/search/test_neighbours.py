"""ealn_plugin/search/neighbours.py: what FAISS finds is what a plain sort finds."""

import sys

import numpy as np
import pytest
import torch

from ealn_plugin.search import neighbours
from ealn_plugin.search.neighbours import Neighbours, assign, default_nlist, kind_for, recall_by_nprobe, train_centroids
from tests.helpers.standins import clustered

pytest.importorskip("faiss")


def sorted_naively(vectors, queries, k):
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


def exact(vectors, pieces=7):
    found = Neighbours(vectors.shape[1], len(vectors))
    for part in np.array_split(vectors, pieces):
        found.add(part)
    return found


def inverted(vectors, nlist=12, pieces=7):
    centroids = train_centroids(vectors, nlist)
    lists = assign(centroids, vectors)
    found = Neighbours(vectors.shape[1], len(vectors), centroids, np.bincount(lists, minlength=nlist))
    for part, known in zip(np.array_split(vectors, pieces), np.array_split(lists, pieces)):
        found.add(part, known)
    return found


@pytest.mark.parametrize("build", [exact, inverted])
def test_exact_search_is_a_sort(build):
    vectors, queries = clustered(700), clustered(20, seed=1)
    found = build(vectors)
    assert len(found) == 700
    scores, rows = found.search(queries, 25)
    expected_scores, expected = sorted_naively(vectors, queries, 25)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert (rows == expected).mean() > 0.99  # float32 may swap what float64 tells apart in the seventh digit
    np.testing.assert_array_equal(found.vectors([3, 699, 0]), vectors[[3, 699, 0]])


@pytest.mark.parametrize("build", [exact, inverted])
def test_of_equal_images_the_older_comes_first(build):
    vectors = np.repeat(clustered(60), 5, axis=0)
    _, rows = build(vectors).search(vectors[::5], 5)
    assert (rows == np.arange(300).reshape(60, 5)).all()


def test_no_images_no_queries_and_more_neighbours_than_images():
    empty = Neighbours(16, 0)
    assert empty.search(clustered(2), 5)[1].shape == (2, 0)
    few = exact(clustered(3), 1)
    assert few.search(clustered(2), 5)[1].shape == (2, 3) and few.search(np.empty((0, 16)), 5)[0].shape == (0, 3)
    with pytest.raises(ValueError, match="4 vectors for a capacity of 3"):
        few.add(clustered(1))


def test_recall_grows_with_nprobe_and_is_what_a_naive_count_says():
    vectors = clustered(900, clusters=200, spread=0.9)
    found = inverted(vectors, nlist=20)
    own = np.arange(0, 900, 30)
    recall = recall_by_nprobe(found, vectors[own], own, 10)
    shares = [recall(nprobe) for nprobe in (1, 4, 20)]
    assert shares[0] < shares[1] < shares[2] == 1.0
    _, true = sorted_naively(vectors, vectors[own], 11)
    _, near = found.search(vectors[own], 11, 1)
    naive = [len((set(a) - {row}) & (set(b[:11]) - {row})) for a, b, row in zip(true, near, own)]
    assert shares[0] == pytest.approx(np.mean(naive) / 10, abs=0.02)
    assert recall_by_nprobe(exact(vectors), vectors[own], own, 10)(1) == 1.0


def test_what_one_list_lacks_is_marked():
    vectors = np.eye(16, dtype=np.float32)[[0, 1, 2, 3]]
    scores, rows = inverted(vectors, nlist=4, pieces=1).search(vectors[:1], 3, nprobe=1)
    assert rows.tolist() == [[0, -1, -1]] and scores[0, 0] == 1 and (scores[0, 1:] == -np.inf).all()


def test_the_same_sample_gives_the_same_centres_of_length_one():
    one, two = (train_centroids(clustered(400), 8) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), np.ones(8), atol=1e-5)
    with pytest.raises(ValueError, match="nlist is 8, but there are only 5 images; lower --nlist"):
        train_centroids(clustered(5), 8)


def test_the_kind_and_the_number_of_lists():
    assert (kind_for(100_000, "auto"), kind_for(100_001, "auto")) == ("flat", "ivf")
    assert (kind_for(10**7, "flat"), kind_for(10, "ivf"), kind_for(0, "ivf")) == ("flat", "ivf", "flat")
    assert (default_nlist(10**6), default_nlist(100), default_nlist(0)) == (4000, 2, 1)


def test_torch_and_faiss_take_turns():
    """Both bring an OpenMP runtime of their own; neither may hang or disturb the other."""
    torch.manual_seed(0)
    layer, images = torch.nn.Conv2d(3, 8, 3), torch.randn(4, 3, 32, 32)
    before, found = layer(images), exact(clustered(500))
    expected = found.search(clustered(9, seed=2), 5)
    for _ in range(20):
        assert torch.equal(layer(images), before)
        assert all((a == b).all() for a, b in zip(found.search(clustered(9, seed=2), 5), expected))


def test_without_faiss_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RuntimeError, match=r"searching needs faiss, .* install it with pip install .*\[search\]"):
        neighbours.import_faiss()
