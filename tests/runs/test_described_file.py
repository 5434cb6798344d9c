"""ealn_plugin/runs/described_file.py: safetensors are told from other files, and say which network they are of."""

import json
import struct

import pytest
import torch

from ealn_plugin.runs.described_file import (
    is_safetensors,
    read_description,
    read_metadata,
    read_options,
    read_tensors,
    write_tensors,
)

TEXTS = {
    "network": "resnet18",
    "image_height": "32",
    "image_width": "48",
    "mean": "[0.5, 0.4, 0.3]",
    "std": "[1, 1, 2]",
}


def test_tensors_and_texts_come_back(tmp_path):
    path = tmp_path / "named.anything"
    written = {"a.weight": torch.randn(3, 4).t(), "half": torch.arange(4).half(), "count": torch.tensor(7)}
    write_tensors(path, written, {**TEXTS, "trained": "on cars"})
    found = read_tensors(path)
    assert found.keys() == written.keys() and all(torch.equal(found[name], written[name]) for name in written)
    assert found["half"].dtype == torch.float16
    assert read_metadata(path) == {**TEXTS, "trained": "on cars", "format": "pt"}
    assert read_description(path) == {
        "model": "resnet18",
        "height": 32,
        "width": 48,
        "norm_mean": [0.5, 0.4, 0.3],
        "norm_std": [1.0, 1.0, 2.0],
    }


def test_other_files_are_not_taken_for_it(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "zip.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "short").write_bytes(b"\x10")
    (tmp_path / "huge").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    for name in ("zip.pth", "old.pth", "short", "huge", "absent"):
        assert not is_safetensors(tmp_path / name) and read_description(tmp_path / name) is None
    write_tensors(tmp_path / "plain", {"a": torch.ones(2)}, {"network": "resnet18"})
    assert is_safetensors(tmp_path / "plain") and read_description(tmp_path / "plain") is None


@pytest.mark.parametrize("header", [b"{" + b"x" * 20, b'{"__metadata__": [1]}', b"{" * 2000, b'{"a": \xff\xff}  '])
def test_a_broken_header_is_one_sentence(tmp_path, header):
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="is no file of safetensors that can be read .*; restore it"):
        read_metadata(tmp_path / "w")


@pytest.mark.parametrize("key, value", [("mean", "[1, 2]"), ("std", '"abc"'), ("image_height", "tall"), ("mean", "{")])
def test_a_broken_description_is_one_sentence(tmp_path, key, value):
    header = json.dumps({"__metadata__": {**TEXTS, key: value}}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="describes its network in a way that cannot be read"):
        read_description(tmp_path / "w")


def test_options_of_a_network(tmp_path):
    path, texts = tmp_path / "w", {"network": "resnet18", "network_options": '{"ealn.neck": "after"}'}
    write_tensors(path, {"a": torch.ones(2)}, texts)
    assert read_options(path, "resnet18") == {"ealn.neck": "after"} and read_options(path, "resnet50") == {}
    (tmp_path / "other").write_bytes(b"x" * 40)
    assert read_options(tmp_path / "other", "resnet18") == {}
    for text, message in (("[1", "cannot be read"), ('{"model.pretrained": true}', "model.pretrained, which this ver")):
        write_tensors(path, {"a": torch.ones(2)}, {**texts, "network_options": text})
        with pytest.raises(ValueError, match=message):
            read_options(path, "resnet18")
