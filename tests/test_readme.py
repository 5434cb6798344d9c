"""README.md and the guides: their code runs, what they name exists; tests/test_commands.py runs their commands."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from torch.distributed.run import get_args_parser

from ealn_plugin.evaluation import calibration
from tests.helpers.pages import COMMANDS, PAGES, ROOT, arguments_of
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

TEXT = PAGES["README.md"]


def code_of(page):
    """The one Python example of a page."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)
    return code


@pytest.mark.parametrize(
    "page, folder", [pytest.param("python", "my_run", marks=pytest.mark.slow), ("adding_a_scheme", "light")]
)
def test_an_example_trains(tmp_path, page, folder):
    """As it stands, but on a stand-in dataset and with sizes that a test can afford."""
    make_veri_folder(tmp_path / "reid-data")
    code = code_of(f"docs/guides/{page}.md")
    for there, here in (
        ("height=224, width=224", "height=32, width=32, workers=0"),
        ("batch_size_train=32", "batch_size_train=4"),
        ("num_instances=4", "num_instances=2"),
        ("max_epoch=60", "max_epoch=1"),
        ("osnet_x1_0", "osnet_x0_25"),
    ):
        assert there in code
        code = code.replace(there, here)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 0 <= float(done.stdout.strip().splitlines()[-1]) <= 1
    assert (tmp_path / "log" / folder / "checkpoint_last.pth.tar").exists()


def test_finding_a_vehicle(tmp_path, run_folder, capsys, monkeypatch):
    """The commands and the example as they stand, in a folder that holds what they name."""
    pytest.importorskip("lance")
    make_veri_folder(tmp_path / "reid-data" / "synthetic")
    (tmp_path / "log").mkdir()
    shutil.copytree(run_folder, tmp_path / "log" / "ealn_synthetic")
    image = tmp_path / "reid-data" / "synthetic" / "VeRi" / "image_query" / "0008_c001_00000100_0.jpg"
    shutil.copy(image, tmp_path / "car.jpg")
    (tmp_path / "my_cars").mkdir()
    shutil.copy(image, tmp_path / "my_cars")
    shutil.copy(image, tmp_path / "my_cars" / "car.jpg")
    commands = [command for command in arguments_of("search") if "log/crossing" not in command]  # that needs a detector
    assert [command[0] for command in commands] == (
        ["index", "query", "index", "query", "add", "remove", *["query"] * 3]
        + ["calibrate", "query", "calibrate", "query", "judge", "verify"]
    )
    tool = load_tool("search")
    monkeypatch.setattr(calibration, "FEWEST", 2)  # the stand-in has six training vehicles
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert tool.main(command) == 0, capsys.readouterr().err
        if command[0] == "query" and "log/gallery" in command and "--sheet" in command:
            exec(code_of("docs/guides/searching.md"), {})
    printed = capsys.readouterr().out
    assert re.search(r"^1\.000 vehicle 8 .*/image_test/0008_c001_00000100_0\.jpg$", printed, re.MULTILINE)
    assert "24 images added" in printed and "2 images added" in printed and "1 image removed" in printed
    assert (tmp_path / "log" / "found.png").exists() and (tmp_path / "log" / "found.json").exists()


def test_the_two_commands_of_the_start():
    demo = "python tools/train_ealn.py --config-file configs/ealn_synthetic.yaml"
    for line in (
        f"pip install -c constraints.txt -e . && {demo}",
        'pip install -c constraints.txt -e ".[test]" && pytest -n 2 --dist loadfile',
    ):
        assert f"\n```\n{line}\n```\n" in TEXT


def test_torchrun_understands_its_command():
    """It starts the tool with all that follows; that such a run works is in tests/commands/test_train_torchrun.py."""
    (command,) = (command for command in COMMANDS["docs/guides/training.md"] if command.startswith("torchrun "))
    parsed = get_args_parser().parse_args(command.split()[1:])
    assert parsed.nproc_per_node == "2" and parsed.training_script == "tools/train_ealn.py"
    assert parsed.training_script_args[0] == "--config-file"


LINKS = sorted(
    {(page, target) for page, text in PAGES.items() for target in re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", text)}
)


@pytest.mark.parametrize("page, target", LINKS)
def test_links_and_pictures_exist(page, target):
    assert target.startswith("https://") or os.path.exists(os.path.join(ROOT, os.path.dirname(page), target))


def test_a_reader_of_one_minute():
    """Some 250 words a minute of reading, without code, tables and pictures."""
    prose = re.sub(r"^```.*?^```|^\|.*?$|!?\[.*?\]\(.*?\)", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    assert len(prose.split()) < 400


def test_no_placeholder_is_left():
    assert not re.search(r"DEMO_|TBD|XXX", TEXT + open(os.path.join(ROOT, "RESULTS.md"), encoding="utf-8").read())
