"""ealn_plugin/reports/html/pictures.py: what can be drawn is, the rest is one sentence."""

import types

import pytest
from PIL import Image

from ealn_plugin.reports.exhibits import FigureUnavailable
from ealn_plugin.reports.figures import Figure
from ealn_plugin.reports.html import pictures
from ealn_plugin.reports.kept_figures import KeptFigures
from tests.helpers.run_folders import texts


def a_run(label):
    """Stands for a ReportedRun whose files and test images never change."""
    return types.SimpleNamespace(
        label=label, unavailable="", num_images=16, subject=None, state_of_files=list, state_of_images=str
    )


def test_pictures_saved_while_training_need_no_networks(runs, tmp_path):
    sections = {section.key: section for section in pictures.generated(runs, KeptFigures(tmp_path))}
    assert texts(sections["time"], "picture") == [
        "Hard negatives of the same inputs after some epochs of training: hard_view",
        "Other views of the same inputs after some epochs of training: hard_view",
    ]
    (epoch, *change), _ = [
        line.split(",") for line in (tmp_path / "figure_07_training_views_hard_view.csv").read_text().splitlines()[1:]
    ]
    inputs, hard, other = runs[0].sample_grids()[1]
    expected = (other - inputs).abs().mean(dim=(1, 2, 3)).tolist()
    assert epoch == "1" and [float(cell) for cell in change] == pytest.approx(expected)
    left_out, sweep = texts(sections["missing"], "note")
    assert left_out.startswith("Not shown for hard_view, en: this needs the networks") and set(sections) == {
        "time",
        "missing",
    }
    assert "fewer than two different settings of beta1" in sweep
    assert pictures.evaluated(runs, str(tmp_path), 2) == (None, "")


def test_one_run_that_fails_does_not_take_the_others_along(monkeypatch, tmp_path):
    def draw(chosen, folder):
        (run,) = chosen
        if run.label == "broken":
            raise ValueError("its pictures cannot be read")
        if run.label == "en":
            raise FigureUnavailable("none of en has them")
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        return [tmp_path / "a.png"]

    named = [a_run(label) for label in ("good", "broken", "en", "also", "fifth")]
    figure = Figure(draw, "what", single=True)
    monkeypatch.setattr(pictures, "_SECTIONS", (("key", "title", (pictures._Exhibit(figure, "What"),)),))
    section, _ = pictures.generated(named, KeptFigures(tmp_path))
    assert texts(section, "picture") == ["What: good", "What: also"]
    assert texts(section, "note") == [
        "Not shown for broken: its pictures cannot be read",
        "Shown for the first 4 runs; name others first with --run to see theirs.",
    ]
    (section,) = pictures.generated(named[2:3], KeptFigures(tmp_path))
    assert texts(section, "note") == ["Not shown: none of en has them."]


def test_a_failure_of_the_evaluation_is_a_sentence(monkeypatch, tmp_path):
    run = a_run("run")

    def fail(subjects, store, num_queries):
        raise RuntimeError("image 'x' cannot be decoded")

    monkeypatch.setattr(pictures.comparison, "evaluate_subjects", fail)
    report, failure = pictures.evaluated([run], str(tmp_path), 2)
    for section in pictures.retrieval([run], report, failure, KeptFigures(tmp_path)):
        assert texts(section, "note") == ["The test images could not be ranked: image 'x' cannot be decoded"]


@pytest.mark.parametrize("ranked, cut", [(4, False), (5, True)])
def test_lists_of_more_runs_than_are_shown_say_so(monkeypatch, tmp_path, ranked, cut):
    """What counts is how many could be ranked, not how many were named."""

    def draw(report, folder):
        Image.new("RGB", (4, 4)).save(tmp_path / "lists.png")
        return {"veri776": tmp_path / "lists.png"}

    monkeypatch.setattr(pictures.comparison, "write_lists", draw)
    monkeypatch.setattr(pictures.comparison, "write_curves", lambda report, folder: [])
    runs = [a_run(f"run_{number}") for number in range(6)]
    report = types.SimpleNamespace(curves={}, lists={"veri776": {run.label: None for run in runs[:ranked]}})
    _, section = pictures.retrieval(runs, report, "", KeptFigures(tmp_path))
    (picture,) = texts(section, "picture")
    assert "under run_0, run_1, run_2, run_3:" in picture
    assert ("Shown for the first 4 runs; name others first with --run to see theirs." in texts(section, "note")) == cut
