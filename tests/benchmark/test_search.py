"""ealn_plugin/benchmark/search.py: small galleries, whose figures are known."""

import json
import os

import numpy as np
import pytest

from ealn_plugin.benchmark.search import ClusteredVectors, measure_search, search_table

pytest.importorskip("faiss")


def test_the_vectors_are_the_same_every_time_and_gather_around_their_vehicles():
    data = ClusteredVectors(3000, 64)
    pieces, again = list(data.pieces()), list(ClusteredVectors(3000, 64).pieces())
    vectors, pids = np.concatenate([v for _, v in pieces]), np.concatenate([r.pids for r, _ in pieces])
    assert [len(v) for _, v in pieces] == [1024, 1024, 952] and len(set(pieces[2][0].paths)) == 952
    assert all((one == other).all() for (_, one), (_, other) in zip(pieces, again))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(3000), atol=1e-5)
    queries, wanted = data.queries(30)
    assert (pids[(queries @ vectors.T).argmax(1)] == wanted).mean() > 0.9
    assert not np.isclose((queries @ vectors.T).max(), 1)  # new images, not those of the gallery


def test_the_figures(tmp_path):
    result = json.loads(json.dumps(measure_search(3000, 32, queries=20, folder=str(tmp_path))))
    flat, ivf = result["kinds"]["flat"], result["kinds"]["ivf"]
    assert flat["recall"] == 1 and 0.7 < ivf["recall"] <= 1 and flat["rank1"] > 0.7
    assert flat["nlist"] == 0 and ivf["nlist"] == 75 and 1 <= ivf["nprobe"] <= 75
    assert all(0 < values[key] < 60 for values in (flat, ivf) for key in ("opening_seconds", "median_latency_ms"))
    assert all(values["processor_ms_per_query"] > 0 for values in (flat, ivf))
    assert ivf["learning_processor_seconds"] > 0 and flat["adding_processor_seconds"] > 0
    assert flat["disk_mib"] == pytest.approx(3000 * 32 * 4 / 2**20, rel=0.5) and os.listdir(tmp_path) == []
    lines = search_table(result)
    assert lines[0].startswith("3,000 clustered vectors of 32 numbers, 20 queries") and len(lines) == 5
    alone = measure_search(500, 16, ("ivf",), 5, str(tmp_path))
    assert list(alone["kinds"]) == ["ivf"] and 0 < alone["kinds"]["ivf"]["recall"] <= 1
