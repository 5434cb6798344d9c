"""ealn_plugin/evaluation/split_ranker.py: its limits; what it ranks is tested with the protocols."""

import numpy as np
import pytest

from ealn_plugin.evaluation import split_ranker
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.evaluation.splits import ProtocolUnavailable

FEATURES = Features(np.arange(80)[:, None], np.arange(80) % 5, np.arange(80) % 4, np.zeros(80), np.arange(80) < 20)


def test_reranking_has_a_limit(monkeypatch):
    monkeypatch.setattr(split_ranker, "RERANKING_LIMIT", 1000)
    with pytest.raises(
        ProtocolUnavailable,
        match="image: re-ranking 20 queries and 60 gallery images holds 1200 distances, the limit is 1000",
    ):
        PROTOCOLS["image"].evaluate(FEATURES, rerank=True)


def test_distances_are_those_of_the_rows_asked_for():
    rank = split_ranker.Ranker(FEATURES, "euclidean", False, False, "mean", None)
    np.testing.assert_allclose(rank.distances(np.array([3, 1]), np.array([0, 5, 9])), [[9, 4, 36], [1, 16, 64]])
    with pytest.raises(ValueError, match="metric is 'l1'"):
        split_ranker.Ranker(FEATURES, "l1", False, False, "mean", None)
