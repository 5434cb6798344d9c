"""ealn_plugin/system/shared_folder.py: what a machine that sees something else is told."""

import os

import pytest

from ealn_plugin.system import shared_folder
from ealn_plugin.system.shared_folder import Place, shared_place


def test_a_folder_that_is_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with shared_place("grid") as place:
        assert place.directory == str(tmp_path) and os.listdir("grid") == [os.path.basename(place.token)]
        monkeypatch.chdir("/")
        place.check("node")
        place.leave_mark("node")
        place.check_mark("node", "node")
    assert os.listdir(tmp_path / "grid") == []


def test_one_that_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_folder, "_PATIENCE", 0.1)
    with shared_place(str(tmp_path)) as place:
        elsewhere = Place(str(tmp_path / "other" / "token"), str(tmp_path))
        with pytest.raises(RuntimeError, match="the machine node does not share the folder '.*other'; mount one"):
            elsewhere.check("node")
        with pytest.raises(RuntimeError, match="the machine node does not share the folder"):
            place.check_mark("node", "node")
        with pytest.raises(RuntimeError, match="the machine node has no folder '/no/such', in which the command"):
            Place(place.token, "/no/such").check("node")
