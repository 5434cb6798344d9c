"""ealn_plugin/benchmark/features.py: both compute the same features, and the table says how fast."""

import pytest

from ealn_plugin.benchmark import features

pytest.importorskip("onnxruntime")


def test_both_compute_the_same_features():
    result = features.measure_features("resnet_small", (32, 32), images=5, rounds=1)
    assert result["largest_difference"] < 1e-5
    lines = [(line["method"], line["batch"]) for line in result["methods"]]
    assert lines == [("PyTorch", 1), ("onnxruntime", 1), ("PyTorch", 64), ("onnxruntime", 64)]
    assert all(line["images_per_second"] > 0 and line["processor_ms_per_image"] > 0 for line in result["methods"])
    table = features.features_table(result)
    assert len(table) == 7 and table[-1].startswith("onnxruntime over PyTorch: ")
