"""ealn_plugin/benchmark/engines.py: every engine that is installed finds what a sort finds."""

import numpy as np
import pytest

from ealn_plugin.benchmark.engines import ENGINES
from ealn_plugin.benchmark.vectors import ClusteredVectors


@pytest.mark.parametrize("name, package", [("lance", "lance"), ("faiss", "faiss"), ("milvus", "pymilvus")])
def test_the_nearest_and_those_of_a_camera(tmp_path, name, package):
    pytest.importorskip(package, reason=f"pip install {package} to compare the engine {name}")
    data = ClusteredVectors(300, 32)
    engine, (queries, _) = ENGINES[name](), data.queries(5)
    engine.build(str(tmp_path), 32, data.pieces(), 300)
    vectors = np.concatenate([vectors for _, vectors in data.pieces()])
    camids = np.concatenate([records.camids for records, _ in data.pieces()])
    opened = engine.open(str(tmp_path))
    for cameras, rows in (((), np.arange(300)), ((2, 3), np.flatnonzero(np.isin(camids, [2, 3])))):
        order = np.argsort(-(queries @ vectors[rows].T), axis=1)[:, :10]
        assert opened.search(queries, 10, cameras) == rows[order].tolist()
