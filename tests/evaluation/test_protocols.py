import logging

import numpy as np
import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation import veri_lists, veri_protocols
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS, ProtocolUnavailable, draw_one_per_identity, evaluate_protocols
from ealn_plugin.evaluation.ranking import fast_ranking, rank_distances

RANKS = (1, 5, 10)


def features_of(seed=0, images=160, vehicles=12, cameras=4, levels=3, paths=True):
    """Features of whole numbers: their squared distances are exact, and many are equal."""
    rng = np.random.default_rng(seed)
    pids, camids = rng.integers(0, vehicles, images), rng.integers(0, cameras, images)
    names = [
        f"/veri/image_test/{pid:04d}_c{camid:03d}_{image:08d}_0.jpg"
        for image, (pid, camid) in enumerate(zip(pids, camids))
    ]
    return Features(
        rng.integers(-levels, levels + 1, (images, 5)) + pids[:, None] % 3,
        pids,
        camids,
        rng.integers(-1, 3, images),
        rng.random(images) < 0.3,
        names if paths else [],
    )


def squared(a, b):
    return ((a.astype(np.float64) - b) ** 2).sum()


def naive_metrics(lists):
    """Metrics of ranked lists of booleans, those of queries without a match among them."""
    hits = [[rank for rank, match in enumerate(matches, 1) if match] for matches in lists]
    hits = [ranks for ranks in hits if ranks]
    result = {
        "mAP": np.mean([np.mean([number / rank for number, rank in enumerate(ranks, 1)]) for ranks in hits]),
        "mINP": np.mean([len(ranks) / ranks[-1] for ranks in hits]),
    }
    return {**result, **{f"rank{k}": np.mean([ranks[0] <= k for ranks in hits]) for k in RANKS}}


def naive_lists(features, queries, gallery, is_junk):
    for q in queries:
        order = sorted(gallery, key=lambda g: squared(features.embeddings[q], features.embeddings[g]))
        yield [
            features.pids[q] == features.pids[g]
            for g in order
            if not (features.pids[q] == features.pids[g] and is_junk(q, g))
        ]


def split(features):
    return np.flatnonzero(features.is_query), np.flatnonzero(~features.is_query)


def assert_metrics(metrics, expected):
    assert {key: type(value) for key, value in metrics.items()} == dict.fromkeys(expected, float)
    assert metrics == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["image", "veri_image"])
@pytest.mark.parametrize("seed", range(3))
def test_image_to_image(name, seed):
    features = features_of(seed)
    expected = naive_metrics(
        naive_lists(features, *split(features), lambda q, g: features.camids[q] == features.camids[g])
    )
    assert_metrics(PROTOCOLS[name].evaluate(features), expected)


@pytest.mark.parametrize("name", ["same_view", "cross_view", "all_views"])
@pytest.mark.parametrize("seed", range(3))
def test_views(name, seed):
    features = features_of(seed)

    def is_junk(q, g):
        query_view, view = features.views[q], features.views[g]
        return (
            features.camids[q] == features.camids[g]
            or view == View.UNKNOWN
            or (name == "same_view" and view != query_view)
            or (name == "cross_view" and view == query_view)
        )

    queries, gallery = split(features)
    queries = [q for q in queries if features.views[q] != View.UNKNOWN]
    assert_metrics(PROTOCOLS[name].evaluate(features), naive_metrics(naive_lists(features, queries, gallery, is_junk)))


def as_vehicleid(features):
    """The same images in VehicleID's way: the first of each vehicle is the gallery with camera 1, no other cameras."""
    drawn = np.zeros(len(features), dtype=bool)
    drawn[np.unique(features.pids, return_index=True)[1]] = True
    return changed(features, is_query=~drawn, camids=drawn.astype(int))


@pytest.mark.parametrize("name", ["same_view", "cross_view", "all_views"])
def test_views_of_vehicleid_are_ranked_within_the_ten_draws(name):
    """Table II: one probe per vehicle, all others are the gallery; the release's own camera numbers mean nothing."""
    features = as_vehicleid(features_of(images=80, vehicles=15))

    def is_junk(q, g):
        query_view, view = features.views[q], features.views[g]
        return (
            view == View.UNKNOWN
            or (name == "same_view" and view != query_view)
            or (name == "cross_view" and view == query_view)
        )

    draws = []
    for probes, gallery in draw_one_per_identity(features):
        probes = [q for q in probes if features.views[q] != View.UNKNOWN]
        draws.append(naive_metrics(naive_lists(features, probes, gallery, is_junk)))
    assert len(draws) == 10
    expected = {key: np.mean([draw[key] for draw in draws]) for key in draws[0]}
    expected.update({f"{key}_std": np.std([draw[key] for draw in draws]) for key in draws[0]})
    assert_metrics(PROTOCOLS[name].evaluate(features), expected)
    assert expected["mAP_std"] > 0
    without_split = changed(features, is_query=np.zeros(80), camids=np.ones(80))
    assert PROTOCOLS[name].evaluate(without_split) == PROTOCOLS[name].evaluate(features)


def test_all_views_is_vehicleid_map_where_every_view_is_known():
    features = as_vehicleid(changed(features_of(images=80), views=np.arange(80) % 3))
    assert PROTOCOLS["all_views"].evaluate(features) == PROTOCOLS["vehicleid_map"].evaluate(features)


def test_draws_without_a_match_of_the_asked_view_do_not_count(caplog):
    views = np.full(12, -1)
    views[:2] = 0, 1  # one vehicle of four images, of which two have a view
    features = as_vehicleid(Features(np.arange(12)[:, None], np.arange(12) // 4, np.zeros(12), views, np.zeros(12)))
    with caplog.at_level(logging.WARNING):
        metrics = PROTOCOLS["cross_view"].evaluate(features)
    counted = len(PROTOCOLS["cross_view"].rank(features))
    assert 0 < counted < 10 and metrics["mAP_std"] >= 0
    assert f"cross_view: {10 - counted} of 10 draws have no match of the asked view" in caplog.text


def naive_track_lists(features, track_of):
    queries, gallery = split(features)
    for q in queries:
        smallest = {}
        for g in gallery:
            distance = squared(features.embeddings[q], features.embeddings[g])
            smallest[track_of[g]] = min(distance, smallest.get(track_of[g], np.inf))
        entry = {track_of[g]: g for g in gallery}
        kept = [
            track
            for track in sorted(smallest, key=lambda track: (smallest[track], track))
            if (features.pids[entry[track]], features.camids[entry[track]]) != (features.pids[q], features.camids[q])
        ]
        yield [features.pids[entry[track]] == features.pids[q] for track in kept]


@pytest.mark.parametrize("paths", [True, False])
def test_image_to_track_with_derived_tracks(paths):
    features = features_of(paths=paths)
    track_of = [(pid, camid) for pid, camid in zip(features.pids, features.camids)]
    assert_metrics(PROTOCOLS["veri_track"].evaluate(features), naive_metrics(naive_track_lists(features, track_of)))


def test_image_to_track_with_the_releases_tracks(tmp_path):
    features = features_of()
    gallery = split(features)[1]
    paths = [str(tmp_path / "image_test" / name.rsplit("/", 1)[1]) for name in features.paths]
    features = Features(features.embeddings, features.pids, features.camids, features.views, features.is_query, paths)
    by_track = {}
    for g in gallery:  # two tracks for each vehicle and camera
        by_track.setdefault((features.pids[g], features.camids[g], g % 2), []).append(g)
    lines = [" ".join(paths[g].rsplit("/", 1)[1] for g in images) for images in by_track.values()]
    (tmp_path / veri_lists.TRACK_FILE).write_text("\n".join(lines) + "\n")
    track_of = {g: number for number, images in enumerate(by_track.values()) for g in images}
    assert_metrics(PROTOCOLS["veri_track"].evaluate(features), naive_metrics(naive_track_lists(features, track_of)))


@pytest.mark.parametrize("name", ["vehicleid_cmc", "vehicleid_map"])
def test_vehicleid_draws(name):
    features = features_of(images=80, vehicles=20)
    draws = []
    for drawn, others in draw_one_per_identity(features):
        queries, gallery = (others, drawn) if name == "vehicleid_cmc" else (drawn, others)
        draws.append(naive_metrics(naive_lists(features, queries, gallery, lambda q, g: False)))
    assert len(draws) == 10
    expected = {key: np.mean([draw[key] for draw in draws]) for key in draws[0]}
    expected.update({f"{key}_std": np.std([draw[key] for draw in draws]) for key in draws[0]})
    assert_metrics(PROTOCOLS[name].evaluate(features), expected)
    assert expected["mAP_std"] > 0


def test_mean_average_precision_of_one_match_is_the_mean_reciprocal_rank():
    features = features_of()
    for ranks in PROTOCOLS["vehicleid_cmc"].rank(features):
        assert ranks.valid.all()
        np.testing.assert_allclose(ranks.average_precision, 1 / (ranks.first_match + 1))


def test_normalized_features_under_both_metrics_rank_alike():
    features = features_of(levels=100)
    euclidean = PROTOCOLS["image"].evaluate(features, normalize_feature=True)
    cosine = PROTOCOLS["image"].evaluate(features, dist_metric="cosine")
    assert euclidean == pytest.approx(cosine, abs=0.01)
    assert abs(euclidean["mAP"] - PROTOCOLS["image"].evaluate(features)["mAP"]) > 1e-3


@pytest.mark.parametrize("name", ["image", "veri_track", "vehicleid_map"])
def test_trapezoids_differ_from_the_mean_of_precisions(name):
    features = features_of()
    assert (
        PROTOCOLS[name].evaluate(features)["mAP"]
        != PROTOCOLS[name].evaluate(features, average_precision="trapezoid")["mAP"]
    )


def test_the_ranks_asked_for_are_reported():
    metrics = PROTOCOLS["image"].evaluate(features_of(), ranks=[3, 500])
    assert sorted(metrics) == ["mAP", "mINP", "rank3", "rank500"] and metrics["rank500"] == 1.0


def test_reranking_is_torchreids():
    features = features_of(images=120, levels=50)
    queries, gallery = (torch.from_numpy(part.embeddings) for part in (features.query, features.gallery))
    matrices = [
        toolkit.distance_matrix(*pair).numpy() for pair in ((queries, gallery), (queries, queries), (gallery, gallery))
    ]
    query, entries = features.query, features.gallery
    expected = rank_distances(toolkit.re_ranking(*matrices), query.pids, entries.pids, query.camids, entries.camids)
    metrics = PROTOCOLS["image"].evaluate(features, rerank=True)
    assert metrics["mAP"] == pytest.approx(expected.mean_average_precision)
    assert metrics["mAP"] != PROTOCOLS["image"].evaluate(features)["mAP"]
    for name in ("veri_track", "cross_view"):
        assert 0 < PROTOCOLS[name].evaluate(features, rerank=True)["mAP"] <= 1


def changed(features, **arrays):
    names = ("embeddings", "pids", "camids", "views", "is_query", "paths")
    return Features(**{**{name: getattr(features, name) for name in names}, **arrays})


@pytest.mark.parametrize(
    "name, arrays, sentence",
    [
        ("cross_view", {"views": np.full(160, -1)}, "cross_view: no query image has a view label; .*viewpoints.csv"),
        ("cross_view", {"views": np.zeros(160)}, "cross_view: none of the .* queries with a view label has a match"),
        ("image", {"is_query": np.zeros(160)}, "image: there are 0 query and 160 gallery images"),
        ("veri_track", {"is_query": np.ones(160)}, "veri_track: there are 160 query and 0 gallery images"),
        ("vehicleid_map", {"pids": np.arange(160)}, "vehicleid_map: none of the 160 images shares its identity"),
    ],
)
def test_what_features_cannot_support_is_unavailable(name, arrays, sentence):
    with pytest.raises(ProtocolUnavailable, match=sentence):
        PROTOCOLS[name].evaluate(changed(features_of(), **arrays))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"dist_metric": "l1"}, "metric is 'l1'"),
        ({"ranks": ()}, "ranks is"),
        ({"ranks": (0, 1)}, "ranks is"),
        ({"average_precision": "x"}, "average_precision is 'x'"),
    ],
)
def test_wrong_options_are_errors(options, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        PROTOCOLS["image"].evaluate(features_of(), **options)
    assert not isinstance(caught.value, ProtocolUnavailable)


def test_queries_without_a_match_are_an_error():
    features = features_of()
    with pytest.raises(ValueError, match="image: none of the .* queries has a match") as caught:
        PROTOCOLS["image"].evaluate(changed(features, pids=features.pids + 100 * features.is_query))
    assert not isinstance(caught.value, ProtocolUnavailable)


def test_several_protocols_at_once_leave_out_what_is_unavailable(caplog):
    features = changed(features_of(), views=np.full(160, -1))
    with caplog.at_level(logging.WARNING):
        results = evaluate_protocols(features, ["image", "cross_view", "vehicleid_cmc"], ranks=(1,))
    assert list(results) == ["image", "vehicleid_cmc"]
    assert results["image"] == PROTOCOLS["image"].evaluate(features, ranks=(1,))
    assert "cross_view: no query image has a view label" in caplog.text
    with pytest.raises(ValueError, match="'veri' is not a protocol, expected some of image, veri_image"):
        evaluate_protocols(features, ["image", "veri"])


def test_veri_image_checks_the_index_files_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(veri_protocols, "_verified_folders", set())
    features = features_of()
    features = changed(features, paths=[path.replace("/veri", str(tmp_path)) for path in features.paths])
    for name in (veri_lists.GOOD_FILE, veri_lists.JUNK_FILE):
        (tmp_path / name).write_text("1\n" * int(features.is_query.sum()))
    with caplog.at_level(logging.INFO):
        metrics = PROTOCOLS["veri_image"].evaluate(features)
        PROTOCOLS["veri_image"].evaluate(features)
    assert caplog.text.count("queries differ") == 1
    assert metrics == PROTOCOLS["image"].evaluate(features)


def test_index_files_that_do_not_fit_do_not_stop_the_evaluation(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(veri_protocols, "_verified_folders", set())
    features = features_of()
    features = changed(features, paths=[path.replace("/veri", str(tmp_path)) for path in features.paths])
    for name in (veri_lists.GOOD_FILE, veri_lists.JUNK_FILE):
        (tmp_path / name).write_text("1\n")
    assert PROTOCOLS["veri_image"].evaluate(features) == PROTOCOLS["image"].evaluate(features)
    assert "could not be compared" in caplog.text


@pytest.mark.parametrize("fast", [True, False])
def test_the_metric_of_cuhk03_is_torchreids(fast):
    features = features_of(levels=1000)
    query, gallery = features.query, features.gallery
    distances = toolkit.distance_matrix(*(torch.from_numpy(part.embeddings) for part in (query, gallery))).numpy()
    state = np.random.get_state()[1:3]
    fast_ranking(fast)
    try:
        metrics = PROTOCOLS["image"].evaluate(features, use_metric_cuhk03=True, ranks=(1, 5, 500))
        assert (np.random.get_state()[1] == state[0]).all() and np.random.get_state()[2] == state[1]
        assert metrics == PROTOCOLS["image"].evaluate(features, use_metric_cuhk03=True, ranks=(1, 5, 500))
        np.random.seed(0)
        curve, mean = toolkit.evaluate_rank(
            distances, query.pids, gallery.pids, query.camids, gallery.camids, max_rank=5, use_metric_cuhk03=True
        )
    finally:
        fast_ranking(True)
    usual = PROTOCOLS["image"].evaluate(features, ranks=(1, 5, 500))
    assert_metrics(
        metrics,
        {"mAP": mean, "mINP": usual["mINP"], "rank1": float(curve[0]), "rank5": float(curve[4]), "rank500": 1.0},
    )
    assert metrics["mAP"] == pytest.approx(usual["mAP"]) and metrics["rank1"] != usual["rank1"]


def test_other_protocols_pay_no_attention_to_the_metric_of_cuhk03():
    features = changed(features_of(), views=np.arange(160) % 3)
    names = [name for name in PROTOCOLS if name != "image"]
    results = evaluate_protocols(features, [*names, "image"], use_metric_cuhk03=True)
    assert results.pop("image") != PROTOCOLS["image"].evaluate(features)
    assert results == evaluate_protocols(features, names)
