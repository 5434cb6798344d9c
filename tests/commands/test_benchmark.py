import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

from ealn_plugin.benchmark import rank
from tests.helpers.tool_modules import load_tool

SMALL = [
    "use_gpu",
    "False",
    "data.height",
    "32",
    "data.width",
    "32",
    "train.batch_size",
    "4",
    "sampler.num_instances",
    "2",
    "ealn.generator.filters",
    "2",
    "ealn.generator.blocks",
    "0",
    "ealn.discriminator.filters",
    "2",
    "ealn.discriminator.layers",
    "1",
]
TOOL = pathlib.Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    return load_tool("benchmark")


def test_the_command_line_prints_and_writes_the_same_figures(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            sys.executable,
            str(TOOL),
            "rank",
            "--json",
            str(tmp_path / "rank.json"),
            "--sizes",
            "small",
            "--repeats",
            "2",
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
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


@pytest.mark.slow  # the parts are in tests/benchmark/test_train_step.py
def test_training_steps_are_measured_without_any_dataset(benchmark, tmp_path, capsys):
    path = tmp_path / "step.json"
    assert (
        benchmark.main(
            [
                "train",
                "--json",
                str(path),
                "--rounds",
                "1",
                "--warmup",
                "1",
                "--scales",
                "1",
                "2",
                "--identities",
                "9",
                *SMALL,
            ]
        )
        == 0
    )
    result = json.loads(path.read_text())
    assert result["image_size"] == [32, 32] and result["batch"] == 4 and result["identities"] == 9
    assert [row["batch"] for row in result["by_batch"]] == [4, 8] and result["scheme"] == "hard_view"
    for row in result["by_batch"]:
        assert len(row["engine_seconds"]) == len(row["reference_seconds"]) == 1
        assert row["ratio"] == pytest.approx(row["engine_images_per_s"] / row["reference_images_per_s"])
        speed = row["matrix_flops_per_s"] / row["flops_per_image"]
        assert row["floor_images_per_s"] == pytest.approx(speed) and row["flops_per_image"] > 0
        assert row["peak_memory_bytes"] is None or row["peak_memory_bytes"] >= 0
        assert set(row["phase_seconds"]) == {"generators", "discriminators", "embedding", "rest"}
    out = capsys.readouterr().out
    assert f"{result['engine_images_per_s']:.2f}" in out and result["device"] in out


def test_settings_of_a_training_step(benchmark, capsys):
    assert benchmark.main(["train", "--identities", "1", *SMALL]) == 1
    assert "holds 2 identities, but there are 1" in capsys.readouterr().err
    assert benchmark.main(["train", *SMALL, "ealn.scheme", "stargan"]) == 1
    assert "ealn.scheme differ from the paper's step" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        benchmark.main(["rank", "ealn.scheme", "en"])
    assert "rank takes no settings, but ealn.scheme en was given" in capsys.readouterr().err


def test_the_search_command(benchmark, tmp_path, capsys):
    pytest.importorskip("lance")
    assert (
        benchmark.main(
            [
                "search",
                "--vectors",
                "400",
                "--dim",
                "16",
                "--queries",
                "5",
                "--folder",
                str(tmp_path),
                "--json",
                str(tmp_path / "search.json"),
            ]
        )
        == 0
    )
    result = json.loads((tmp_path / "search.json").read_text())
    assert result["vectors"] == 400 and result["engines"]["lance"]["all"]["recall"] == 1
    assert capsys.readouterr().out.startswith("400 clustered vectors of 16 numbers")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["rank", "--sizes", "huge"], "invalid choice: 'huge'"),
        (["rank", "--repeats", "0"], "not at least 1"),
        ([], "required: COMMAND"),
        (["rank", "--seed", "-1"], "-1 is not at least 0"),
    ],
)
def test_bad_arguments(benchmark, arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "path, sentence",
    [
        ("/no/such/folder/f.json", "error: the folder '/no/such/folder' of --json does not exist"),
        (".", "error: --json is '.', which is a folder, expected the name of a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_timed(
    benchmark, path, sentence, capsys, monkeypatch
):
    monkeypatch.setattr(rank, "rank_methods", lambda: pytest.fail("the timing began"))
    assert benchmark.main(["rank", "--json", path]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(sentence) and err.count("\n") == 1 and out == ""


@pytest.mark.parametrize(
    "error, status, sentence",
    [(KeyboardInterrupt(), 130, "stopped; nothing was written"), (ValueError("bad task"), 1, "error: bad task\n")],
)
def test_errors_and_interrupts_are_sentences(benchmark, error, status, sentence, tmp_path, monkeypatch, capsys):
    def method(*task):
        raise error

    monkeypatch.setattr(rank, "rank_methods", lambda: {"ours": method})
    assert benchmark.main(["rank", "--json", str(tmp_path / "f.json"), "--sizes", "small"]) == status
    assert sentence in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_loading_from_the_command_line(benchmark, veri_root, tmp_path, capsys):
    path = tmp_path / "data.json"
    assert (
        benchmark.main(
            [
                "data",
                "--json",
                str(path),
                "--root",
                str(veri_root),
                "--height",
                "16",
                "--width",
                "24",
                "--batch-size",
                "8",
                "--repeats",
                "1",
                "--workers",
                "0",
                "--transforms",
            ]
        )
        == 0
    )
    result = json.loads(path.read_text())
    assert result["pixels_equal"] == {"cache off": True, "cache on": True} and result["transforms"] == []
    assert result["image_size"] == [16, 24] and "workers" not in result
    out = capsys.readouterr().out
    assert f"{result['times_faster']['4x']['cache on']:.2f} x" in out and "equal to torchreid's, all 36 images" in out
    assert benchmark.main(["data", "--root", str(tmp_path)]) == 1
    assert "error: VeRi776 was not found" in capsys.readouterr().err


def test_an_engine_that_is_not_installed_is_said_before_anything_is_built(benchmark, tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pymilvus" else found(name))
    command = ["search", "--vectors", "400", "--dim", "16", "--engines", "lance", "milvus", "--folder", str(tmp_path)]
    assert benchmark.main(command) == 1
    error = capsys.readouterr().err
    assert error == (
        "error: the engine milvus is not installed; pip install -c constraints.txt pymilvus milvus-lite, or leave it "
        "out of --engines\n"
    )
    assert not list(tmp_path.iterdir())
