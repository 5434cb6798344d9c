"""ealn_plugin/search/places.py: hits ordered as loops over the formulas order them, and what is not known."""

import json
import math

import numpy as np
import pytest

from ealn_plugin.search import Filter, IndexWriter, Records, SearchIndex, Whereabouts
from ealn_plugin.search import index as index_module
from ealn_plugin.search.places import CameraDistances, FittedTransitions, whereabouts_of
from tests.helpers.standins import clustered

pytest.importorskip("lance")

CAMERAS = ["a", "b", "10", "2"]
COUNT = 240


@pytest.fixture(scope="module")
def vectors():
    return clustered(COUNT)


@pytest.fixture(scope="module")
def records():
    """Vehicles of four images at cameras in turn; some images without a camera or a time, and some with dates."""
    rng, rows = np.random.default_rng(2), np.arange(COUNT)
    times = np.where(rows % 11 == 0, math.nan, 100.0 * (rows // 4) + rng.uniform(1, 90, COUNT))
    return Records(
        [f"/gallery/{row}.jpg" for row in rows],
        rows // 4,
        times=times,
        dated=rows % 13 == 0,
        vehicles=(rows // 4).astype(str),
        cameras=np.array(["" if row % 7 == 0 else CAMERAS[row % 4] for row in rows], object),
    )


@pytest.fixture(scope="module")
def distances():
    places = np.random.default_rng(3).uniform(0, 9, (len(CAMERAS), 2))
    return CameraDistances(CAMERAS, np.linalg.norm(places[:, None] - places[None], axis=2).tolist(), "the town")


@pytest.fixture(scope="module")
def place(tmp_path_factory, records, vectors, distances):
    folder = tmp_path_factory.mktemp("placed")
    with IndexWriter(folder, 16, {}, kind="ivf", nlist=6, nprobe=1) as writer:
        writer.add([(records, vectors)])
        writer.place(distances, FittedTransitions.fit(records, "made up"))
        writer.finish()
    return folder


def naive(form, records, vectors, query, camera, time, dated, weight, distances, fitted):
    """(ids in order, fits) by loops over the formulas."""
    numbers = [time for time, one in zip(records.times, records.dated) if one == dated and not math.isnan(time)]
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    apart = np.mean([1 - similar[i, j] for i in range(COUNT) for j in range(COUNT) if i != j])
    fits = []
    for row in range(COUNT):
        other, when = records.cameras[row], records.times[row]
        if not other or math.isnan(when) or records.dated[row] != dated:
            fits.append(None)
        elif form == "distance":
            far = distances.distances[CAMERAS.index(camera)][CAMERAS.index(other)] / max(map(max, distances.distances))
            fits.append(1 - min(1, far * abs(time - when) / (max(numbers) - min(numbers))))
        else:
            pair = sorted(fitted.cameras.index(label) for label in (camera, other))
            gap, densities = math.log(max(abs(time - when), 1)), []
            for fit in (fitted.own, fitted.any):
                known = {(one, two): values for one, two, *values in fit}
                mean, deviation = known.get(tuple(pair), known[-1, -1])
                densities.append(math.exp(-(((gap - mean) / deviation) ** 2) / 2) / deviation)
            fits.append(densities[0] / (densities[0] + densities[1]))
    mean = np.mean([fit for fit in fits if fit is not None])
    scores = [
        float(vectors[row] @ query) + (0 if fits[row] is None else weight * apart * (fits[row] - mean))
        for row in range(COUNT)
    ]
    return sorted(range(COUNT), key=lambda row: -scores[row]), fits, scores


@pytest.mark.parametrize("form, weight", [("distance", 0.5), ("transitions", 0.5), ("transitions", 3.0)])
def test_hits_are_ordered_as_by_loops_over_the_formulas(place, records, vectors, distances, form, weight):
    index, fitted = SearchIndex.open(place), FittedTransitions.fit(records, "made up")
    queries = clustered(3, seed=4)
    cameras, times = ["b", "2", "a"], [(2111.5, "2111.5", False), (4000.0, "1970-01-01 01:06:40", True), (0, "", 0)]
    asked = Whereabouts(form, cameras, [text for _, text, _ in times], weight)
    found = index.search(queries, COUNT, whereabouts=asked)
    for query, camera, (time, _, dated), hits in list(zip(queries, cameras, times, found))[:2]:
        order, fits, scores = naive(form, records, vectors, query, camera, time, bool(dated), weight, distances, fitted)
        if form == "transitions" and dated:  # the times that were fitted are numbers
            fits, scores = [None] * COUNT, (vectors @ query).tolist()
            order = sorted(range(COUNT), key=lambda row: -scores[row])
        ids = [hit.id for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], [scores[row] for row in ids], atol=2e-6)
        np.testing.assert_allclose(sorted((hit.score for hit in hits), reverse=True), [hit.score for hit in hits])
        assert np.mean(np.array(ids) == order) > 0.95  # but for scores that are equal to the last digit
        assert [hit.rank for hit in hits] == list(range(1, COUNT + 1))
        for hit in hits:
            assert (hit.fits is None) == (fits[hit.id] is None)
            assert hit.fits is None or hit.fits == pytest.approx(fits[hit.id], abs=1e-9)
            assert fits[hit.id] is not None or hit.score == pytest.approx(hit.similarity)  # it keeps its place
    assert [hit.id for hit in found[2]] == [hit.id for hit in index.exact(queries[2:], COUNT)[0]]  # no time is known


def test_only_candidates_are_ordered_and_filters_and_groups_hold(place, vectors, monkeypatch):
    index, asked = SearchIndex.open(place), Whereabouts("transitions", ["b"], ["2111"], 2.0)
    query, similar = vectors[5:6], Filter(cameras=["a", "2"])
    everything = index.search(query, COUNT, whereabouts=asked)[0]
    where = index.search(query, 20, similar, whereabouts=asked)[0]
    assert {hit.camera for hit in where} == {"a", "2"}
    assert [hit.id for hit in where] == [hit.id for hit in everything if hit.camera in ("a", "2")][:20]
    groups = index.search(query, 5, group_by="vehicle", whereabouts=asked)[0]
    assert [hit.id for hit in groups] == [
        hit.id for row, hit in enumerate(everything) if hit.vehicle not in {one.vehicle for one in everything[:row]}
    ][:5]
    monkeypatch.setattr(index_module, "CANDIDATES", 40)
    nearest = [hit.id for hit in SearchIndex.open(place, kind="flat").search(query, 40)[0]]
    few = SearchIndex.open(place, kind="flat").search(query, 10, whereabouts=asked)[0]
    assert {hit.id for hit in few} <= set(nearest) and few[0].id == max(few, key=lambda hit: hit.score).id
    assert few != everything[:10] and [hit.id for hit in few] != nearest[:10]


def test_what_is_known_goes_with_the_index(place, tmp_path, records, vectors):
    index = SearchIndex.open(place)
    assert index.manifest.places["mean_distance"] == pytest.approx(
        1 - np.mean((vectors @ vectors.T)[~np.eye(COUNT, dtype=bool)]), abs=1e-6
    )
    fitted = FittedTransitions.fit(records, "made up")
    assert FittedTransitions(**json.loads(json.dumps(fitted.as_json()))) == fitted and not fitted.dated
    assert str(fitted) == "transition times of 6 pairs of cameras, fitted on 60 vehicles (made up)"
    with IndexWriter(tmp_path, 16, {}) as writer:
        writer.add([(records, vectors)])
        writer.finish()
    assert SearchIndex.open(tmp_path).manifest.places == {}
    for form, sentence in (
        ("distance", "knows no distances between its cameras, expected a dataset whose folder has a camera_Dist.txt"),
        ("transitions", "knows no transition times; fit them on labelled images with .* calibrate --transitions"),
    ):
        with pytest.raises(ValueError, match=sentence):
            SearchIndex.open(tmp_path).search(vectors[:1], 3, whereabouts=Whereabouts(form, ["a"], ["1"]))


def test_where_and_when_a_query_was_taken(place, tmp_path, caplog):
    index = SearchIndex.open(place)
    (tmp_path / "image_query").mkdir()
    (tmp_path / "times.csv").write_text("image,time\nimage_query/0001_c002_00016450_0.jpg,12.5\n")
    paths = ["/gallery/5.jpg", str(tmp_path / "image_query" / "0001_c002_00016450_0.jpg"), str(tmp_path / "a.jpg")]
    paths += ["/elsewhere/0001_c002_00016450_0.jpg"]
    found = whereabouts_of(index, paths, "distance")
    assert found.cameras == ["b", "2", "", "2"] and found.times[1:] == ["12.5", "", "16450"]
    assert float(found.times[0]) == SearchIndex.open(place).facts([5]).times[0]
    assert caplog.text.count("is not known, so its hits are ranked by appearance alone") == 1 and "a.jpg" in caplog.text
    given = whereabouts_of(index, paths, "distance", 2.0, "a", "77")
    assert (given.cameras, given.times, given.weight) == (["a"] * 4, ["77"] * 4, 2.0)
    with pytest.raises(ValueError, match="camera is 'c', whose distances the index does not know, expected one of a, "):
        whereabouts_of(index, paths, "distance", 0.5, "c", "77")


@pytest.mark.parametrize(
    "values, sentence",
    [
        (("space", ["a"], ["1"]), "where_and_when is 'space', expected one of distance, transitions"),
        (("distance", ["a"], ["1"], -1), "where_weight is -1, expected 0 or more"),
        (("distance", ["a"], ["1"], math.nan), "where_weight is nan"),
        (("distance", ["a"], []), "1 cameras and 0 times"),
        (("distance", "a", ["1"]), "cameras is 'a', expected a list"),
        (("distance", ["a"], ["noon"]), "time 'noon' is neither"),
    ],
)
def test_whereabouts_that_are_none(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Whereabouts(*values)


def test_whereabouts_of_other_queries(place, vectors):
    with pytest.raises(ValueError, match="whereabouts are of 1 queries, expected 2"):
        SearchIndex.open(place).search(vectors[:2], 3, whereabouts=Whereabouts("distance", ["a"], ["1"]))
