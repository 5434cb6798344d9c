"""ealn_plugin/benchmark/search.py: small galleries, whose figures are known."""

import json
import os

import numpy as np
import pytest

from ealn_plugin.benchmark import search
from ealn_plugin.benchmark.engines import in_this_process
from ealn_plugin.benchmark.search import ClusteredVectors, measure_search, search_table

pytest.importorskip("lance")


def test_the_vectors_are_the_same_every_time_and_gather_around_their_vehicles():
    data = ClusteredVectors(3000, 64)
    pieces, again = list(data.pieces()), list(ClusteredVectors(3000, 64).pieces())
    vectors, pids = np.concatenate([v for _, v in pieces]), np.concatenate([r.pids for r, _ in pieces])
    assert [len(v) for _, v in pieces] == [2048, 952] and len(set(pieces[1][0].paths)) == 952
    assert all((one == other).all() for (_, one), (_, other) in zip(pieces, again))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(3000), atol=1e-5)
    queries, wanted = data.queries(30)
    assert (pids[(queries @ vectors.T).argmax(1)] == wanted).mean() > 0.9
    assert not np.isclose((queries @ vectors.T).max(), 1)  # new images, not those of the gallery


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
