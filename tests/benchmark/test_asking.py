"""ealn_plugin/benchmark/asking.py: recall by hand, and a searcher that answers at once."""

import numpy as np

from ealn_plugin.benchmark.asking import ASKED_CAMERAS, ask, recall


def test_recall_by_hand():
    truth = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]])  # the last query has no true answer
    assert recall([[4, 9, 1], [6, 5], [7]], truth) == (2 / 4 + 2 / 2) / 2


def test_a_searcher_is_asked_alone_at_once_and_with_a_filter():
    class Right:
        def search(self, queries, k, cameras=()):
            asked.append((len(queries), k, tuple(cameras)))
            return [[1, 2] if cameras else [3, 4]] * len(queries)

    asked, queries = [], np.zeros((3, 8), np.float32)
    figures = ask(Right(), queries, {"all": np.array([[3, 4]] * 3), "filtered": np.array([[1, 9]] * 3)})
    assert (figures["all"]["recall"], figures["filtered"]["recall"]) == (1.0, 0.5)
    assert asked[:5] == [(1, 10, ())] * 4 + [(3, 10, ())] and {cameras for *_, cameras in asked} == {(), ASKED_CAMERAS}
    assert all(value >= 0 for figure in figures.values() for value in figure.values())
