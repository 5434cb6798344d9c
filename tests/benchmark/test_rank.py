"""ealn_plugin/benchmark/rank.py: what is timed, and that the figures are those of the methods."""

import sys
import types

import numpy as np

from ealn_plugin import toolkit
from ealn_plugin.benchmark import rank


def test_the_compiled_ranking_is_measured_where_present(monkeypatch):
    name = f"{toolkit.torchreid.metrics.__name__}.rank_cylib.rank_cy"
    calls = []

    def evaluate_cy(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03):
        calls.append((max_rank, use_metric_cuhk03))
        return np.full(max_rank, 0.5), 0.25

    compiled = types.ModuleType(name)
    compiled.evaluate_cy = evaluate_cy
    monkeypatch.setitem(sys.modules, name, compiled)
    result = rank.measure_ranking(["small"], repeats=3, python=False)
    small = result["sizes"]["small"]
    assert calls == [(50, False)] * 3
    assert list(small["methods"]) == ["compiled", "ours"] and small["methods"]["compiled"]["mAP"] == 0.25
    assert "not installed" not in "\n".join(rank.rank_table(result))


def test_sizes_are_the_datasets():
    veri, vehicleid = rank.RANK_SIZES["veri776"], rank.RANK_SIZES["vehicleid_large"]
    assert (veri.queries, veri.gallery, veri.vehicles, veri.cameras) == (1678, 11579, 200, 20)
    distmat, (q_pids, g_pids, q_camids, g_camids) = rank.rank_task(vehicleid, 0)
    assert distmat.shape == (17638, 2400) and distmat.dtype == np.float32
    assert sorted(g_pids) == list(range(2400)) and set(q_camids) == {0} and set(g_camids) == {1}
