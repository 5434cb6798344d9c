"""ealn_plugin/benchmark/serving.py: a server is asked by several clients, and nothing fails."""

import pathlib

import pytest

from ealn_plugin.benchmark import serving
from tests.helpers.tool_modules import load_tool

for package in ("lance", "fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package)


def test_clients_are_answered(veri_root, run_folder, tmp_path):
    index = str(tmp_path / "index")
    arguments = ["index", "veri776", "--root", str(veri_root), "--run", str(run_folder), "--index", index]
    assert load_tool("search").main([*arguments, "--device", "cpu"]) == 0
    images = sorted(map(str, pathlib.Path(veri_root).rglob("image_query/*.jpg")))
    result = serving.measure_serving(index, images, clients=3, seconds=1.5)
    assert result["errors"] == [] and [kind["kind"] for kind in result["kinds"]] == list(serving.KINDS)
    assert all(kind["requests"] > 0 and kind["p50_ms"] <= kind["p99_ms"] for kind in result["kinds"])
    table = serving.serving_table(result)
    assert len(table) == 6 and table[-1] == "errors: 0"


def test_a_server_that_does_not_start(monkeypatch):
    monkeypatch.setattr(serving, "_SERVER", "import sys; sys.exit('error: there is no index')")
    with pytest.raises(RuntimeError, match="did not start .error: there is no index.; try ealn serve"):
        serving.measure_serving("none", [], clients=1, seconds=1)
