import logging
import pathlib
import subprocess
import sys

import pytest

from ealn_plugin.data.synthetic import PRESETS, Preset
from tests.helpers.tool_modules import load_tool

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "make_synthetic.py"


def _run(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow  # CI's main job renders the same by tools/train_ealn.py
def test_renders_a_data_set_and_finds_it_again(tmp_path):
    options = ("--root", tmp_path, "--layout", "veri776", "--preset", "tiny", "--seed", "3", "--image-size", "32")
    first = _run(*options)
    assert first.returncode == 0, first.stderr
    assert "images/s per core" in first.stdout.splitlines()[-1]
    assert (tmp_path / "VeRi" / "synthetic.json").is_file()
    assert len(list((tmp_path / "VeRi" / "image_train").iterdir())) == 1536
    second = _run(*options)
    assert second.returncode == 0 and "complete already" in second.stdout
    third = _run(*options[:-1], "48")
    assert third.returncode == 1
    assert third.stderr.startswith("error: ") and "another image_size" in third.stderr
    assert len(third.stderr.splitlines()) == 1


def test_lookalikes_are_added_to_a_finished_data_set(tool, tmp_path, monkeypatch, capsys, caplog):
    caplog.set_level(logging.INFO)
    small = Preset(4, 10, 8, 4, 10, 8, cameras=4, models=5, image_size=32)
    monkeypatch.setitem(PRESETS, "tiny", small)
    options = ["--root", str(tmp_path), "--processes", "1"]
    assert tool.main(options) == 0
    before = sorted((tmp_path / "VeRi").rglob("*"))
    assert tool.main([*options, "--lookalikes", "3"]) == 0
    assert "30 lookalikes of its training images and 10 unmarked twins" in caplog.text
    assert len((tmp_path / "VeRi" / "lookalikes.csv").read_text().splitlines()) == 31
    assert tool.main(options) == 0 and set(before) < set((tmp_path / "VeRi").rglob("*"))
    assert tool.main([*options, "--lookalikes", "1"]) == 1
    assert "has 3 lookalikes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([*options, "--lookalikes", "-1"])
    assert "--lookalikes: -1 is not at least 0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tool():
    return load_tool("make_synthetic")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--image-size", "8"), "image_size is 8"),
        (("--seed", "-4"), "seed is -4"),
        (("--processes", "0"), "processes is 0"),
    ],
)
def test_wrong_arguments_give_one_sentence(tool, tmp_path, capsys, arguments, sentence):
    assert tool.main(["--root", str(tmp_path / "new"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and len(error.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_unknown_names_are_refused_by_the_parser(tool, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main(["--root", str(tmp_path), "--preset", "huge"])
    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_unwritable_root_gives_one_sentence(tool, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert tool.main(["--root", str(tmp_path / "file")]) == 1
    assert "cannot write the rendered data set" in capsys.readouterr().err
