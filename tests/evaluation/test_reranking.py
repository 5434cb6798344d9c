"""ealn_plugin/evaluation/reranking.py: torchreid's numbers; sizes at the edge; less memory than its matrices."""

import numpy as np
import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.evaluation import reranking
from ealn_plugin.evaluation.reranking import rerank


def clustered(count, vehicles, seed, dim=16, noise=0.6):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(vehicles, dim))
    return (centres[random.integers(0, vehicles, count)] + noise * random.normal(size=(count, dim))).astype(np.float32)


def torchreids(queries, gallery, metric, **options):
    q, g = map(torch.from_numpy, (queries, gallery))
    matrices = [toolkit.distance_matrix(a, b, metric).numpy() for a, b in ((q, g), (q, q), (g, g))]
    return toolkit.torchreid.utils.re_ranking(*matrices, **options)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({}, {}),
        (dict(k1=7, k2=1, weight=0.5), dict(k1=7, k2=1, lambda_value=0.5)),
        (dict(k1=12, k2=3, weight=0.0), dict(k1=12, k2=3, lambda_value=0.0)),
    ],
)
def test_distances_are_torchreids(monkeypatch, metric, ours, theirs):
    monkeypatch.setattr(reranking, "_ROWS_AT_A_TIME", 37)
    monkeypatch.setattr(reranking, "_PAIRS_AT_A_TIME", 100)
    features = clustered(260, 24, 3)
    expected = torchreids(features[:60], features[60:], metric, **theirs)
    found = rerank(features[:60], features[60:], metric, **ours)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.ptp(expected) > 0.3


@pytest.mark.parametrize("queries, gallery", [(1, 1), (2, 5), (1, 30)])
def test_fewer_images_than_neighbours(queries, gallery):
    features = clustered(queries + gallery, 3, 1)
    found = rerank(features[:queries], features[queries:])
    np.testing.assert_allclose(found, torchreids(features[:queries], features[queries:], "euclidean"), atol=2e-5)


def test_images_that_are_all_the_same():
    same = np.ones((6, 4), dtype=np.float32)
    assert np.isfinite(rerank(same[:2], same[2:])).all()


@pytest.mark.parametrize("options", [dict(k1=0), dict(k2=0), dict(weight=1.5), dict(metric="manhattan")])
def test_options_out_of_range(options):
    features = clustered(9, 2, 0)
    with pytest.raises(ValueError, match="expected"):
        rerank(features[:2], features[2:], **options)
