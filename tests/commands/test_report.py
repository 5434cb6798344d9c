"""ealn_plugin/commands/report.py: the real command line on a run with every scheme."""

import html
import importlib.util
import re
import shutil

import pytest
import torch

from ealn_plugin.evaluation import calibration
from tests.helpers.browser import open_in_chromium
from tests.helpers.pages import arguments_of
from tests.helpers.standins import make_veri_folder, train_run
from tests.helpers.tool_modules import load_tool

README = arguments_of("report")
SECTIONS = [
    "summary",
    "results",
    "cmc",
    "ranked",
    "reliability",
    "hard",
    "views",
    "time",
    "responses",
    "distances",
    "diagnostics",
    "curves",
    "runs",
    "settings",
    "missing",
]


@pytest.fixture(scope="module")
def report():
    return load_tool("report")


def notes_of(text):
    return [html.unescape(note) for note in re.findall(r'<p class="missing">(.*?)</p>', text, re.DOTALL)]


def test_a_page_of_what_was_recorded(report, run_folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert report.main(["--run", str(run_folder), "--recorded", "--out", str(out)]) == 0
    assert before == {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    text = out.read_text(encoding="utf-8")
    assert f"report: {out}" in capsys.readouterr().out and "Hard-View-EALN" in text and "published" in text
    notes = notes_of(text)
    assert any("only what the run recorded is shown, as asked" in note for note in notes)
    assert any("there is no diagnostics.csv" in note for note in notes)


@pytest.mark.slow
def test_the_command_of_the_readme(report, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, tmp_path / "log" / "ealn_synthetic")
    assert README and all(report.main(arguments) == 0 for arguments in README)
    text = (tmp_path / "log" / "ealn_synthetic" / "report.html").read_text(encoding="utf-8")
    assert "without fusion" in text and text.count("<img") > 15


@pytest.mark.slow
def test_a_page_with_everything_in_a_browser(report, tmp_path, monkeypatch):
    """Two runs, one with every scheme; then the same page after the dataset is gone."""
    monkeypatch.setattr(calibration, "FEWEST", 1)  # there are four test vehicles
    root = make_veri_folder(tmp_path / "data", train=4, test=4)
    runs = [
        str(
            train_run(
                tmp_path / name,
                root,
                scheme,
                ["ealn.sample_every", 1, "ealn.diagnose_every", 1, "ealn.test_untrained", True, "train.max_epoch", 2],
            )
        )
        for name, scheme in (("<script>alert(1)</script>", "hard_view"), ("en", "en"))
    ]
    out = tmp_path / "page.html"
    flags = [
        "--run",
        *runs,
        "--out",
        str(out),
        "--features",
        str(tmp_path / "features"),
        "--workers",
        "0",
        "--device",
        "cpu",
        "--images",
        "16",
    ]
    assert report.main(flags) == 0
    text = out.read_text(encoding="utf-8")
    assert re.findall(r'<(?:section|details) id="(\w+)"', text) == SECTIONS and out.stat().st_size < 3 * 2**20
    assert [note.partition(",")[0] for note in notes_of(text)] == [
        "No diagnostics of en: there is no diagnostics.csv",
        "Not shown: the runs have fewer than two different settings of beta1 and beta2 with all else equal",
    ]
    assert "Hard-View-EALN and EN on veri776" in text and "mAP above EN" in text
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").glob("*.png")}
    assert len(kept) > 25
    for width in (390, 800, 1280):
        found = open_in_chromium(out, tmp_path, width)
        assert found["scrollWidth"] <= found["innerWidth"] == width and found["folded"] < 1500
        assert found["sideways"] == []
        assert len(found["images"]) > 35 and min(found["images"]) > 100 and found["without_alt"] == 0
        assert found["requests"] == [] and found["problems"] == [] and found["dialogs"] == 0
    assert report.main(flags) == 0 and out.read_text(encoding="utf-8") == text, "nothing has changed"
    assert kept == {path: path.stat().st_mtime_ns for path in kept}, "so nothing is drawn again"
    shutil.rmtree(root / "VeRi")
    assert report.main(flags) == 0
    notes = notes_of(out.read_text(encoding="utf-8"))
    assert sum("VeRi776 was not found" in note and note.endswith("with --root DIR.") for note in notes) == 2
    assert sum("this needs the networks and the test images" in note for note in notes) == 3


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--run", "/no/run"], "'/no/run' has no config.yaml"),
        (["--run", "x", "--images", "3"], "--images is 3"),
        (["--run", "x", "--queries", "-1"], "--queries is -1, expected 0 or more"),
        (["--run", "RUN", "--out", "/no/folder/page.html"], "the folder '/no/folder' of --out does not exist"),
        (["--run", "RUN", "RUN"], "is given twice"),
        (["--run", "x", "--device", "cuda"], "torch sees no GPU"),
    ],
)
def test_bad_input_gets_one_sentence(report, run_folder, arguments, sentence, capsys):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert report.main([str(run_folder) if argument == "RUN" else argument for argument in arguments]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_a_missing_package_is_named(report, run_folder, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert report.main(["--run", str(run_folder)]) == 1
    assert 'pip install -c constraints.txt -e ".[report]"' in capsys.readouterr().err
