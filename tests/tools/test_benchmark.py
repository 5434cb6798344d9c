import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

from ealn_plugin.benchmark import rank

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_command_line_prints_and_writes_the_same_figures(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(TOOL), "rank", "--json", str(tmp_path / "rank.json"), "--sizes", "small",
                           "--repeats", "2"], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "rank.json").read_text())
    assert os.listdir(tmp_path) == ["rank.json"]
    small = result["sizes"]["small"]
    assert small["queries"] == 60 and small["gallery"] == 400
    assert len(small["methods"]["python"]["seconds"]) == 1 and len(small["methods"]["ours"]["seconds"]) == 2
    assert small["largest_difference"] < 1e-6
    assert f"{small['times_faster']['python']:.1f} x" in done.stdout
    assert f"{small['methods']['ours']['mAP']:.9f}" in done.stdout
    assert "small: ours" in done.stderr  # the progress bar


def test_the_search_command(benchmark, tmp_path, capsys):
    pytest.importorskip("faiss")
    assert benchmark.main(["search", "--vectors", "400", "--dim", "16", "--queries", "5", "--folder", str(tmp_path),
                           "--json", str(tmp_path / "search.json")]) == 0
    result = json.loads((tmp_path / "search.json").read_text())
    assert result["vectors"] == 400 and result["kinds"]["flat"]["recall"] == 1 and "ivf" in result["kinds"]
    assert capsys.readouterr().out.startswith("400 clustered vectors of 16 numbers")


@pytest.mark.parametrize("arguments, sentence", [
    (["rank", "--sizes", "huge"], "invalid choice: 'huge'"), (["rank", "--repeats", "0"], "not at least 1"),
    ([], "required: COMMAND"), (["rank", "--seed", "-1"], "-1 is not at least 0"),
])
def test_bad_arguments(benchmark, arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("path, sentence", [
    ("/no/such/folder/f.json", "error: the folder '/no/such/folder' of --json does not exist"),
    (".", "error: --json is '.', which is a folder, expected the name of a file"),
])
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_timed(benchmark, path, sentence, capsys,
                                                                           monkeypatch):
    monkeypatch.setattr(rank, "rank_methods", lambda: pytest.fail("the timing began"))
    assert benchmark.main(["rank", "--json", path]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(sentence) and err.count("\n") == 1 and out == ""


@pytest.mark.parametrize("error, status, sentence", [
    (KeyboardInterrupt(), 130, "stopped; nothing was written"), (ValueError("bad task"), 1, "error: bad task\n"),
])
def test_errors_and_interrupts_are_sentences(benchmark, error, status, sentence, tmp_path, monkeypatch, capsys):
    def method(*task):
        raise error
    monkeypatch.setattr(rank, "rank_methods", lambda: {"ours": method})
    assert benchmark.main(["rank", "--json", str(tmp_path / "f.json"), "--sizes", "small"]) == status
    assert sentence in capsys.readouterr().err and os.listdir(tmp_path) == []
