"""ealn_plugin/runs/grid.py: which runs a grid has, and what is not run again."""

import json
import os

import pytest

from ealn_plugin import config
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.runs import folder, grid


def test_en_comes_first_and_lends_its_warm_up(tmp_path):
    runs = grid.plan(str(tmp_path), ("hard", "en"), (1, 2), ("train.lr", 0.5), warmup_epochs=3)
    assert [(run.scheme, run.seed) for run in runs] == [("en", 1), ("hard", 1), ("en", 2), ("hard", 2)]
    assert runs[0].start_from == "" and runs[3].start_from == str(tmp_path / "seed_2" / "en" / checkpoint.WARMUP)
    settings = dict(zip(runs[3].options[::2], runs[3].options[1::2]))
    assert settings == {
        "train.lr": 0.5,
        "ealn.scheme": "hard",
        "train.seed": 2,
        "data.save_dir": str(tmp_path / "seed_2" / "hard"),
    }
    assert all(run.start_from == "" for run in grid.plan(str(tmp_path), ("hard", "en"), (1,), (), 0))


@pytest.mark.parametrize(
    "schemes, seeds, message",
    [
        (("hard",), (1,), "expected en among them"),
        (("en", "en"), (1,), "--schemes are en en"),
        (("en",), (1, 1), "--seeds are 1 1"),
    ],
)
def test_grids_that_make_no_sense(schemes, seeds, message):
    with pytest.raises(ValueError, match=message):
        grid.plan("out", schemes, seeds, (), 0)


def test_a_sweep_varies_one_margin_and_shares_the_grids_warm_up(tmp_path):
    cells = grid.sweep(str(tmp_path), (1,), ("ealn.beta1", 0.6), {"beta1": (0.2, 0.4)}, 2)
    assert [(name, value) for name, value, _ in cells] == [("beta1", 0.2), ("beta1", 0.4)]
    run = cells[1][2]
    settings = dict(zip(run.options[::2], run.options[1::2]))
    assert settings["ealn.beta1"] == 0.4 and settings["data.save_dir"] == run.folder
    assert run.start_from == str(tmp_path / "seed_1" / "en" / checkpoint.WARMUP)
    assert os.path.dirname(run.folder) == str(tmp_path / "sweep" / "seed_1")


def test_finished_runs_are_read_and_others_refused(tmp_path):
    run = grid.Run("en", 1, "EN", str(tmp_path), ("ealn.scheme", "en"))
    wanted = config.load_config(options=run.options)
    assert grid.finished(run, wanted) is None
    path = tmp_path / folder.RESULTS
    path.write_text(
        json.dumps({"config": config.recorded(wanted), "primary": "a/b", "datasets": {"a": {"b": {"mAP": 0.5}}}})
    )
    assert grid.finished(run, wanted)["primary"] == "a/b"
    with pytest.raises(ValueError, match=r"results of other settings \(train.lr\); give another --out"):
        grid.finished(run, config.load_config(options=[*run.options, "train.lr", "0.5"]))
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a results file"):
        grid.finished(run, wanted)


@pytest.mark.parametrize(
    "jobs, runs, gpu, expected",
    [(0, range(3), False, 3), (0, range(9), False, 4), (0, range(3), True, 1), (6, range(1), True, 6)],
)
def test_how_many_runs_at_a_time(monkeypatch, jobs, runs, gpu, expected):
    monkeypatch.setattr(grid, "core_count", lambda: 4)
    monkeypatch.setattr(grid.torch.cuda, "is_available", lambda: True)
    assert grid.runs_at_a_time(jobs, runs, use_gpu=gpu) == expected


def test_every_preset_is_a_configuration():
    for options in grid.PRESETS.values():
        assert config.load_config(options=options).train.max_epoch > 0
