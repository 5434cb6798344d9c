"""ealn_plugin/system/files.py: whole files or none, for every writer of the package."""

import os
import pathlib
import re

import numpy as np
import pytest

from ealn_plugin.data.synthetic import contact_sheet
from ealn_plugin.data.viewpoints import View, write_viewpoints_csv
from ealn_plugin.evaluation.features import Features
from ealn_plugin.system import files

ROOT = pathlib.Path(files.__file__).parents[2]


def save_features(path):
    Features(np.zeros((2, 3)), [1, 2], [0, 1], [0, 1], [True, False]).save(path)


def save_views(path):
    write_viewpoints_csv(path, {"a.jpg": (View.FRONT, 1.0)})


def save_sheet(path):
    contact_sheet.write_contact_sheet(path, "tiny")


def save_text(path):
    files.write_atomically(path, "text")


def test_a_file_is_replaced_in_one_go(tmp_path):
    path = tmp_path / "a.json"
    files.write_atomically(path, "1\n")
    files.write_atomically(path, "2 ü\n")
    assert path.read_bytes() == "2 ü\n".encode() and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(error):
        with files.replacing(path) as temporary:
            assert temporary.endswith(".png") and os.path.dirname(temporary) == str(tmp_path)
            raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.png"]


def test_the_error_is_told_even_where_the_temporary_file_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with files.replacing(tmp_path / "a") as temporary:
            os.unlink(temporary)
            raise ZeroDivisionError


@pytest.mark.parametrize("save", [save_text, save_features, save_views, save_sheet])
def test_every_writer_replaces_in_one_go_and_lets_all_read(tmp_path, save, monkeypatch):
    path, mask = tmp_path / "file.png", os.umask(0o077)
    try:
        save(path)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644 and os.listdir(tmp_path) == ["file.png"]
    before = path.read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file.png"]


def test_nothing_outside_engine_and_writing_replaces_files_itself():
    """Folders are another matter: data/synthetic/ moves whole ones."""
    own = {
        str(path.relative_to(ROOT))
        for folder in ("ealn_plugin", "tools")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bos\.replace\(|mkstemp", path.read_text(encoding="utf-8"))
    }
    assert own == {
        "ealn_plugin/system/files.py",
        "ealn_plugin/data/synthetic/writer.py",
        "ealn_plugin/data/synthetic/companions.py",
    }


def test_paths_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    files.check_writable(tmp_path / "f.json", "--json")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="--json is '.*', which is a folder, expected the name of a file; add"):
        files.check_writable(str(tmp_path), "--json")
    with pytest.raises(OSError, match="the folder '/no/such/folder' of --json does not exist; create it"):
        files.check_writable("/no/such/folder/f.json", "--json")

    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="nothing can be written in '.*' .*Permission denied.*; choose another folder"):
        files.check_writable(str(tmp_path / "f.json"), "--json")
