"""ealn_plugin/commands/grid_workers.py: a grid on a Ray cluster, a machine of which is killed, and on a local Ray."""

import argparse
import importlib.util
import json
import os
import threading

import pytest

from ealn_plugin.commands import grid_workers
from ealn_plugin.commands.reproduce import parse_arguments
from ealn_plugin.system import jobs
from tests.commands.test_reproduce import SMALL, reproduce
from tests.helpers.ray_clusters import two_machines, wait_until
from tests.helpers.tool_modules import load_tool

REASON = "pip install -c constraints.txt ray: too heavy for CI"
LAST, RESULTS = "checkpoint_last.pth.tar", "results.json"
LONGER = [*SMALL, "train.max_epoch", "6"]
RUNS = [os.path.join(f"seed_{seed}", scheme) for seed in (1, 2) for scheme in ("en", "hard")]
GRID = ["--schemes", "en", "hard", "--seeds", "1", "2"]


@pytest.mark.slow  # three grids; a Ray takes half a minute to start
def test_a_machine_is_killed_and_the_results_are_the_same(veri_root, tmp_path, monkeypatch, capfd):
    pytest.importorskip("ray", reason=REASON)
    monkeypatch.setattr(jobs, "core_count", lambda: 2)  # one thread each, as the tests have
    assert reproduce(veri_root, tmp_path / "here", *GRID, "--jobs", "2", options=LONGER) == 0
    beginners = [tmp_path / "ray" / run for run in RUNS if run.endswith("en")]
    seen = []

    def kill(kill_one):
        wait_until(lambda: all((run / LAST).exists() for run in beginners))
        seen.append([(run / RESULTS).exists() for run in beginners])
        kill_one()

    with two_machines() as (address, kill_one):
        killing = threading.Thread(target=kill, args=(kill_one,))
        killing.start()
        assert reproduce(veri_root, tmp_path / "ray", *GRID, "--ray", address, options=LONGER) == 0
        killing.join()
    assert seen == [[False, False]]
    assert sum("going on" in (run / "train.log").read_text() for run in beginners) == 1
    out, error = capfd.readouterr()
    assert out.count("finished: ") == 8 and "lost the machine" in out and "Table I: veri776" in out
    for run in RUNS:
        here, there = ((tmp_path / place / run / RESULTS).read_bytes() for place in ("here", "ray"))
        assert here == there, run
    assert [name for name in os.listdir(tmp_path / "ray") if name.startswith(".")] == []


@pytest.mark.slow
def test_a_local_ray(veri_root, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray", reason=REASON)
    monkeypatch.chdir(tmp_path)
    arguments = ["--schemes", "en", "--seeds", "1", "--ray"]
    assert reproduce(veri_root, "grid", *arguments) == 0
    assert json.loads((tmp_path / "grid" / "seed_1" / "en" / RESULTS).read_text())["datasets"]
    assert "Table I: veri776" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--ray", "--jobs", "2"], "--jobs was given with --ray"),
        (["--ray", "somewhere"], "--ray is 'somewhere', expected auto, or HOST:PORT"),
        (["--ray", "--gpus-per-cell", "-1"], "--gpus-per-cell is -1, expected 0 or more"),
        (["--ray", "--cpus-per-cell", "0"], "0 is not at least 1"),
        (["--out", "s3://bucket/grid"], "results in object storage are not supported"),
    ],
)
def test_wrong_flags_end_at_once(capsys, arguments, message):
    with pytest.raises(SystemExit):
        load_tool("reproduce").main(["--table", "1", *arguments])
    assert message in capsys.readouterr().err


def test_a_setting_behind_the_flag_is_no_address():
    for line in ("--table 1 --ray use_gpu False train.lr 1", "--ray use_gpu False --table 1 train.lr 1"):
        args = parse_arguments(line.split())
        assert args.ray == "" and args.opts == ["use_gpu", "False", "train.lr", "1"]
    assert parse_arguments(["--table", "1", "--ray", "127.0.0.1:6379", "train.lr", "1"]).ray == "127.0.0.1:6379"


def test_without_ray(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert load_tool("reproduce").main(["--table", "1", "--out", str(tmp_path), "--ray"]) == 1
    error = capsys.readouterr().err
    assert "ray is not installed, but grids on several machines need it" in error and '.[cluster]"' in error


@pytest.mark.parametrize(
    "more, use_gpu, expected",
    [
        ({}, True, {"gpus": 1.0, "without_gpus": True}),
        ({}, False, {"gpus": 0.0, "without_gpus": True}),
        ({"gpus_per_cell": 0.5, "cpus_per_cell": 4}, False, {"gpus": 0.5, "without_gpus": False, "cpus": 4}),
    ],
)
def test_what_a_cell_takes(more, use_gpu, expected):
    args = argparse.Namespace(
        **{"ray": "auto", "jobs": 0, "out": "x", "gpus_per_cell": None, "cpus_per_cell": 1, **more}
    )
    assert grid_workers.workers_of(args, [], use_gpu).keywords == {
        "address": "auto",
        "folder": "x",
        "cpus": 1,
        **expected,
    }


def test_here_it_is_the_pool():
    args = argparse.Namespace(ray=None, jobs=3)
    assert grid_workers.workers_of(args, [], False).keywords == {"processes": 3}
    args.jobs = 1
    assert grid_workers.workers_of(args, [], False) is None
