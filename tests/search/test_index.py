"""ealn_plugin/search/index.py: what is found, and what is refused."""

import itertools
import json

import numpy as np
import pytest

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.calibration import Calibration
from ealn_plugin.evaluation.distances import BlockDistances
from ealn_plugin.evaluation.query_expansion import expand_queries
from ealn_plugin.search import Filter, IndexWriter, Records, SearchIndex, SearchIndexError, store
from ealn_plugin.search.store import Store
from tests.helpers.standins import build_index, clustered

pytest.importorskip("lance")


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
    found_at = np.array([[hit.id for hit in found] for found in hits])
    np.testing.assert_allclose(
        [[2 - 2 * hit.similarity for hit in found] for found in hits],
        np.take_along_axis(distances.numpy(), found_at, 1),
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
    assert index.nprobe == 1 and 0 < recall(1) < recall(6) > 0.99
    assert index.view_of("/gallery/2.jpg") == 1 and index.view_of("/gallery/0.jpg") == index.view_of("/no") == -1
    exact = SearchIndex.open(tmp_path, kind="flat")
    assert exact.nlist == 0 and exact.recall_by_nprobe()(0) == 1.0 and SearchIndex.open(tmp_path, nprobe=5).nprobe == 5
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
        (np.full((1, 16), np.nan), 5, "not finite"),
    ):
        with pytest.raises(ValueError, match=sentence):
            index.search(features, k)
    assert index.search(np.zeros((0, 16))) == []


def test_every_damaged_file_is_noticed(tmp_path, vectors):
    build_index(tmp_path, vectors[:200], kind="ivf", nlist=4)
    files = [*sorted(Store(tmp_path).table.files()), *["../manifest.json"] * 3]
    for name, damage in zip(files, itertools.cycle(("cut", "flip", "empty"))):
        path = tmp_path / "images.lance" / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        other = b"x" if whole[middle : middle + 1] != b"x" else b"y"
        flipped = whole[:middle] + other + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "empty": b"", "flip": flipped}[damage])
        with pytest.raises(SearchIndexError, match="damaged"):
            SearchIndex.open(tmp_path)
        path.write_bytes(whole)
    assert SearchIndex.open(tmp_path).verify() == 200


def test_a_large_index_answers_with_nothing_that_is_damaged(tmp_path, monkeypatch):
    """Too large to be checked whole at opening: by sizes, by every answer, and by verify."""
    vectors = clustered(20, dim=1024)
    build_index(tmp_path, vectors)
    monkeypatch.setattr(store, "CHECKED_AT_OPENING", 0)
    data = max((tmp_path / "images.lance" / "data").iterdir(), key=lambda path: path.stat().st_size)
    whole = data.read_bytes()
    at = whole.index(vectors[5].tobytes())  # a feature as it lies there
    data.write_bytes(whole[: at + 9] + bytes([whole[at + 9] ^ 1]) + whole[at + 10 :])
    index = SearchIndex.open(tmp_path)
    with pytest.raises(SearchIndexError, match="is damaged .the checksum of '/gallery/5.jpg' is wrong"):
        index.search(vectors[5:6], 1)
    with pytest.raises(SearchIndexError, match="damaged"):
        index.verify()
    data.write_bytes(whole[:-1])
    with pytest.raises(SearchIndexError, match="damaged"):
        SearchIndex.open(tmp_path)


def test_what_is_no_index_gets_a_sentence(tmp_path, vectors):
    with pytest.raises(SearchIndexError, match="holds no index; make one with ealn search index"):
        SearchIndex.open(tmp_path / "no")
    build_index(tmp_path, vectors)
    data = next((tmp_path / "images.lance" / "data").iterdir())
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(SearchIndexError, match="lance' is missing from the index; take the index from a backup"):
        SearchIndex.open(tmp_path)
    text = json.loads((tmp_path / "manifest.json").read_text())
    for number, sentence in ((3, "has format 3, expected 2"), (1, "earlier version of the plugin, whose format 1 is")):
        (tmp_path / "manifest.json").write_text(json.dumps({**text, "format": number}))
        with pytest.raises(SearchIndexError, match=sentence):
            SearchIndex.open(tmp_path)


def test_an_open_index_goes_on_with_what_others_have_made_of_it(tmp_path, vectors):
    build_index(tmp_path, vectors[:64], kind="flat")
    index = SearchIndex.open(tmp_path)
    assert not index.refresh() and len(index) == 64
    build_index(tmp_path, vectors[64:], 64, kind="flat")
    with IndexWriter.open(tmp_path) as writer:
        writer.remove(lambda records: records.ids == 3)  # the files that are open are gone
    assert index.search(vectors[200:201], 1)[0][0].id == 200 and len(index) == 299


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_filters_are_a_naive_scan(tmp_path, vectors, kind):
    rng, rows = np.random.default_rng(5), np.arange(300)
    colours = np.array(["red", "it's blue", "", 'a"b'], object)[rng.integers(0, 4, 300)]
    times, dated = np.where(rng.random(300) < 0.2, np.nan, rng.integers(0, 500, 300)), rng.random(300) < 0.5
    records = Records(
        [f"/{row}.jpg" for row in rows],
        rows // 4,
        rows % 7,
        rng.integers(-1, 3, 300),
        times=times,
        dated=dated,
        colours=colours,
        types=np.where(rows % 2, "van", "bus"),
        sources=np.where(rows < 100, "one", "/two three"),
    )
    with IndexWriter(tmp_path, 16, {}, kind=kind, nlist=6, nprobe=6) as writer:
        writer.add([(records, vectors)])
        writer.finish()
    index, query = SearchIndex.open(tmp_path), clustered(1, seed=8)
    known = ~np.isnan(times)
    for where, mask in (
        (Filter(), np.ones(300, bool)),
        (Filter(cameras=["3", 4]), np.isin(rows % 7, [2, 3])),
        (Filter(colours=["it's blue", 'a"b']), np.isin(colours, ["it's blue", 'a"b'])),
        (Filter(after="100", before="300"), known & ~dated & (times >= 100) & (times <= 300)),
        (Filter(after="1970-01-01T00:04"), known & dated & (times >= 240)),
        (Filter(views=["rear", View.SIDE]), np.isin(records.views, [1, 2])),
        (
            Filter(views=["front"], types=["van"], sources=["one"]),
            (records.views == 0) & (rows % 2 == 1) & (rows < 100),
        ),
        (Filter(vehicles=["7", "8"]), np.isin(rows // 4, [7, 8])),
        (Filter(cameras=["99"]), np.zeros(300, bool)),
        (Filter(cameras=["1' OR 'a' = 'a"]), np.zeros(300, bool)),
    ):
        scores = np.where(mask, vectors @ query[0], -2)
        wanted = [row for row in np.argsort(-scores, kind="stable")[:12].tolist() if mask[row]]
        found = [hit.id for hit in index.search(query, 12, where)[0]]
        assert found == wanted or (kind == "ivf" and len(set(found) & set(wanted)) >= len(wanted) - 1), where
        assert all(mask[number] for number in found)
    assert index.values("colour") == {value: int((colours == value).sum()) for value in ('a"b', "it's blue", "red")}
    assert list(index.values("camera")) == [str(number) for number in range(1, 8)]
    with pytest.raises(ValueError, match="column is 'path', expected one of camera"):
        index.values("path")


def test_groups_hold_their_nearest_image(tmp_path, vectors):
    build_index(tmp_path, vectors)
    index, query = SearchIndex.open(tmp_path), clustered(1, seed=8)
    ranked = index.search(query, 300)[0]
    for name in ("vehicle", "camera", "track"):
        first = {}
        for hit in ranked:
            first.setdefault(getattr(hit, name) or hit.id, []).append(hit)
        groups = index.search(query, 20, group_by=name)[0]
        assert [hit.id for hit in groups] == [hits[0].id for hits in first.values()][:20]
        assert [hit.rank for hit in groups] == list(range(1, len(groups) + 1)) and len(groups) == min(20, len(first))
    assert sum(1 + hit.more for hit in index.search(query, 3, group_by="camera")[0]) <= 300
    with pytest.raises(ValueError, match="group_by is 'colour', expected one of vehicle, camera, track"):
        index.search(query, 3, group_by="colour")


def test_single_images_by_their_ids(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with IndexWriter(tmp_path / "index", 16, {}) as writer:
        writer.add([(Records([str(tmp_path / "a.jpg"), "/gone.jpg"], tracks=["test 1", ""]), clustered(2))])
    index = SearchIndex.open(tmp_path / "index")
    assert index.image(0) == b"picture" and index.facts([1, 0]).tracks.tolist() == ["", "test 1"]
    np.testing.assert_array_equal(index.features([1, 0, 1]), clustered(2)[[1, 0, 1]])
    assert index.features([]).shape == (0, 16)
    with pytest.raises(FileNotFoundError):
        index.image(1)
    for ask in (index.image, lambda number: index.facts([number]), lambda number: index.features([number])):
        with pytest.raises(KeyError):
            ask(2)


def test_a_calibration_is_read_once_and_goes_with_the_index(tmp_path, vectors, monkeypatch):
    """Not once a hit: the values in the manifest become an object when the index is opened, or has changed."""
    build_index(tmp_path, vectors)
    index = SearchIndex.open(tmp_path)
    assert index.calibration is None and index.search(vectors[:1], 1)[0][0].probability is None
    fitted = Calibration(4.0, -1.0, 10, 100, 0.1, [])
    with IndexWriter.open(tmp_path) as writer:
        writer.calibrate(fitted)
    made = []
    monkeypatch.setattr("ealn_plugin.search.index.Calibration", lambda **values: made.append(1) or fitted)
    assert index.refresh() and index.calibration == fitted
    for hits in (*index.search(vectors[:5], 50), *index.search(vectors[:5], 20, group_by="vehicle")):
        np.testing.assert_allclose(
            [hit.probability for hit in hits], [fitted.probability(hit.similarity) for hit in hits], rtol=1e-6
        )
    assert len(made) == 1
