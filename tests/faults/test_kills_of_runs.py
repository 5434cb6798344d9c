"""SIGKILL at random moments of training, reproduction and rendering: what comes out at last is what comes out unharmed.

A run is killed, gone on with, killed again ... until it reaches its end, half of the times after random seconds and
half before a random change to a file; then the next run begins. Data workers are killed with it or left to themselves.
"""

import csv
import io
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ealn_plugin import config as configuration
from ealn_plugin.data.synthetic import presets, writer
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.monitoring.monitor import Monitor
from ealn_plugin.runs import train as training
from ealn_plugin.system import files as writing
from tests.helpers.command_lines import PRESET, SMALL
from tests.helpers.fault_injection import FAULTS, Shared, forked, generator, inject
from tests.helpers.tool_modules import load_tool


def check_whole(folder):
    """Every file in a folder, those aside that are still being written, can be read to its end."""
    readers = {
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".tar": lambda content: torch.load(io.BytesIO(content), weights_only=True),
        ".npz": lambda content: {**np.load(io.BytesIO(content))},
        ".png": lambda content: Image.open(io.BytesIO(content)).load(),
        ".csv": lambda content: (
            [dict(row)["epoch"] for row in csv.DictReader(io.StringIO(content.decode()))]
            if b"epoch" in content
            else None
        ),
    }
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file() and not path.name.startswith(writing.UNFINISHED) and path.suffix in readers:
            readers[path.suffix](path.read_bytes())


def outcome_of(folder):
    """{name: content} of what a run leaves, its logs and TensorBoard events aside; tensors as bytes."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and path.suffix != ".log" and not path.name.startswith("events."):
            name = str(path.relative_to(folder))
            if path.suffix == ".tar":
                found[name] = flattened(torch.load(path, weights_only=True))
            elif path.suffix == ".npz":
                with np.load(path) as archive:
                    found[name] = {key: archive[key].tobytes() for key in archive.files}
            elif path.name != "config.yaml":  # says model.resume
                found[name] = path.read_bytes()
    return found


def flattened(value):
    if torch.is_tensor(value):
        return value.dtype, tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: flattened(item) for key, item in value.items()}
    return [flattened(item) for item in value] if isinstance(value, (list, tuple)) else value


def train(root, folder, steps, *options):
    """A run from its beginning, or from its last checkpoint; ``steps`` counts those that are done."""

    def counting(monitor, values, step=Monitor.step):
        step(monitor, values)
        steps.value = monitor._step

    Monitor.step = counting  # in a process of its own
    goes_on = ["model.resume", str(folder)] if (folder / checkpoint.LAST).exists() else []
    settings = ["data.root", str(root), "data.save_dir", str(folder), *options, *goes_on]
    training.train(configuration.load_config("", [*SMALL, *settings]), progress=False)


def run_killed_again_and_again(kind, work, folder, whole, check, faults, most_faults=10**9):
    """Go on with ``work`` until it ends by itself, killed up to ``faults`` times; returns how often it was."""
    random, killed = generator(f"{kind} {folder}"), 0
    while True:
        fault = (
            {}
            if killed >= min(faults, most_faults)
            else random.choice(
                [
                    {"seconds": random.uniform(0, whole.seconds), "whole_group": random.random() < 0.5},
                    {"change": random.randrange(whole.changes)},
                ]
            )
        )
        outcome = forked(work, folder=folder, **fault)
        if not outcome.killed:
            assert outcome.code == 0, outcome.text[-3000:]
            return killed
        killed += 1
        inject(kind, check())


@pytest.mark.parametrize(
    "every, faults, options",
    [
        (1, 3, ["ealn.scheme", "hard_view"]),
        pytest.param(2, FAULTS, ["ealn.scheme", "hard_view"], marks=pytest.mark.slow),
        pytest.param(3, FAULTS // 5, ["ealn.scheme", "hard_view", "data.workers", 2], marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_ends_as_one_that_was_not(veri_root, tmp_path, tiny, every, faults, options):
    """All weights, optimisers, random states, results, diagnostics and pictures, bit for bit; few steps are lost."""
    options, steps, kind = [*options, "ealn.checkpoint_every", every], Shared(), "SIGKILL during training"
    whole = forked(lambda: train(veri_root, tmp_path / "whole", steps, *options), folder=tmp_path)
    assert whole.code == 0, whole.text[-3000:]
    wanted, left = outcome_of(tmp_path / "whole"), faults
    assert {checkpoint.LAST, checkpoint.BEST, checkpoint.WARMUP, "results.json", "diagnostics.csv"} <= wanted.keys()
    while left:
        folder = tmp_path / f"run_{left}"

        def check(folder=folder):
            check_whole(folder)
            assert len(list(folder.rglob(writing.UNFINISHED + "*"))) <= 1, "leftovers accumulate"
            saved = folder / checkpoint.LAST
            done, steps.value = steps.value, 0
            kept = checkpoint.load(str(saved))["global_step"] if saved.exists() else 0
            assert done - kept <= every, f"{done - kept} steps lost"
            return 0

        steps.value = 0
        left -= run_killed_again_and_again(
            kind, lambda folder=folder: train(veri_root, folder, steps, *options), folder, whole, check, left, 12
        )
        assert differing(outcome_of(folder), wanted) == []
        shutil.rmtree(folder)


def differing(found, wanted):
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


@pytest.mark.parametrize(
    "faults, seeds, jobs",
    [
        (1, 1, 1),
        pytest.param(FAULTS, 1, 1, marks=pytest.mark.slow),
        pytest.param(FAULTS // 10, 2, 2, marks=pytest.mark.slow),
    ],
)
def test_a_grid_that_is_killed_ends_as_one_that_was_not(veri_root, tmp_path, request, faults, seeds, jobs):
    """tools/reproduce.py: the other scheme starts from the warm-up of EN, which a kill must not have skipped.

    Side by side in processes of their own, which do not see the stand-in for the network, runs train resnet18.
    """
    if jobs == 1:
        request.getfixturevalue("tiny")
    (tmp_path / "empty.yaml").touch()
    tool, left = load_tool("reproduce"), faults

    def reproduce(out):
        return tool.main(
            [
                "--config-file",
                str(tmp_path / "empty.yaml"),
                "--root",
                str(veri_root),
                "--out",
                str(out),
                "--schemes",
                "en",
                "hard",
                "--seeds",
                *map(str, range(1, seeds + 1)),
                "--jobs",
                str(jobs),
                *map(str, SMALL),
            ]
        )

    whole = forked(lambda: reproduce(tmp_path / "whole"), folder=tmp_path / "whole")
    assert whole.code == 0, whole.text[-3000:]
    wanted = outcome_of(tmp_path / "whole")
    assert {"tables.md", "table_1.csv", "seed_1/hard/results.json"} <= wanted.keys()
    while left:
        folder = tmp_path / f"grid_{left}"
        left -= run_killed_again_and_again(
            "SIGKILL during reproduction",
            lambda folder=folder: reproduce(folder),
            folder,
            whole,
            lambda folder=folder: check_whole(folder) or 0,
            left,
            12,
        )
        assert differing(outcome_of(folder), wanted) == []
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "faults, processes",
    [(3, 1), pytest.param(FAULTS, 2, marks=pytest.mark.slow), pytest.param(FAULTS // 2, 1, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("layout, name", [("veri776", "VeRi"), ("vehicleid", "VehicleID_V1.0")])
def test_a_benchmark_is_whole_or_absent(tmp_path, monkeypatch, faults, processes, layout, name):
    """Workers of a killed renderer end by themselves; its unfinished folder is gone after the next run."""
    if processes > 1 and layout == "vehicleid":
        pytest.skip("the processes do not depend on the layout")
    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    random, tool = generator(f"rendering {layout} {processes}"), load_tool("make_synthetic")

    def render(root):
        return tool.main(["--root", str(root), "--layout", layout, "--processes", str(processes)])

    def files(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    whole = forked(lambda: render(tmp_path / "whole"), folder=tmp_path / "whole")
    assert whole.code == 0, whole.text[-3000:]
    wanted, root = files(tmp_path / "whole" / name), tmp_path / "root"
    while faults:
        fault = {"seconds": random.uniform(0, whole.seconds), "whole_group": random.random() < 0.5}
        if processes == 1 and random.random() < 0.5:
            fault = {"change": random.randrange(whole.changes)}
        outcome = forked(lambda: render(root), folder=root, **fault)
        if outcome.killed:
            faults -= 1
            inject("SIGKILL while rendering")
        else:
            assert outcome.code == 0, outcome.text[-3000:]
        if writer.is_complete(root / name) or (root / name).exists():
            assert files(root / name) == wanted
            shutil.rmtree(root / name)
        assert len(list(root.glob(".*partial*")) if root.exists() else []) <= 1
    assert forked(lambda: render(root)).code == 0 and files(root / name) == wanted
    assert sorted(os.listdir(root)) == sorted([f".{name}.lock", name])
