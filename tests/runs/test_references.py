"""ealn_plugin/runs/references.py: the shipped weights, and which names are no paths."""

import os

import pytest
import torch

from ealn_plugin.runs import hub, references
from ealn_plugin.runs.described_file import read_metadata, write_tensors


def test_names_that_are_no_paths(tmp_path, monkeypatch):
    assert [references.is_reference(name) for name in ("shipped", "hf:a/b", "shipped.pth", "x/hf:a/b", tmp_path)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    monkeypatch.setattr(hub, "download", lambda name, flag: f"copy of {name} for {flag}")
    assert references.local_file("hf:a/b", "--this") == "copy of hf:a/b for --this"
    assert references.local_file(tmp_path / "w.pth") == str(tmp_path / "w.pth")
    assert references.absolute("hf:a/b") == "hf:a/b" and references.absolute("w") == os.path.abspath("w")


def test_the_shipped_weights_are_small_and_say_what_they_are():
    path = references.local_file("shipped")
    assert os.path.getsize(path) < 6_000_000
    described = references.described_network("shipped")
    assert described["model"] == "mobilenetv2_x1_0" and described["height"] == described["width"] == 128
    trained = read_metadata(path)["trained"]
    assert "rendered vehicles" in trained and "ImageNet" in trained
    assert "rendered vehicles" in references.NOTICE and "real scenes will be worse" in references.NOTICE


def test_weights_that_do_not_say_their_network(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    write_tensors(tmp_path / "w.safetensors", {"a": torch.ones(2)}, {})
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(ValueError, match="--weights .* does not say which network .* with --model NAME"):
            references.described_network(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="--weights is '/no.pth', but there is no such file"):
        references.described_network("/no.pth")
    monkeypatch.setattr(references, "SHIPPED_FILE", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="this installation holds no absent; install ealn_plugin anew"):
        references.local_file("shipped")
