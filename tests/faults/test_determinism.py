"""What must not matter does not: the order of Python's sets, and how many processes load the images."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ealn_plugin.engine.checkpoints import file as checkpoint
from tests.faults.test_kills_of_runs import flattened
from tests.helpers.command_lines import SMALL
from tests.helpers.fault_injection import forked
from tests.helpers.pages import ROOT
from tests.helpers.standins import use_tiny_backbone
from tests.helpers.tool_modules import load_tool

START = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from ealn_plugin import toolkit
from tests.helpers.standins import TinyBackbone
toolkit._model_factory()["resnet18"] = lambda num_classes, **_: TinyBackbone(num_classes)
from tests.helpers.command_lines import PRESET
from tests.helpers.tool_modules import load_tool
from ealn_plugin.data.synthetic import presets
presets.PRESETS["tiny"] = PRESET
sys.exit(load_tool(sys.argv[1]).main(sys.argv[2:]))
"""


def arguments(root, folder, workers):
    return [
        "--root",
        str(root),
        *map(str, SMALL),
        "ealn.scheme",
        "hard_view",
        "data.save_dir",
        str(folder),
        "data.workers",
        str(workers),
    ]


def run(hash_seed, tool, *arguments):
    """A command line in a Python of its own with another hash seed."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(ROOT), tool, *map(str, arguments)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])


def outcome(folder):
    """(results.json, everything in the last checkpoint) of a run."""
    state = torch.load(folder / checkpoint.LAST, weights_only=True)
    return (folder / "results.json").read_bytes(), flattened(state)


@pytest.fixture(scope="module")
def first(veri_root, tmp_path_factory):
    """The folder of a run with this Python's hash seed and no worker."""
    folder = tmp_path_factory.mktemp("determinism")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_backbone(patch, "resnet18")
        done = forked(lambda: load_tool("train_ealn").main(arguments(veri_root, folder, 0)))
    assert done.code == 0, done.text[-3000:]
    return folder


@pytest.mark.parametrize(
    "hash_seed, workers",
    [(1, 1), pytest.param(2, 0, marks=pytest.mark.slow), pytest.param(12345, 2, marks=pytest.mark.slow)],
)
def test_results_and_weights_are_the_same(veri_root, tmp_path, first, hash_seed, workers):
    """results.json byte for byte but for the number of workers that it records, the checkpoint bit for bit."""
    run(hash_seed, "train_ealn", *arguments(veri_root, tmp_path, workers))
    (results, state), (wanted, wanted_state) = outcome(tmp_path), outcome(first)
    if not workers:
        assert results == wanted
    results, wanted = json.loads(results), json.loads(wanted)
    assert results["config"]["data"].pop("workers") == workers and wanted["config"]["data"].pop("workers") == 0
    assert results == wanted
    assert sorted(name for name in state if state[name] != wanted_state[name]) == []


@pytest.mark.slow
def test_evaluation_and_rendering_are_the_same(veri_root, tmp_path, first):
    """Tables, features and pictures byte for byte, whatever the hash seed and the number of processes; that number
    aside, which results.json records."""

    def files(folder):
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".log", ".lock")
        }

    for number, hash_seed in ((1, 3), (2, 4)):
        folder = tmp_path / str(number)
        run(hash_seed, "make_synthetic", "--root", folder / "rendered", "--processes", number)
        run(
            hash_seed,
            "evaluate",
            "--run",
            first,
            "--root",
            veri_root,
            "--out",
            folder / "evaluation",
            "--workers",
            number - 1,
            "--device",
            "cpu",
            "--no-figures",
        )
    one, two = files(tmp_path / "1"), files(tmp_path / "2")
    results = [json.loads(found.pop("evaluation/results.json")) for found in (one, two)]
    assert [found["config"]["data"].pop("workers") for found in results] == [0, 1]
    assert json.dumps(results[0]) == json.dumps(results[1]) and results[0]["datasets"]
    assert {"evaluation/results.csv", "evaluation/results.md"} <= one.keys() and len(one) > 50
    assert sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)) == []
