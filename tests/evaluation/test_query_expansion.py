"""ealn_plugin/evaluation/query_expansion.py: against plain loops."""

import numpy as np
import pytest
import torch

from ealn_plugin.evaluation import query_expansion
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.evaluation.query_expansion import expand_queries

RNG = np.random.default_rng(0)
QUERIES, GALLERY = RNG.normal(size=(7, 5)).astype(np.float32), RNG.normal(size=(23, 5)).astype(np.float32)


def unit(vector):
    return vector / np.sqrt((vector**2).sum())


def naive(query, gallery, count, alpha):
    """One query, one image after the other."""
    query, entries = unit(query.astype(np.float64)), [unit(entry.astype(np.float64)) for entry in gallery]
    total = query.copy()
    for place in sorted(range(len(entries)), key=lambda place: -float(query @ entries[place]))[:count]:
        similarity = float(query @ entries[place])
        total += similarity**alpha * entries[place] if similarity > 0 else 0
    return unit(total)


@pytest.mark.parametrize("count, alpha", [(1, 0.0), (4, 0.0), (4, 3.0), (9, 0.5), (100, 1.0)])
def test_equals_plain_loops(count, alpha, monkeypatch):
    monkeypatch.setattr(query_expansion, "_ROWS_AT_A_TIME", 3)
    found = expand_queries(QUERIES, torch.from_numpy(GALLERY), count, alpha).numpy()
    expected = np.stack([naive(query, GALLERY, count, alpha) for query in QUERIES])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_images_change_nothing_but_the_length():
    np.testing.assert_allclose(
        expand_queries(QUERIES, GALLERY, 0).numpy(), [unit(query) for query in QUERIES], atol=1e-6
    )
    assert expand_queries(QUERIES[:0], GALLERY, 3).shape == (0, 5)
    assert expand_queries(QUERIES, GALLERY[:0], 3).shape == (7, 5)


@pytest.mark.parametrize("count, alpha", [(-1, 0.0), (1, -0.5), (1, float("nan"))])
def test_what_is_not_defined_is_refused(count, alpha):
    with pytest.raises(ValueError, match="query expansion with"):
        expand_queries(QUERIES, GALLERY, count, alpha)


def test_protocols_rank_the_expanded_queries():
    """A query whose true matches lie behind a false one finds them by way of the first true one."""
    embeddings = np.concatenate([QUERIES, GALLERY])
    pids = np.concatenate([np.arange(7), np.arange(23) % 7])
    features = Features(
        embeddings,
        pids,
        np.concatenate([np.zeros(7), np.ones(23)]).astype(np.int64),
        np.full(30, -1),
        np.arange(30) < 7,
    )
    plain, expanded = (
        PROTOCOLS["image"].evaluate(features, query_expansion=count, expansion_alpha=2.0) for count in (0, 3)
    )
    by_hand = Features(
        np.concatenate(
            [[naive(query, GALLERY, 3, 2.0) for query in QUERIES], [unit(entry) for entry in GALLERY]]
        ).astype(np.float32),
        features.pids,
        features.camids,
        features.views,
        features.is_query,
    )
    assert expanded == pytest.approx(PROTOCOLS["image"].evaluate(by_hand)) and expanded != plain
    both = PROTOCOLS["image"].evaluate(features, query_expansion=3, expansion_alpha=2.0, rerank=True)
    assert both == pytest.approx(PROTOCOLS["image"].evaluate(by_hand, rerank=True), abs=1e-6)
