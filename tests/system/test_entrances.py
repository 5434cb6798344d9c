"""ealn_plugin/system/entrances.py: hints that name what the user has started."""

import sys

import pytest

from ealn_plugin.system import entrances
from tests.helpers.pages import ROOT


@pytest.mark.parametrize(
    "script, expected",
    [
        ("tools/evaluate.py", "python tools/make_synthetic.py"),
        ("/usr/bin/ealn", "ealn make-synthetic"),
        ("-c", "ealn make-synthetic"),
        ("elsewhere/tools/evaluate.py", "ealn make-synthetic"),
    ],
)
def test_a_sub_command_as_this_user_starts_it(script, expected, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [script])
    assert entrances.command("make-synthetic") == expected
    assert (
        entrances.as_called("first ealn make-synthetic, then (ealn trains)") == f"first {expected}, then (ealn trains)"
    )


def test_from_within_the_folder(monkeypatch):
    monkeypatch.chdir(ROOT / "tools")
    monkeypatch.setattr(sys, "argv", ["report.py"])
    assert entrances.command("train") == "python train_ealn.py" and entrances.program("train") == "train_ealn.py"


def test_nothing_is_left_to_register_in_other_programs():
    before = sys.modules["ealn_plugin"].EALNEngine
    entrances.register()
    assert sys.modules["ealn_plugin"].EALNEngine is before
