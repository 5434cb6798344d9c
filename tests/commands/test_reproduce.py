"""ealn_plugin/commands/reproduce.py: a grid from the real command line, interrupted, gone on with, and read again."""

import csv
import json
import os

import pytest

from ealn_plugin.runs import grid
from ealn_plugin.system import jobs
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.tool_modules import load_tool

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SMALL = [
    "use_gpu",
    "False",
    "data.height",
    "32",
    "data.width",
    "32",
    "data.workers",
    "0",
    "model.name",
    "osnet_x0_25",
    "train.batch_size",
    "8",
    "sampler.num_instances",
    "2",
    "train.optim",
    "adam",
    "ealn.generator.filters",
    "4",
    "ealn.generator.blocks",
    "1",
    "ealn.discriminator.filters",
    "4",
    "ealn.discriminator.layers",
    "1",
    "ealn.render.preset",
    "",
    "train.max_epoch",
    "3",
    "ealn.warmup_epochs",
    "1",
]


def reproduce(root, out, *arguments, options=SMALL):
    return load_tool("reproduce").main(
        [
            "--config-file",
            os.path.join(ROOT, "configs", "ealn_synthetic_grid.yaml"),
            "--root",
            str(root),
            "--out",
            str(out),
            *arguments,
            *options,
        ]
    )


@pytest.mark.slow  # tests/faults/test_kills_of_runs.py kills a grid and goes on with it
def test_a_grid_goes_on_where_it_was_interrupted(veri_root, tmp_path, monkeypatch, capsys):
    started, train = [], grid.training.train

    def counting(config, progress):
        started.append((config.ealn.scheme, config.train.seed))
        if len(started) == 2:
            raise TrainingInterrupted("stopped")
        return train(config, progress)

    monkeypatch.setattr(grid.training, "train", counting)
    arguments = ["--schemes", "en", "hard", "--seeds", "1", "2", "--sweep", "beta2", "--jobs", "1"]
    assert reproduce(veri_root, tmp_path, *arguments) == 130
    assert "the same command goes on" in capsys.readouterr().err and started == [("en", 1), ("hard", 1)]
    assert reproduce(veri_root, tmp_path, *arguments) == 0
    assert started[2:5] == [("hard", 1), ("en", 2), ("hard", 2)] and len(started) == 5 + 10
    out = capsys.readouterr().out
    assert "Table I: veri776, veri_image" in out and "Table II" in out and "Hard-EALN" in out and "mAP - EN" in out
    with open(tmp_path / "table_1.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows[:2]] == ["EN", "Hard-EALN"] and rows[-1]["source"] == "published"
    assert "**Table III" in (tmp_path / "tables.md").read_text()
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 11
    # Both updated the embedding network equally often, behind one warm-up.
    assert (tmp_path / "seed_1" / "en" / "checkpoint_warmup.pth.tar").exists()
    tables = (tmp_path / "tables.md").read_text()
    assert reproduce(veri_root, tmp_path, *arguments) == 0
    assert len(started) == 15 and (tmp_path / "tables.md").read_text() == tables
    assert json.loads((tmp_path / "seed_2" / "hard" / "results.json").read_text())["config"]["train"]["seed"] == 2


@pytest.mark.slow  # tests/system/test_jobs.py has the pool in small
def test_runs_side_by_side_are_those_one_after_the_other(veri_root, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(jobs, "core_count", lambda: 2)  # one thread each, as the tests have
    arguments = ["--schemes", "en", "hard", "--seeds", "1", "2"]
    assert reproduce(veri_root, tmp_path / "one", *arguments, "--jobs", "1") == 0
    capfd.readouterr()
    assert reproduce(veri_root, tmp_path / "two", *arguments, "--jobs", "2") == 0
    out, error = capfd.readouterr()
    assert out.count("finished: ") == 4 and "Table I: veri776" in out
    assert "epoch 1/3" not in out + error  # the messages of a run go into its own log
    for name in ("tables.md", "table_1.csv", "table_2.csv", "table_3.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    for run in ("seed_1/en", "seed_1/hard", "seed_2/en", "seed_2/hard"):
        one, two = (json.loads((tmp_path / folder / run / "results.json").read_text()) for folder in ("one", "two"))
        assert one["datasets"] == two["datasets"] and one["untrained"] == two["untrained"]
    assert "starting behind the warm-up" in (tmp_path / "two" / "seed_2" / "hard" / "train.log").read_text()


@pytest.mark.slow  # tests/reports/test_bounds.py has the figures and the shares
def test_bounds_stand_beside_the_tables(rendered_root, tmp_path, capsys):
    arguments = ["--schemes", "en", "en_perturb", "--seeds", "1", "2", "--jobs", "1", "--bounds"]
    assert reproduce(rendered_root, tmp_path, *arguments) == 0
    out = capsys.readouterr().out
    assert "Bounds: veri776, veri_image" in out and "Share of the room: veri776, veri_image" in out
    with open(tmp_path / "bounds.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == [
        "EN",
        "perfect model and colour, nothing else",
        "Hard, renderer's fakes",
        "EN, fused with the true other view",
        "EN, fused with the other view without marks",
        "Hard, renderer's fakes, fused with the true other view",
    ]
    assert rows[1]["mAP"].endswith("± 0.0") and all("±" in row["cross view - EN"] for row in rows[1:])
    with open(tmp_path / "share_of_the_room.csv", encoding="utf-8", newline="") as file:
        assert [row["network"] for row in csv.DictReader(file)] == ["en_perturb"]
    assert "**Bounds: veri776" in (tmp_path / "tables.md").read_text()
    trained = json.loads((tmp_path / "seed_1" / "hard_truth" / "results.json").read_text())
    assert trained["config"]["ealn"]["scheme"] == "hard_truth"


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (["--jobs", "-1"], SMALL, "--jobs is -1"),
        (["--schemes", "hard"], SMALL, "expected en among them"),
        (["--seeds", "1", "1"], SMALL, "--seeds are 1 1"),
        ([], ["ealn.alhpa", "1"], "did you mean ealn.alpha"),
        (["--bounds"], SMALL, "was not rendered, so its truth is not known; leave --bounds out"),
    ],
)
def test_nonsense_gets_one_sentence(veri_root, tmp_path, capsys, arguments, options, message):
    assert reproduce(veri_root, tmp_path, *arguments, options=options) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
