"""Folders and files whose names nobody should choose: they work, or are refused in one sentence."""

import csv
import io
import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from ealn_plugin import config as configuration
from ealn_plugin.data import folders
from ealn_plugin.data.viewpoints import View, read_viewpoints_csv
from ealn_plugin.evaluation.feature_store import fingerprint_of_images
from ealn_plugin.evaluation.features import Features
from ealn_plugin.labelling import labels
from ealn_plugin.reports.names import file_name
from ealn_plugin.system import cli, files
from tests.helpers.command_lines import evaluate, make_features, render, train
from tests.helpers.fault_injection import forked, inject
from tests.helpers.tool_modules import load_tool

NAMES = [
    "two words",
    "ümläut 车辆 🚗",
    "line\nend",
    "-rf",
    "--help",
    "quo\"te's",
    "100%s %d {0}",
    "a" * 200,
    "$HOME;ls *",
    "007",
    "1e5",
    "0x10",
    "true",
    "[a]",
    ".hidden",
    "tab\tand\rreturn",
    "\x1b[31mred",
    "back\\slash",
    os.fsdecode(b"no utf-8 \xff\xfe"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("examples", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_run_folders_and_roots(veri_root, tmp_path, monkeypatch, tiny, name, examples):
    """A relative name is the harder one. Slow: every name is trained in; else two."""
    if not examples and name not in ("line\nend", NAMES[-1]):
        pytest.skip("slow; run with pytest --slow")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(veri_root, name)
    outcome = forked(lambda: train(pathlib.Path(name) if not name.startswith("-") else f"./{name}", f"{name} run"))
    assert outcome.code == 0 and "Traceback" not in outcome.text, outcome.text[-3000:]
    results = json.loads(pathlib.Path(f"{name} run", "results.json").read_text())
    assert results["primary"] == "veri776/veri_image"
    found = configuration.load_config(os.path.join(f"{name} run", "config.yaml"))
    assert found.data.save_dir == f"{name} run"
    inject("hostile name")


@pytest.mark.parametrize("name", NAMES)
def test_a_key_keeps_the_text_that_was_given(name):
    """'007' is no number and '[a]' no list where a folder is asked for."""
    assert configuration.load_config("", ["data.save_dir", name]).data.save_dir == name


@pytest.mark.parametrize("name", ["line\nend", "quo\"te's %s", "a" * 240, NAMES[-1]])
def test_features_and_reports(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    make_features(folder / f"{name[:200]}.npz")
    arguments = ["--features", str(folder / f"{name[:200]}.npz"), "-t", "veri776", "--out", str(folder / "out")]
    outcome = forked(lambda: load_tool("evaluate").main([*arguments, "--no-figures"]))
    assert outcome.code == 0 and "Traceback" not in outcome.text, outcome.text[-3000:]
    assert json.loads((folder / "out" / "results.json").read_text())["datasets"]
    inject("hostile name")


def test_rendering_into_a_folder_of_a_hostile_name(tmp_path, monkeypatch):
    from ealn_plugin.data.synthetic import presets
    from tests.helpers.command_lines import PRESET

    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    outcome = forked(lambda: render(None, tmp_path / NAMES[-1]))
    assert outcome.code == 0, outcome.text[-2000:]
    inject("hostile name")


def test_names_that_are_too_long_are_refused(veri_root, tmp_path, tiny):
    outcome = forked(lambda: train(veri_root, tmp_path / ("a" * 300)))
    assert outcome.code == 1 and "File name too long" in outcome.sentence
    outcome = forked(lambda: evaluate(tmp_path, tmp_path / ("a" * 300)))
    assert outcome.code == 1 and "File name too long" in outcome.sentence
    inject("hostile name")


def test_file_names_of_labels_fit_into_a_folder():
    long = [file_name(character * 300) for character in ("a", "b", "ü", "车")]
    assert all(len(os.fsencode(name)) <= 120 for name in long) and len(set(long)) == len(long)
    assert file_name("a" * 300) != file_name("a" * 301)
    assert file_name("../../etc") == "etc" and file_name("run 1/hard") == "run_1_hard"


def test_messages_stay_on_one_line_and_leave_the_terminal_alone(capsys):
    def work():
        raise ValueError("'a\nb' and \x1b[31m and \u202e are names ü 车")

    assert cli.exit_code(work, "") == 1
    assert capsys.readouterr().err == "error: 'a\\nb' and \\x1b[31m and \\u202e are names ü 车\n"


def test_images_of_hostile_names_are_labelled(tmp_path):
    names = ["two words.jpg", "line\nend.jpg", "return\r.jpg", 'quo"te,s.jpg', "ümläut 车.jpg", "-rf.jpg", "100%s.jpg"]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    target = folders.images_of_folder(str(tmp_path))
    assert sorted(target.views) == sorted(names)
    views = {name: (View.REAR, 0.5) for name in target.views}
    labels.write_predicted_views(str(tmp_path), views, {})
    assert read_viewpoints_csv(tmp_path / "viewpoints.csv") == views
    with open(tmp_path / os.fsdecode(b"\xff.jpg"), "wb"):
        pass
    with pytest.raises(ValueError, match=r"viewpoints.csv' is written as UTF-8, which cannot hold '.*udcff.*; rename"):
        folders.images_of_folder(str(tmp_path))
    inject("hostile name")


def test_tables_and_features_with_hostile_names(tmp_path):
    cells = ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", " a ", "", "'=1+1"]
    files.write_csv(tmp_path / "t.csv", ["x"] * len(cells), [cells, cells])
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["x"] * len(cells), cells, cells]
    with pytest.raises(ValueError, match="t.csv' is written as UTF-8"):
        files.write_csv(tmp_path / "t.csv", ["x"], [[NAMES[-1]]])
    Features(np.zeros((len(NAMES), 2)), *[[0] * len(NAMES)] * 3, [True] * len(NAMES), NAMES).save(tmp_path / "f.npz")
    assert Features.load(tmp_path / "f.npz").paths == NAMES
    fingerprint_of_images([(str(tmp_path / name), 1, 1, True) for name in NAMES], [0] * len(NAMES))
    inject("hostile name")


def test_a_log_of_names_that_the_terminal_does_not_know(tmp_path):
    def work():
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding="ascii", line_buffering=True)
        cli.start_log(str(tmp_path), "a.log")
        cli.log.info("%s 车", NAMES[-1])

    outcome = forked(work)
    assert outcome.code == 0 and "Traceback" not in outcome.text and "no utf-8 \\udcff" in outcome.text
    assert "no utf-8 \\udcff\\udcfe 车" in (tmp_path / "a.log").read_text(encoding="utf-8")
    inject("hostile name")
