"""ealn_plugin/reports/html/summary.py: the page's title and its first screen."""

from ealn_plugin.reports.html import open_runs
from ealn_plugin.reports.html.summary import subtitle_of, summary, title_of
from tests.helpers.run_folders import METRICS, make_folder, texts


def test_the_title_names_methods_and_dataset(runs, tmp_path):
    assert title_of(runs) == "Hard-View-EALN and EN on veri776" and subtitle_of(runs) == "2 runs: hard_view, en"
    assert title_of(runs[:1]) == "Hard-View-EALN on veri776"
    assert subtitle_of(runs[:1]) == "hard_view: resnet50, 16 x 16 pixels, 50 epochs, seed 1"
    more = open_runs([str(make_folder(tmp_path / name, "ealn.scheme", name)) for name in ("hard", "view")])
    assert title_of([*runs, *more]) == "4 runs of 4 methods on veri776"


def test_one_run_beside_en_and_its_start(tmp_path):
    folder = make_folder(tmp_path / "run", "ealn.scheme", "hard")
    make_folder(folder / "en", "ealn.scheme", "en")
    section = summary(open_runs([str(folder)]), {})
    figures, _, table, _ = section.blocks
    assert figures.items == (("25.0", "mAP"), ("50.0", "rank 1")) and not section.folded
    assert [line.cells for line in table.lines] == [
        ("Hard-EALN", "25.0", "50.0", "+0.0"),
        ("EN", "25.0", "50.0", ""),
        ("before training", "6.2", "12.5", "-18.8"),
    ]
    assert "Above EN with the same settings: mAP +0.0, rank 1 +0.0" in texts(section, "note")[-1]
    (folder / "en" / "config.yaml").unlink()
    section = summary(open_runs([str(folder)]), {})
    assert "What this gains over EN is not known" in texts(section, "note")[-1]


def test_several_runs_with_and_without_results(runs, tmp_path):
    (later,) = open_runs([str(make_folder(tmp_path / "later", results=False))])
    section = summary([*runs, later], {})
    table = next(block for block in section.blocks if block.block == "table")
    assert [line.cells for line in table.lines] == [("hard_view", "25.0", "50.0", "+0.0"), ("en", "25.0", "50.0", "")]
    assert "No results yet of later" in texts(section, "note")[-1]
    measured = {"later": {"primary": "veri776/veri_image", "datasets": {"veri776": METRICS}, "untrained": {}}}
    assert summary([later], measured).blocks[0].items[0] == ("25.0", "mAP")
    assert texts(summary([later], {}), "note") == ["No results yet of later; see 'Runs' below."]
