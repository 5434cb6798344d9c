"""ealn_plugin/runs/weight_file.py: whatever lies beside the weights of a file, they are read, and nothing runs."""

import argparse
import collections
import datetime
import enum
import functools
import os
import pathlib
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from yacs.config import CfgNode

from ealn_plugin.runs.weight_file import Inert, read_file, state_dicts


class Mode(enum.Enum):
    TRAIN = 1


class Settings:
    def __init__(self):
        self.rate, self.steps = 0.1, [1, 2]


class Slotted:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 3


class OwnList(list):
    pass


BESIDE = {
    "argparse.Namespace": argparse.Namespace(lr=0.1, out=pathlib.Path("log")),
    "a path": pathlib.Path("/data/VeRi"),
    "a pure path": pathlib.PureWindowsPath("C:/data"),
    "an enum": Mode.TRAIN,
    "an object": Settings(),
    "an object with slots": Slotted(),
    "a list of a class of its own": OwnList([1, 2]),
    "yacs": CfgNode({"lr": 0.1}),
    "a time": datetime.datetime(2026, 1, 1),
    "a counter": collections.Counter("abca"),
    "a defaultdict": collections.defaultdict(list, a=[1]),
    "a deque": collections.deque([1, 2], maxlen=3),
    "a numpy array": np.arange(3.0),
    "a numpy scalar": np.float32(0.5),
    "numpy's random state": np.random.get_state(),
    "Python's random state": random.getstate(),
    "a partial function": functools.partial(Settings),
    "a loss": torch.nn.CrossEntropyLoss(),
    "an optimizer": torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]),
    "a set": {1, 2},
    "bytes": b"abc",
    "a dtype": torch.bfloat16,
    "a device": torch.device("cpu"),
    "keys that are no texts": {1: {Mode.TRAIN: 2, pathlib.Path("a"): 3}},
}
NUMBERS = {
    "float32": torch.randn(3, 4),
    "float64": torch.randn(3, 4, dtype=torch.float64),
    "float16": torch.randn(3, 4).half(),
    "bfloat16": torch.randn(3, 4).bfloat16(),
    "int64": torch.arange(5),
    "uint8": torch.arange(5, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "complex64": torch.randn(2, dtype=torch.complex64),
    "a number": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "transposed": torch.randn(3, 4).t(),
    "a part of another": torch.randn(10)[3:7],
    "parameter": torch.nn.Parameter(torch.randn(2, 2)),
}


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("beside", BESIDE)
def test_weights_beside_anything(tmp_path, beside, protocol, new_format):
    path = tmp_path / "weights.pt"
    content = {"args": BESIDE[beside], "state_dict": NUMBERS, "epoch": 3}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new_format)
    read = read_file(path)
    assert read["epoch"] == 3
    for name, tensor in NUMBERS.items():
        assert read["state_dict"][name].dtype == tensor.dtype
        assert torch.equal(read["state_dict"][name], tensor), name
    assert {"state_dict": NUMBERS.keys()} == {
        place: tensors.keys() for place, tensors in state_dicts(read) if "float32" in tensors
    }


def test_a_pickled_network_gives_its_weights(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(4)))
    torch.save({"model": torch.nn.DataParallel(network), "path": pathlib.Path("a")}, tmp_path / "whole.pt")
    read = read_file(tmp_path / "whole.pt")
    assert type(read["model"]) is Inert
    found = dict(state_dicts(read))
    assert found["model"].keys() == {f"module.{name}" for name in network.state_dict()}
    for name, value in network.state_dict().items():
        assert torch.equal(found["model"][f"module.{name}"], value)


def test_places(tmp_path):
    content = {"epoch": 1, "ema": {"module": {"a": torch.zeros(1)}}, "nets": [{"b": torch.zeros(1)}, 3]}
    content["again"] = content
    assert [(place, list(tensors)) for place, tensors in state_dicts(content)] == [
        ("ema/module", ["a"]),
        ("nets/0", ["b"]),
    ]
    assert [place for place, _ in state_dicts({"a": torch.zeros(2)})] == [""]


class Trap:
    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("function", [os.system, eval, exec, __import__, os.mkdir])
def test_nothing_runs(tmp_path, monkeypatch, function, new_format):
    """Neither what a file asks the system for, nor what it asks of classes that are there."""
    monkeypatch.chdir(tmp_path)
    text = {eval: "open('marker', 'w')", exec: "open('marker', 'w')", os.system: "touch marker"}.get(function, "marker")
    content = {"weights": torch.zeros(2), "trap": Trap(function, text)}
    torch.save(content, "w.pt", _use_new_zipfile_serialization=new_format)
    with pytest.raises(pickle.UnpicklingError, match="which no weights need"):
        read_file("w.pt")
    assert os.listdir(tmp_path) == ["w.pt"]


class Loud:
    """A class of the program itself, whose every way to be made or restored leaves a mark."""

    def __init__(self, *_):
        open("marker", "w").close()

    def __setstate__(self, state):
        open("marker", "w").close()

    def __reduce__(self):
        return Loud, (1,), {"a": 2}


def test_classes_that_are_there_are_not_made_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loud = Loud()
    torch.save({"weights": torch.ones(2), "loud": loud}, "w.pt")
    os.unlink("marker")
    read = read_file("w.pt")
    assert type(read["loud"]) is Inert and torch.equal(read["weights"], torch.ones(2))
    assert os.listdir(tmp_path) == ["w.pt"]


def test_functions_of_the_reader_cannot_be_changed(tmp_path):
    """A pickle that gives a state to the function that makes tensors."""
    script = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}q\x00X\x04\x00\x00\x00evilq\x01K\x01sb."
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("archive/data.pkl", script)
        archive.writestr("archive/version", "3\n")
    with pytest.raises(pickle.UnpicklingError, match="it changes a function"):
        read_file(tmp_path / "w.pt")


def test_numbers_outside_of_a_storage_and_claims(tmp_path):
    torch.save({"args": argparse.Namespace(), "w": torch.arange(4)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = next(name for name in parts if name.endswith("data/0"))
    parts[data] = parts[data][:16]
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(RuntimeError, match="out of bounds"):
        read_file(tmp_path / "bad.pt")
    torch.save(
        {"args": argparse.Namespace(), "w": torch.arange(4)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False
    )
    content = (tmp_path / "old.pt").read_bytes()
    (tmp_path / "old.pt").write_bytes(content[:-8])
    with pytest.raises(pickle.UnpicklingError, match="cut off"):
        read_file(tmp_path / "old.pt")


def test_a_torchscript_program_is_no_file_of_weights(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "w.pt"))
    with pytest.raises(pickle.UnpicklingError, match="TorchScript program"):
        read_file(tmp_path / "w.pt")
