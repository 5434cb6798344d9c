"""ealn_plugin/system/cli.py: one sentence per error, and the log."""

import logging

import pytest

from ealn_plugin.system import cli


def test_the_log_goes_to_the_screen_and_into_the_folder(tmp_path, capsys):
    cli.start_log(tmp_path / "new" / "run", "a.log")
    logging.getLogger("somewhere").info("hello")
    assert capsys.readouterr().out == "hello\n"
    assert (tmp_path / "new" / "run" / "a.log").read_text().endswith("INFO somewhere: hello\n")


def test_an_unusable_folder_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="output folder .*file' cannot be used .*; choose another"):
        cli.start_log(str(tmp_path / "file"), "a.log")
