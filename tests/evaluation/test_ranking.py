import logging
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin import toolkit
from ealn_plugin.evaluation import ranking
from ealn_plugin.evaluation.query_ranks import NoValidQuery
from ealn_plugin.evaluation.ranking import evaluate_rank, fast_ranking, rank_distances, rank_features


@pytest.fixture(autouse=True)
def empty_slot():
    """Each test starts and ends with torchreid's own ranking in its slot."""
    before = (getattr(slot_module(), "evaluate_cy", None), slot_module().IS_CYTHON_AVAI)
    fast_ranking(False)
    yield
    slot_module().evaluate_cy, slot_module().IS_CYTHON_AVAI = before


def slot_module():
    return sys.modules[toolkit.torchreid.metrics.evaluate_rank.__module__]


def torchreids(distmat, *labels, max_rank=50, cuhk03=False):
    return toolkit.torchreid.metrics.evaluate_rank(
        distmat, *labels, max_rank=max_rank, use_metric_cuhk03=cuhk03, use_cython=False
    )


def naive(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """CMC, mAP and mINP by their definitions, in the order of a stable sort."""
    first, precisions, penalties = [], [], []
    for q, row in enumerate(distmat.tolist()):
        order = sorted(range(len(row)), key=lambda g: (row[g], g))
        kept = [g for g in order if not (g_pids[g] == q_pids[q] and g_camids[g] == q_camids[q])]
        hits = [rank for rank, g in enumerate(kept, 1) if g_pids[g] == q_pids[q]]
        if hits:
            first.append(hits[0])
            precisions.append(sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits))
            penalties.append(len(hits) / hits[-1])
    if not first:
        return None
    cmc = [sum(rank <= k for rank in first) / len(first) for k in range(1, min(max_rank, len(g_pids)) + 1)]
    return cmc, sum(precisions) / len(first), sum(penalties) / len(first)


def labels_of(rng, queries, gallery, vehicles, cameras):
    return (
        rng.integers(0, vehicles, queries),
        rng.integers(0, vehicles, gallery),
        rng.integers(0, cameras, queries),
        rng.integers(0, cameras, gallery),
    )


def without_ties(rng, queries, gallery):
    return rng.permuted(np.tile(np.arange(gallery, dtype=np.float32), (queries, 1)), axis=1)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([1, 3, 50]),
)
def test_without_ties_equals_torchreid(seed, queries, gallery, vehicles, cameras, max_rank):
    rng = np.random.default_rng(seed)
    labels, distmat = labels_of(rng, queries, gallery, vehicles, cameras), without_ties(rng, queries, gallery)
    rows = [np.count_nonzero((labels[1] != pid) | (labels[3] != camid)) for pid, camid in zip(labels[0], labels[2])]
    length = min([max_rank, gallery] + [row for row in rows if row])  # torchreid fails on rows shorter than max_rank
    try:
        expected = torchreids(distmat, *labels, max_rank=length)
    except AssertionError:
        with pytest.raises(NoValidQuery):
            evaluate_rank(distmat, *labels, max_rank=max_rank)
        return
    cmc, mean_average_precision = evaluate_rank(distmat, *labels, max_rank=max_rank)
    assert cmc.dtype == np.float32 and cmc.shape == (min(max_rank, gallery),)
    assert type(mean_average_precision) is float
    np.testing.assert_allclose(cmc[:length], expected[0], atol=1e-6)
    assert mean_average_precision == pytest.approx(expected[1], abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32),
    st.integers(1, 8),
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([1, 2, 6, 200]),
    st.sampled_from([np.float16, np.float32, np.float64, np.uint8]),
)
def test_with_ties_equals_a_stable_sort(seed, queries, gallery, vehicles, cameras, levels, dtype):
    rng = np.random.default_rng(seed)
    labels = labels_of(rng, queries, gallery, vehicles, cameras)
    distmat = rng.integers(0, levels, (queries, gallery)).astype(dtype)
    expected = naive(distmat, *labels, max_rank=20)
    if expected is None:
        with pytest.raises(NoValidQuery):
            evaluate_rank(distmat, *labels, max_rank=20)
        return
    cmc, mean_average_precision = evaluate_rank(distmat, *labels, max_rank=20)
    np.testing.assert_allclose(cmc, expected[0], atol=1e-6)
    assert mean_average_precision == pytest.approx(expected[1], abs=1e-12)
    assert rank_distances(distmat, *labels).mean_inverse_negative_penalty == pytest.approx(expected[2], abs=1e-12)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_many_blocks_and_threads_give_the_same(order, monkeypatch):
    rng = np.random.default_rng(3)
    labels, distmat = labels_of(rng, 60, 300, 10, 4), rng.integers(0, 99, (60, 300)).astype(np.float32)
    expected = naive(distmat, *labels, max_rank=50)
    laid_out = {"C": distmat, "F": np.asfortranarray(distmat), "strided": np.repeat(distmat, 2, axis=1)[:, ::2]}
    for entries in (1, 2000, 10**9):
        monkeypatch.setattr(ranking, "_ENTRIES_PER_RANKING", entries)
        cmc, mean_average_precision = evaluate_rank(laid_out[order], *labels)
        np.testing.assert_allclose(cmc, expected[0], atol=1e-6)
        assert mean_average_precision == pytest.approx(expected[1], abs=1e-12)


def test_row_cut_short_by_junk_repeats_its_last_value():
    distmat = np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
    cmc, mean_average_precision = evaluate_rank(distmat, [1], [1, 1, 1, 1], [0], [0, 0, 0, 1], max_rank=4)
    assert cmc.tolist() == [1, 1, 1, 1] and mean_average_precision == 1.0


def test_max_rank_is_cut_to_the_gallery_with_a_warning(caplog):
    distmat = np.array([[0.2, 0.1]], dtype=np.float32)
    with caplog.at_level(logging.WARNING):
        cmc, _ = evaluate_rank(distmat, [1], [1, 2], [0], [1, 1], max_rank=50)
    assert cmc.tolist() == [0, 1]
    assert "max_rank 50" in caplog.text and "rank 2" in caplog.text


def test_labels_may_be_strings_and_lists():
    distmat = np.array([[0.2, 0.1]])
    assert evaluate_rank(distmat, ["a"], ["a", "b"], ["x"], ["y", "y"], max_rank=2)[1] == 0.5


@pytest.mark.parametrize(
    "distmat, labels, options, sentence",
    [
        (torch.zeros(1, 2), ([1], [1, 2], [0], [1, 1]), {}, r"torch.Tensor, expected a numpy array; .*cpu\(\)"),
        ([[0.0, 1.0]], ([1], [1, 2], [0], [1, 1]), {}, "builtins.list, expected a numpy array"),
        (np.zeros(3), ([1], [1, 2], [0], [1, 1]), {}, r"shape \(3,\), expected \[queries, gallery\]"),
        (np.zeros((0, 2)), ([], [1, 2], [], [1, 1]), {}, r"shape \(0, 2\).*not empty"),
        (np.zeros((2, 0)), ([1, 2], [], [0, 0], []), {}, r"shape \(2, 0\).*not empty"),
        (np.zeros((1, 2), dtype=complex), ([1], [1, 2], [0], [1, 1]), {}, "complex128, expected real numbers"),
        (np.zeros((1, 2)), ([1, 1], [1, 2], [0], [1, 1]), {}, r"q_pids has shape \(2,\), expected \(1,\).*1 queries"),
        (np.zeros((1, 2)), ([1], [1, 2, 3], [0], [1, 1]), {}, r"g_pids has shape \(3,\), expected \(2,\).*2 gallery"),
        (np.zeros((1, 2)), ([1], [1, 2], [[0]], [1, 1]), {}, r"q_camids has shape \(1, 1\)"),
        (np.zeros((1, 2)), ([1], [1, 2], [0], [1]), {}, r"g_camids has shape \(1,\)"),
        (np.zeros((1, 2)), ([3], [1, 2], [0], [1, 1]), {}, "none of the 1 queries has a match.*share vehicle numbers"),
        (np.zeros((1, 2)), ([1], [1, 2], [0], [0, 1]), {}, "none of the 1 queries has a match.*camid"),
        (np.zeros((1, 2)), ([1], [1, 2], [0], [1, 1]), {"max_rank": 0}, "max_rank is 0, expected.*at least 1"),
        (np.zeros((1, 2)), ([1], [1, 2], [0], [1, 1]), {"max_rank": 2.5}, "max_rank is 2.5"),
        (np.array([[0, 1], [0, np.nan]]), ([1, 1], [1, 2], [0, 0], [1, 1]), {}, "query 1 to gallery entry 1 is NaN"),
        (np.array([[0, np.nan]]), ([1], [1, 2], [0], [1, 1]), {"use_metric_cuhk03": True}, "query 0 .* is NaN"),
        (np.zeros((1, 2)), ([3], [1, 2], [0], [1, 1]), {"use_metric_cuhk03": True}, "none of the 1 queries"),
    ],
)
def test_bad_input_gets_one_sentence(distmat, labels, options, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        evaluate_rank(distmat, *labels, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"junk": "camera"}, "junk is 'camera', expected 'same_camera'"),
        ({"junk": 3}, "junk is 3"),
        ({"average_precision": "median"}, "average_precision is 'median'"),
        ({}, "needs q_camids and g_camids"),
    ],
)
def test_bad_options_get_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        rank_distances(np.zeros((1, 2)), [1], [1, 2], **options)


def test_nan_is_named_in_the_numbering_of_all_queries(monkeypatch):
    monkeypatch.setattr(ranking, "_ENTRIES_PER_RANKING", 6)
    distmat = np.zeros((9, 3), dtype=np.float32)
    distmat[7, 2] = np.nan
    with pytest.raises(ValueError, match="query 7 to gallery entry 2"):
        rank_distances(distmat, np.zeros(9), np.zeros(3), junk=None)


def features_of(rng, queries, gallery, levels):
    """Whole numbers: their distances are exact in float32, so every route sees the same ties."""
    return [rng.integers(-levels, levels + 1, (size, 6)).astype(np.float32) for size in (queries, gallery)]


def assert_same(a, b):
    for name in ("valid", "first_match", "average_precision", "inverse_negative_penalty"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32),
    st.integers(1, 20),
    st.integers(1, 40),
    st.sampled_from([1, 9]),
    st.integers(1, 25),
    st.sampled_from(["same_camera", None, "function"]),
    st.sampled_from(["mean", "trapezoid"]),
)
def test_blocks_from_features_equal_the_matrix_route(seed, queries, gallery, levels, block, junk, style):
    rng = np.random.default_rng(seed)
    labels, features = labels_of(rng, queries, gallery, 2, 2), features_of(rng, queries, gallery, levels)
    mask = rng.random((queries, gallery)) < 0.3
    junk = (lambda q, g: mask[q, g]) if junk == "function" else junk
    distmat = toolkit.distance_matrix(*map(torch.from_numpy, features)).numpy()
    options = {"junk": junk, "average_precision": style}
    try:
        expected = rank_distances(distmat, *labels, **options)
    except NoValidQuery:
        with pytest.raises(NoValidQuery):
            rank_features(*features, *labels, block=block, **options)
        return
    assert_same(rank_features(*features, *labels, block=block, **options), expected)
    assert_same(rank_features(*features, *labels, **options), expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_real_valued_features_equal_the_matrix_route(metric):
    rng = np.random.default_rng(0)
    labels, features = labels_of(rng, 70, 400, 12, 4), [torch.randn(70, 32), torch.randn(400, 32)]
    distmat = toolkit.distance_matrix(*features, metric).numpy()
    expected = evaluate_rank(distmat, *labels)
    ranks = rank_features(*features, *labels, metric=metric, block=16)
    np.testing.assert_allclose(ranks.cmc(50), expected[0], atol=0.02)  # a block may round its last bit otherwise
    assert ranks.mean_average_precision == pytest.approx(expected[1], abs=1e-3)


def test_the_route_of_an_accelerator_equals_numpys(monkeypatch):
    rng = np.random.default_rng(1)
    labels, features = labels_of(rng, 30, 90, 5, 3), features_of(rng, 30, 90, 2)
    expected = rank_features(*features, *labels)
    rank_rows = ranking._rank_rows
    monkeypatch.setattr(ranking, "_rank_rows", lambda distances, *rest: rank_rows(torch.from_numpy(distances), *rest))
    assert_same(rank_features(*features, *labels), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    rng = np.random.default_rng(1)
    labels, features = labels_of(rng, 300, 900, 30, 3), features_of(rng, 300, 900, 2)
    assert_same(rank_features(*features, *labels, device="cuda", block=64), rank_features(*features, *labels))


@pytest.mark.parametrize(
    "features, options, sentence",
    [
        ((np.zeros((2, 3)), np.zeros((2, 4))), {}, "3 dimensions and gallery features 4"),
        ((np.zeros((0, 3)), np.zeros((2, 3))), {}, "query_features has shape \\(0, 3\\)"),
        ((np.zeros(3), np.zeros((2, 3))), {}, "query_features has shape \\(3,\\)"),
        ((np.zeros((2, 3)), np.zeros((2, 3))), {"metric": "l1"}, "metric is 'l1'"),
        ((np.zeros((2, 3)), np.zeros((2, 3))), {"block": 0}, "block is 0"),
        ((np.full((2, 3), np.nan), np.zeros((2, 3))), {}, "query 0 to gallery entry 0 is NaN"),
    ],
)
def test_bad_features_get_one_sentence(features, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        rank_features(*features, [1, 1][: len(features[0])], [1, 1], junk=None, **options)


def test_the_slot_is_filled_and_emptied():
    rng = np.random.default_rng(5)
    labels, distmat = labels_of(rng, 20, 80, 6, 3), without_ties(rng, 20, 80)
    module, before = slot_module(), (getattr(slot_module(), "evaluate_cy", None), slot_module().IS_CYTHON_AVAI)
    expected = torchreids(distmat, *labels)
    fast_ranking()
    fast_ranking(True)
    assert module.evaluate_cy is ranking._in_torchreids_slot and module.IS_CYTHON_AVAI
    cmc, mean_average_precision = toolkit.evaluate_rank(distmat, *labels)
    np.testing.assert_allclose(cmc, expected[0], atol=1e-6)
    assert mean_average_precision == pytest.approx(expected[1], abs=1e-6)
    with pytest.raises(ValueError, match="NaN"):
        toolkit.evaluate_rank(np.full_like(distmat, np.nan), *labels)
    fast_ranking(False)
    assert (getattr(module, "evaluate_cy", None), module.IS_CYTHON_AVAI) == before


@pytest.mark.slow
@pytest.mark.parametrize("queries, gallery, vehicles, cameras", [(168, 11579, 200, 20), (1500, 2400, 2400, 0)])
def test_real_sizes_equal_torchreid(queries, gallery, vehicles, cameras):
    rng = np.random.default_rng(7)
    distmat = rng.permuted(np.tile(np.arange(gallery, dtype=np.float32), (queries, 1)), axis=1)
    if cameras:
        labels = labels_of(rng, queries, gallery, vehicles, cameras)
    else:
        labels = (rng.integers(0, vehicles, queries), np.arange(gallery), np.zeros(queries), np.ones(gallery))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torchreids(distmat, *labels)
    result = evaluate_rank(distmat, *labels)
    np.testing.assert_allclose(result[0], expected[0], atol=1e-6)
    assert result[1] == pytest.approx(expected[1], abs=1e-6)
