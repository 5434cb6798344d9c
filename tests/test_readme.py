"""README.md: its code runs, and its commands name files and flags that exist."""
import os
import re
import subprocess
import sys

import pytest

from standins import make_veri_folder

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXT = open(os.path.join(ROOT, "README.md"), encoding="utf-8").read()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
            if line.startswith(("pip ", "python "))]


def test_the_engine_in_an_existing_project(tmp_path):
    """The example as it stands, but on a stand-in dataset and with sizes that a test can afford."""
    assert len(CODE) == 1 and len(CODE[0].strip().splitlines()) < 25
    make_veri_folder(tmp_path / "reid-data")
    code = CODE[0]
    for there, here in (("height=224, width=224", "height=32, width=32, workers=0"),
                        ("batch_size_train=32", "batch_size_train=4"), ("num_instances=4", "num_instances=2"),
                        ("max_epoch=60", "max_epoch=1"), ("osnet_x1_0", "osnet_x0_25")):
        assert there in code
        code = code.replace(there, here)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 0 <= float(done.stdout.strip().splitlines()[-1]) <= 1
    assert (tmp_path / "log" / "my_run" / "checkpoint_last.pth.tar").exists()


def test_the_two_commands_of_the_start():
    demo = "python tools/train_ealn.py --config-file configs/ealn_synthetic.yaml"
    assert f"pip install -c constraints.txt -e . && {demo}" in COMMANDS
    assert 'pip install -c constraints.txt -e ".[test]" && pytest' in COMMANDS


@pytest.mark.parametrize("command", sorted(set(re.findall(r"python (tools/\w+\.py[^&\n`]*)", TEXT))))
def test_commands_name_what_exists(command):
    tool, *arguments = command.split()
    assert os.path.exists(os.path.join(ROOT, tool))
    for path in re.findall(r"configs/\w+\.yaml", command):
        assert os.path.exists(os.path.join(ROOT, path))
    flags = [argument for argument in arguments if argument.startswith("-")]
    if flags:
        command = [argument for argument in arguments[:1] if argument.isalpha()]  # of a tool with several
        done = subprocess.run([sys.executable, os.path.join(ROOT, tool), *command, "--help"], capture_output=True,
                              text=True, timeout=120)
        assert done.returncode == 0 and all(re.search(rf"(^|[\s,\[]){flag}\b", done.stdout) for flag in flags)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+?)\)", TEXT))))
def test_links_and_pictures_exist(target):
    assert target.startswith("https://") or os.path.exists(os.path.join(ROOT, target))


def test_the_layout_names_every_file():
    layout = TEXT[TEXT.index("## Layout"):]
    for folder, hidden in (("ealn_plugin", {"__init__.py", "__pycache__"}), ("tools", {"__pycache__"})):
        names = set(os.listdir(os.path.join(ROOT, folder))) - hidden
        assert sorted(name for name in names if name not in layout) == []


def test_no_placeholder_is_left():
    assert not re.search(r"DEMO_|TBD|XXX", TEXT + open(os.path.join(ROOT, "RESULTS.md"), encoding="utf-8").read())
