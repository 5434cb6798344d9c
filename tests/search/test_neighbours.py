"""ealn_plugin/search/neighbours.py: the kind of search, and recall against a plain sort."""

import numpy as np
import pytest

from ealn_plugin.search.neighbours import default_nlist, exact_scores, kind_for, recall_by_nprobe
from tests.helpers.standins import clustered


def test_exact_scores_are_a_sort():
    vectors, queries = clustered(700), clustered(20, seed=1)
    pieces = [(np.arange(0), part) for part in np.array_split(vectors, 7)]
    expected = -np.sort(-(queries @ vectors.T), axis=1)[:, :25]
    np.testing.assert_allclose(exact_scores(pieces, queries, 25), expected, atol=1e-6)
    few = exact_scores([(np.arange(3), vectors[:3])], queries, 5)
    assert few.shape == (20, 5) and np.isneginf(few[:, 3:]).all() and np.isfinite(few[:, :3]).all()


def test_recall_counts_what_is_as_near_as_the_last_and_not_the_query_itself():
    exact = np.array([[1, 0.9, 0.8], [1, 0.7, -np.inf]], np.float32)
    answers = {
        1: [[1.0, 0.9, 0.2], [1.0]],  # one of two, none of one
        2: [[1.0, 0.9, 0.8], [1.0, 0.7]],
        3: [[1.0, 0.8, 0.8], [1.0, 0.7]],  # another one that is equally near
    }
    recall = recall_by_nprobe(lambda queries, k, nprobe: answers[nprobe], exact, np.zeros((2, 4), np.float32))
    assert [recall(nprobe) for nprobe in (1, 2, 3)] == pytest.approx([0.25, 1, 1])


def test_the_kind_and_the_number_of_lists():
    assert (kind_for(20_000, "auto"), kind_for(20_001, "auto")) == ("flat", "ivf")
    assert (kind_for(10**7, "flat"), kind_for(10, "ivf"), kind_for(0, "ivf")) == ("flat", "ivf", "flat")
    assert (default_nlist(10**6), default_nlist(100), default_nlist(0)) == (2000, 2, 1)
