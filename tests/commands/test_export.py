"""ealn_plugin/commands/export.py: the real command line on a run and on a plain model."""

import importlib.util
import json
import pathlib
import re
import shutil

import pytest
import torch

from ealn_plugin.runs.described_file import read_metadata, read_tensors
from tests.helpers.pages import arguments_of
from tests.helpers.standins import TinyBackbone, use_tiny_backbone
from tests.helpers.tool_modules import load_tool

README = arguments_of("export")


@pytest.fixture(scope="module")
def export():
    return load_tool("export")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Flags for a small network under a known model name, with weights in a file."""
    use_tiny_backbone(monkeypatch, "resnet18")
    torch.save(TinyBackbone(7).state_dict(), tmp_path / "weights.pth")
    return [
        "--model",
        "resnet18",
        "--weights",
        str(tmp_path / "weights.pth"),
        "--height",
        "32",
        "--width",
        "48",
        "--out",
        str(tmp_path / "deployed"),
    ]


def test_a_plain_model(export, tiny, tmp_path, capsys):
    figures = ["--json", str(tmp_path / "figures.json")]
    assert export.main([*tiny, "--formats", "program", "--calls", "2", *figures]) == 0
    out = capsys.readouterr().out
    assert [path.name for path in (tmp_path / "deployed").iterdir()] == ["embedding.pt2"]
    assert re.search(r"embedding.pt2 .* largest difference to PyTorch \d\.\de[-+]\d\d in batches of 1, 2, 5", out)
    assert re.search(r"graph +batch +PyTorch +torch.export\nembedding +1 +\d", out)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert [(line["runtime"], line["batch"]) for line in found["latency"]] == [
        ("PyTorch", 1),
        ("program", 1),
        ("PyTorch", 8),
        ("program", 8),
    ]
    assert all(line["median_ms"] > 0 and line["calls"] == 2 for line in found["latency"])
    assert found["files"][0]["largest_difference"] <= 1e-5


def test_weights_of_half_the_size_with_a_card(export, tiny, tmp_path, capsys):
    """And what was written is all that a second export needs: the file says which network it is of."""
    out, again = tmp_path / "deployed", tmp_path / "again"
    assert export.main([*tiny, "--formats", "safetensors", "--half", "--card", "--license", "mit"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.safetensors"]
    told = capsys.readouterr().out
    assert "writing 1 file, each checked against PyTorch" in told and "latency" not in told
    assert "the model card; without figures" in told
    assert (out / "README.md").read_text().startswith('---\nlicense: "mit"\n')
    weights = ["--weights", str(out / "model.safetensors"), "--out", str(again)]
    assert export.main([*weights, "--format", "safetensors", "--half"]) == 0
    first, second = (read_tensors(folder / "model.safetensors") for folder in (out, again))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert read_metadata(out / "model.safetensors") == read_metadata(again / "model.safetensors")


def test_a_difference_ends_with_1_and_no_file(export, tiny, tmp_path, capsys, monkeypatch):
    from ealn_plugin.export import formats

    original = formats.open_program
    monkeypatch.setattr(formats, "open_program", lambda path: lambda images: 1.001 * original(path)(images))
    assert export.main([*tiny, "--formats", "program"]) == 1
    assert "error: embedding.pt2 differs from PyTorch by " in capsys.readouterr().err
    assert list((tmp_path / "deployed").iterdir()) == []


@pytest.mark.slow
def test_the_commands_of_the_readme(export, run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, tmp_path / "log" / "ealn_synthetic")
    use_tiny_backbone(monkeypatch, "resnet50")
    torch.save(TinyBackbone(7).state_dict(), "model.pth.tar")
    assert len(README) == 3 and all(export.main(arguments) == 0 for arguments in README)
    names = [
        sorted(path.name for path in pathlib.Path(folder).iterdir())
        for folder in ("log/ealn_synthetic/export", "log/deployed", "log/handed_on")
    ]
    own = ["embedding.onnx", "embedding.pt2"]
    assert names == [[*own, "fused.onnx", "fused.pt2"], own, ["README.md", "model.safetensors"]]
    out = capsys.readouterr().out
    assert len(re.findall(r"largest difference to PyTorch", out)) == 7
    assert "latency" not in out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "either --run DIR or --model NAME"),
        (["--run", "x", "--blend-with-imagenet", "1.5"], "--blend-with-imagenet is 1.5, expected 0 to 1"),
        (["--run", "x", "--push", "cars"], "--push is 'cars', expected hf:OWNER/NAME"),
        (["--weights", "/no.safetensors", "--out", "x"], "--weights is '/no.safetensors', but there is no such file"),
        (["--run", "x", "--model", "y"], "either --run DIR or --model NAME"),
        (["--model", "resnet18", "--out", "x"], "without --weights, expected both"),
        (["--model", "resnet18", "--weights", "x"], "has no folder of its own"),
        (["--run", "/no/run"], "'/no/run' has no config.yaml"),
        (["--run", "x", "--opset", "7"], "--opset is 7"),
        (["--run", "x", "--calls", "-1"], "--calls is -1"),
        (["--run", "x", "--json", "/no/folder/x"], "the folder '/no/folder' of --json does not exist"),
        (["--model", "resnet18", "--weights", "/no.pth", "--out", "x"], "is '/no.pth', but there is no such file"),
    ],
)
def test_bad_input_gets_one_sentence(export, arguments, sentence, capsys):
    assert export.main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_missing_packages_are_named(export, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert export.main(["--run", "x"]) == 1
    assert (
        "onnx and onnxscript and onnxruntime are not installed, but ONNX files need them; install with pip install "
        '-c constraints.txt -e ".[export]"'
    ) in capsys.readouterr().err
