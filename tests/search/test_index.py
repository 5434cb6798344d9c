"""ealn_plugin/search/index.py: what is found, and what is refused."""

import json
import os

import numpy as np
import pytest

from ealn_plugin.evaluation.distances import BlockDistances
from ealn_plugin.evaluation.query_expansion import expand_queries
from ealn_plugin.search import SearchIndex, SearchIndexError
from tests.helpers.standins import build_index, clustered

pytest.importorskip("faiss")


@pytest.fixture
def vectors():
    return clustered(300)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_the_nearest_are_those_of_the_evaluations_distances(tmp_path, vectors, kind):
    """Exact ranking of the evaluation: torchreid's squared Euclidean distances, sorted."""
    import torch

    build_index(tmp_path, vectors, kind=kind, nlist=6, nprobe=6)
    index = SearchIndex.open(tmp_path)
    queries = clustered(25, seed=3)
    distances = BlockDistances(torch.from_numpy(vectors), "euclidean", torch.device("cpu"))(torch.from_numpy(queries))
    order = np.argsort(distances.numpy(), axis=1, kind="stable")[:, :12]
    hits = index.search(queries, 12)
    agreeing = np.mean([[hit.id for hit in found] == row.tolist() for found, row in zip(hits, order)])
    assert agreeing > 0.9 and len(index) == 300 and index.nlist == (6 if kind == "ivf" else 0)
    np.testing.assert_allclose(
        [[2 - 2 * hit.similarity for hit in found] for found in hits],
        np.take_along_axis(distances.numpy(), order, 1),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_every_image_finds_itself_first_with_what_is_known_of_it(tmp_path, vectors, kind):
    build_index(tmp_path, vectors, kind=kind, nlist=6, nprobe=1)
    for row, found in enumerate(SearchIndex.open(tmp_path).search(vectors, 3)):
        hit = found[0]
        assert hit.path == f"/gallery/{row}.jpg" and hit.similarity == pytest.approx(1, abs=1e-5) and hit.rank == 1
        assert (hit.pid, hit.camid, hit.view, hit.id) == (row // 4, row % 3, row % 4 - 1, row)
        assert [hit.rank for hit in found] == [1, 2, 3][: len(found)]


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_expanded_queries_are_those_of_the_evaluation(tmp_path, vectors, kind):
    build_index(tmp_path, vectors, kind=kind, nlist=6, nprobe=6)
    index, queries = SearchIndex.open(tmp_path), clustered(9, seed=3)
    for count, alpha in ((1, 0.0), (5, 3.0)):
        expected = expand_queries(queries, vectors, count, alpha).numpy()
        np.testing.assert_allclose(index.expanded(queries, count, alpha), expected, atol=1e-5)
    with pytest.raises(ValueError, match="alpha -1"):
        index.expanded(queries, 1, -1)


def test_flat_on_request_and_views(tmp_path, vectors):
    build_index(tmp_path, vectors, kind="ivf", nlist=6, nprobe=1)
    index = SearchIndex.open(tmp_path)
    recall = index.recall_by_nprobe(10, 50)
    assert index.nprobe == 1 and 0 < recall(1) < 1 == recall(6)
    assert index.view_of("/gallery/2.jpg") == 1 and index.view_of("/gallery/0.jpg") == index.view_of("/no") == -1
    exact = SearchIndex.open(tmp_path, kind="flat")
    assert exact.nlist == 0 and exact.recall_by_nprobe()(1) == 1.0 and SearchIndex.open(tmp_path, nprobe=5).nprobe == 5
    build_index(tmp_path / "flat", vectors)
    with pytest.raises(ValueError, match="kind is 'ivf', but the index .* has no inverted lists"):
        SearchIndex.open(tmp_path / "flat", kind="ivf")


def test_features_of_another_model_are_refused(tmp_path, vectors):
    build_index(tmp_path, vectors, identity={"weights": "a", "image size": [4, 4]}, extractor={"run": "/runs/one"})
    SearchIndex.open(tmp_path, {"weights": "a", "image size": [4, 4]})
    for identity, sentence in (
        ({"weights": "b", "image size": [4, 4]}, r"another model \(weights differs\)"),
        ({"weights": "a", "image size": [8, 4]}, r"\(image size differs\)"),
        ({}, r"\(image size, weights differ\); use the model .* \(/runs/one\)"),
    ):
        with pytest.raises(SearchIndexError, match=sentence):
            SearchIndex.open(tmp_path, identity)


def test_questions_that_cannot_be_asked_get_a_sentence(tmp_path, vectors):
    build_index(tmp_path, vectors)
    index = SearchIndex.open(tmp_path)
    for features, k, sentence in (
        (np.zeros((1, 8)), 5, r"shape \(1, 8\), expected \[queries, 16\]"),
        (np.zeros(16), 5, r"shape \(16,\)"),
        (np.zeros((1, 16)), 0, "k is 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            index.search(features, k)
    assert index.search(np.zeros((0, 16))) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_every_damaged_file_is_noticed(tmp_path, vectors, damage):
    manifest = build_index(tmp_path, vectors, kind="ivf", nlist=6)
    for name in [*manifest.files, "manifest.json"]:
        path = tmp_path / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        other = b"x" if whole[middle : middle + 1] != b"x" else b"y"
        flipped = whole[:middle] + other + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "empty": b"", "flip": flipped}[damage])
        with pytest.raises(SearchIndexError, match="damaged"):
            SearchIndex.open(tmp_path)
        path.write_bytes(whole)
    SearchIndex.open(tmp_path)


def test_what_is_no_index_gets_a_sentence(tmp_path, vectors):
    with pytest.raises(SearchIndexError, match="holds no index; make one with ealn search index"):
        SearchIndex.open(tmp_path / "no")
    manifest = build_index(tmp_path, vectors)
    os.unlink(tmp_path / manifest.segments[1].vectors)
    with pytest.raises(SearchIndexError, match="vectors-.*npy' is missing from the index"):
        SearchIndex.open(tmp_path)
    text = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**text, "format": 2}))
    with pytest.raises(SearchIndexError, match="has format 2, expected 1"):
        SearchIndex.open(tmp_path)


def test_an_index_that_changes_while_it_is_opened_is_read_again(tmp_path, vectors, monkeypatch):
    build_index(tmp_path, vectors[:64])
    read = SearchIndex.of
    changes = []

    def of(store, *options):
        if not changes:  # the segment that this manifest names is replaced before it is read
            changes.append(build_index(tmp_path, vectors[64:70], 64, segment=300))
        return read(store, *options)

    monkeypatch.setattr(SearchIndex, "of", of)
    assert len(SearchIndex.open(tmp_path)) == 70
