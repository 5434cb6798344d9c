# ruff: noqa: NPY002 - the metric draws from numpy's global random state
import numpy as np
import pytest

from ealn_plugin import toolkit
from ealn_plugin.evaluation.ranking import evaluate_rank


def task(seed, queries=12, gallery=120, vehicles=15):
    rng = np.random.default_rng(seed)
    distmat = rng.permuted(np.tile(np.arange(gallery, dtype=np.float32), (queries, 1)), axis=1)
    labels = (
        rng.integers(0, vehicles, queries),
        rng.integers(0, vehicles, gallery),
        rng.integers(0, 2, queries),
        rng.integers(0, 2, gallery),
    )
    return distmat, labels


@pytest.mark.parametrize("seed", range(4))
def test_same_seed_gives_torchreids_figures(seed):
    distmat, labels = task(seed)
    np.random.seed(seed)
    expected = toolkit.torchreid.metrics.evaluate_rank(
        distmat, *labels, max_rank=8, use_metric_cuhk03=True, use_cython=False
    )
    following = np.random.random()
    np.random.seed(seed)
    cmc, mean_average_precision = evaluate_rank(distmat, *labels, max_rank=8, use_metric_cuhk03=True)
    np.testing.assert_allclose(cmc, expected[0], atol=1e-6)
    assert cmc.dtype == np.float32
    assert mean_average_precision == pytest.approx(expected[1], abs=1e-6)
    assert np.random.random() == following


def test_fewer_identities_than_max_rank_repeat_the_last_value():
    distmat, labels = task(0, vehicles=3)
    cmc, _ = evaluate_rank(distmat, *labels, max_rank=50, use_metric_cuhk03=True)
    assert cmc.shape == (50,)
    np.testing.assert_array_equal(cmc[2:], 1)
    assert (np.diff(cmc) >= 0).all()


def test_mean_average_precision_is_that_of_the_usual_metric():
    distmat, labels = task(1)
    usual = evaluate_rank(distmat, *labels)[1]
    assert evaluate_rank(distmat, *labels, use_metric_cuhk03=True)[1] == pytest.approx(usual)
