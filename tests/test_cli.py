"""ealn_plugin/cli.py: whole files or none, and one sentence per error."""
import logging
import os

import pytest

from ealn_plugin import cli


def test_a_file_is_replaced_in_one_go(tmp_path):
    path = tmp_path / "a.json"
    cli.write_atomically(path, "1\n")
    cli.write_atomically(path, "2 ü\n")
    assert path.read_bytes() == "2 ü\n".encode() and os.listdir(tmp_path) == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        with cli.replacing(path) as temporary:
            assert temporary.endswith(".png") and os.path.dirname(temporary) == str(tmp_path)
            raise ZeroDivisionError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.png"]


def test_a_workers_error_is_one_sentence():
    text = ("Caught FileNotFoundError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\n"
            "FileNotFoundError: image 'a: b.jpg' does not exist")
    assert cli.sentence(RuntimeError(text)) == "image 'a: b.jpg' does not exist"
    assert cli.sentence(ValueError(" plain ")) == "plain"


def test_the_log_goes_to_the_screen_and_into_the_folder(tmp_path, capsys):
    cli.start_log(tmp_path / "new" / "run", "a.log")
    logging.getLogger("somewhere").info("hello")
    assert capsys.readouterr().out == "hello\n"
    assert (tmp_path / "new" / "run" / "a.log").read_text().endswith("INFO somewhere: hello\n")


def test_an_unusable_folder_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="output folder .*file' cannot be used .*; choose another"):
        cli.start_log(str(tmp_path / "file"), "a.log")
