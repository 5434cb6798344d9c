"""ealn_plugin/reports/html/settings.py: the runs at a glance, and where their configurations differ."""

from ealn_plugin.reports.html import open_runs
from ealn_plugin.reports.html.settings import flat_settings, overview, settings
from tests.helpers.run_folders import make_folder, texts


def lines(table):
    return {line.cells[0]: line.cells[1:] for line in table.lines}


def test_one_line_per_run_and_a_note_on_the_unfinished(runs, tmp_path):
    (unfinished,) = open_runs([str(make_folder(tmp_path / "later", results=False))])
    section = overview([*runs, unfinished])
    found = lines(section.blocks[0])
    assert found["hard_view"] == ("Hard-View-EALN", "resnet50", "1", "50", "veri776/veri_image", "25.0", "50.0", "6.2")
    assert found["en"][0] == "EN" and found["later"][4:] == ("", "", "", "")
    assert "No results.json of later" in texts(section, "note")[0]


def test_differences_between_runs(runs):
    table, *folded = settings(runs).blocks
    assert table.header == ("setting", "hard_view", "en")
    assert lines(table) == {"ealn.scheme": ("hard_view", "en"), "ealn.alpha": ("0.5", "0.6")}
    assert len(folded) == 2 and all(every.folded for every in folded)
    assert set(lines(folded[0])) == set(flat_settings(runs[0].own_config)) >= {"train.lr", "data.transforms"}


def test_a_single_run_against_the_defaults_and_no_folders(runs):
    table, every = settings(runs[:1]).blocks
    assert lines(table) == {"data.height": ("16", "224"), "data.width": ("16", "224"), "ealn.alpha": ("0.5", "0.6")}
    assert not {"data.root", "data.save_dir"} & set(lines(every))
