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
    assert lance["disk_mib"] == pytest.approx(3000 * 32 * 4 / 2**20, rel=2) and len(calls) == 3
    again = measure_search(3000, 32, queries=60, folder=str(tmp_path))  # goes on with what is built
    assert len(calls) == 5 and again["engines"]["lance"]["build_seconds"] == lance["build_seconds"]
    lines = search_table(result)
    assert lines[0].startswith("3,000 clustered vectors of 32 numbers, 60 queries") and len(lines) == 18
    assert sorted(os.listdir(tmp_path)) == ["lance", "queries.npy", "truth-3000-32-0-60.npz"]


def test_an_engine_that_fails_is_a_sentence_and_the_others_go_on(tmp_path, monkeypatch):
    def child(limit=0, **asked):
        if asked["engine"] == "milvus":
            raise RuntimeError("the engine milvus failed (it was ended by signal 9, as where memory is short)")
        return json.loads(json.dumps(in_this_process(asked)))

    monkeypatch.setattr(search, "_child", child)
    result = measure_search(400, 16, ["milvus", "lance"], queries=5, folder=str(tmp_path))
    lines = search_table(result)
    assert lines[1] == "milvus: the engine milvus failed (it was ended by signal 9, as where memory is short)"
    assert lines[2].split() == ["lance"] and result["engines"]["lance"]["all"]["recall"] == 1
    assert len(search_table({**result, "engines": {"milvus": result["engines"]["milvus"]}})) == 2
