"""What must not matter does not: the order of Python's sets, and how many processes load the images."""
import json
import os
import subprocess
import sys

import pytest
import torch
from command_lines import SMALL, load_tool
from test_kills_of_runs import flattened

from ealn_plugin import toolkit
from ealn_plugin.engine import checkpoint
from fault_injection import forked
from standins import TinyBackbone

START = """
import sys
sys.path[:0] = sys.argv.pop(1).split(";")
from ealn_plugin import toolkit
from standins import TinyBackbone
toolkit._model_factory()["resnet18"] = lambda num_classes, **_: TinyBackbone(num_classes)
from command_lines import load_tool
sys.exit(load_tool("train_ealn").main(sys.argv[1:]))
"""


def arguments(root, folder, workers):
    return ["--root", str(root), *map(str, SMALL), "ealn.scheme", "hard_view", "data.save_dir", str(folder),
            "data.workers", str(workers)]


def run(root, folder, hash_seed, workers):
    """A run in a Python of its own with another hash seed; see ``outcome``."""
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(
        [sys.executable, "-c", START, f"{here};{os.path.dirname(here)}", *arguments(root, folder, workers)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return outcome(folder)


def outcome(folder):
    """(results.json, everything in the last checkpoint) of a run."""
    state = torch.load(folder / checkpoint.LAST, weights_only=True)
    return (folder / "results.json").read_bytes(), flattened(state)


@pytest.fixture(scope="module")
def first(veri_root, tmp_path_factory):
    """This Python's hash seed, no worker."""
    folder = tmp_path_factory.mktemp("determinism")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toolkit._model_factory(), "resnet18", lambda num_classes, **_: TinyBackbone(num_classes))
        done = forked(lambda: load_tool("train_ealn").main(arguments(veri_root, folder, 0)))
    assert done.code == 0, done.text[-3000:]
    return outcome(folder)


@pytest.mark.parametrize("hash_seed, workers", [
    (1, 1), pytest.param(2, 0, marks=pytest.mark.slow), pytest.param(12345, 2, marks=pytest.mark.slow)])
def test_results_and_weights_are_the_same(veri_root, tmp_path, first, hash_seed, workers):
    """results.json byte for byte but for the number of workers that it records, the checkpoint bit for bit."""
    results, state = run(veri_root, tmp_path, hash_seed, workers)
    if not workers:
        assert results == first[0]
    results, wanted = json.loads(results), json.loads(first[0])
    assert results["config"]["data"].pop("workers") == workers and wanted["config"]["data"].pop("workers") == 0
    assert results == wanted
    assert sorted(name for name in state if state[name] != first[1][name]) == []
