"""ealn_plugin/config/shipped.py: a file on the disk, else the plugin's own."""

import pytest

from ealn_plugin.config import load_config
from ealn_plugin.config.shipped import compared_rows, find_config, shipped_configs
from tests.helpers.pages import ROOT


def test_the_plugins_own_are_those_in_configs():
    folder = ROOT / "configs"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(shipped_configs()) == files and {"ealn_veri.yaml", "compared/hdc.yaml"} <= files
    assert set(compared_rows()) == {path.stem for path in (folder / "compared").iterdir()}


def test_by_name_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = load_config(str(ROOT / "configs" / "ealn_synthetic.yaml"))
    assert load_config("ealn_synthetic.yaml") == own == load_config("configs/ealn_synthetic.yaml")
    row = load_config(str(ROOT / "configs" / "compared" / "hdc.yaml"))
    for name in ("hdc.yaml", "compared/hdc.yaml", "configs/compared/hdc.yaml"):
        assert load_config(name) == row


def test_a_file_on_the_disk_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ealn_synthetic.yaml").write_text("train: {max_epoch: 3}")
    assert load_config("ealn_synthetic.yaml").train.max_epoch == 3


@pytest.mark.parametrize("name", ["ealn_verri.yaml", "elsewhere/ealn_veri.yaml"])
def test_what_is_nowhere_is_refused_with_what_there_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="did you mean ealn_veri.yaml?"):
        find_config(name)
    with pytest.raises(FileNotFoundError, match="the plugin's own are .*ealn_synthetic.yaml"):
        find_config("mine")
