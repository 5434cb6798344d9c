"""ealn_plugin/engine/checkpoints/file.py: whole or not at all, readable without running code, clear errors."""

import os
import pickle
import random

import numpy as np
import pytest
import torch

from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.system import randomness

CPU = torch.device("cpu")


def test_round_trip_needs_no_code(tmp_path):
    state = {"ealn_format": checkpoint.FORMAT, "a": torch.rand(3), "nested": [1, (2.5, "x"), {"b": None}]}
    path = str(tmp_path / "sub" / "file")
    checkpoint.save_atomically(state, path)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded.pop("a"), state.pop("a")) and loaded == state
    assert os.listdir(tmp_path / "sub") == ["file"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_gets_a_sentence(tmp_path, keep):
    path = tmp_path / "file"
    checkpoint.save_atomically({"ealn_format": 1, "a": torch.rand(1000)}, str(path))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read .*truncated or not a checkpoint"):
        checkpoint.load(str(path))


def test_a_file_with_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        checkpoint.load(str(path))
    torch.save(Trap(), path)
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        checkpoint.load(str(path))
    assert not (tmp_path / "run").exists()


def test_other_files_are_told_apart(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "network")
    with pytest.raises(checkpoint.CheckpointError, match="not one of a whole EALN run; .*model.load_weights"):
        checkpoint.load(str(tmp_path / "network"))
    torch.save({"ealn_format": 99}, tmp_path / "future")
    with pytest.raises(checkpoint.CheckpointError, match="format 99, expected 1"):
        checkpoint.load(str(tmp_path / "future"))


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = str(tmp_path / "file")
    checkpoint.save_atomically({"ealn_format": 1, "a": 1}, path)

    def full(state, file):
        file.write(b"x" * 100)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(checkpoint.CheckpointError, match="not be written .*No space left.*earlier one is untouched"):
        checkpoint.save_atomically({"ealn_format": 1, "a": 2}, path)
    assert checkpoint.load(path)["a"] == 1 and os.listdir(tmp_path) == ["file"]


def test_find(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        checkpoint.find(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="has no checkpoint_last.pth.tar"):
        checkpoint.find(str(tmp_path))
    (tmp_path / checkpoint.LAST).touch()
    assert checkpoint.find(str(tmp_path)) == checkpoint.find(str(tmp_path / checkpoint.LAST))


def test_fit_names_the_difference():
    small, large = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    with pytest.raises(checkpoint.CheckpointError, match=r"network layer 'bias' is \[4\] there and \[3\] here"):
        checkpoint.fit(small, large.state_dict(), "network", "file")
    with pytest.raises(checkpoint.CheckpointError, match="the checkpoint has no network layer 'bias'"):
        checkpoint.fit(small, torch.nn.Linear(2, 3, bias=False).state_dict(), "network", "file")
    with pytest.raises(checkpoint.CheckpointError, match="the network has no network layer 'bias'"):
        checkpoint.fit(torch.nn.Linear(2, 3, bias=False), small.state_dict(), "network", "file")


def test_random_states_go_on_where_they_were(tmp_path):
    def draw():
        return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(2).tolist()

    random.gauss(0, 1), np.random.randn()  # leaves a half-used pair behind in both
    path = str(tmp_path / "states")
    checkpoint.save_atomically({"ealn_format": 1, **randomness.random_states(CPU)}, path)
    expected = draw()
    draw()
    randomness.restore_random_states(checkpoint.load(path), CPU)
    assert draw() == expected
