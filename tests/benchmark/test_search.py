"""ealn_plugin/benchmark/search.py: small galleries, whose figures are known."""

import json
import os

import pytest

from ealn_plugin.benchmark import search
from ealn_plugin.benchmark.engines import in_this_process
from ealn_plugin.benchmark.search import measure_search, search_table

pytest.importorskip("lance")


def test_the_figures(tmp_path, monkeypatch):
    """With the work of the processes of their own done in this one: starting them takes seconds."""

    def child(limit=0, **asked):
        calls.append(asked)
        return json.loads(json.dumps(in_this_process(asked)))

    calls = []
    monkeypatch.setattr(search, "_child", child)
    result = json.loads(json.dumps(measure_search(3000, 32, queries=60, folder=str(tmp_path))))
    lance = result["engines"]["lance"]
    assert lance["all"]["recall"] == lance["filtered"]["recall"] == 1 and result["nearest_is_right"] > 0.9
    assert all(0 < lance[kind][key] < 60000 for kind in ("all", "filtered") for key in lance["all"])
    assert lance["disk_mib"] == pytest.approx(3000 * 32 * 4 / 2**20, rel=2) and len(calls) == 2
    again = measure_search(3000, 32, queries=60, folder=str(tmp_path))  # goes on with what is built
    assert len(calls) == 3 and again["engines"]["lance"]["build_seconds"] == lance["build_seconds"]
    lines = search_table(result)
    assert lines[0].startswith("3,000 clustered vectors of 32 numbers, 60 queries") and len(lines) == 18
    assert sorted(os.listdir(tmp_path)) == ["lance", "queries.npy", "truth-3000-32-0-60.npz"]
