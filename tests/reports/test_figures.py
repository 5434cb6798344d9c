"""ealn_plugin/reports/figures.py: which figures come out, and the sweep from a list."""

import csv
import os
import types

import numpy as np
import pytest

from ealn_plugin import config as configuration
from ealn_plugin.reports import figures
from ealn_plugin.reports.exhibits import FigureUnavailable


def test_a_figure_that_cannot_be_drawn_says_why(tmp_path, monkeypatch, caplog):
    def refuse(runs, out):
        raise FigureUnavailable("there is nothing to see")

    def draw(runs, out):
        return [f"{out}/nine.png"]

    monkeypatch.setattr(figures, "FIGURES", {5: figures.Figure(refuse, "five"), 9: figures.Figure(draw, "nine")})
    found = figures.write_figures([], [5, 9], str(tmp_path))
    assert found == {5: "there is nothing to see", 9: [f"{tmp_path}/nine.png"]}
    assert "no figure 5: there is nothing to see" in caplog.text


def run_with(label, value, *options):
    return types.SimpleNamespace(label=label, config=configuration.load_config("", options), primary_map=lambda: value)


def test_a_sweep_takes_only_runs_that_differ_in_the_betas(tmp_path, caplog):
    runs = [
        run_with("a", 0.5, "ealn.scheme", "hard", "ealn.beta1", 0.6, "train.seed", 1),
        run_with("b", 0.4, "ealn.scheme", "hard", "ealn.beta1", 0.9, "train.seed", 2),
        run_with("again", 0.4, "ealn.scheme", "hard", "ealn.beta1", 0.9, "train.seed", 2),
        run_with("c", 0.9, "ealn.scheme", "hard", "ealn.beta1", 0.7, "train.max_epoch", 3),
        run_with("d", None, "ealn.scheme", "hard", "ealn.beta1", 0.8),
        run_with("e", 0.3, "ealn.scheme", "en", "ealn.alpha", 0.1),
        run_with("f", 0.2, "ealn.scheme", "en", "train.lr", 0.1),
    ]
    figures.draw_sweep(runs, str(tmp_path))
    with open(tmp_path / "figure_10_sensitivity.csv", newline="") as file:
        assert [(line["beta1"], line["mAP"], line["runs"]) for line in csv.DictReader(file)] == [
            ("0.6", "0.5", "1"),
            ("0.9", "0.4", "1"),
            ("", "0.3", ""),
        ]
    assert "c is left out of figure 10: its train.max_epoch differs from that of a" in caplog.text
    with pytest.raises(FigureUnavailable, match="fewer than two different settings"):
        figures.draw_sweep(runs[:1] + runs[3:], str(tmp_path))


def test_the_sweep_from_a_list_of_results(tmp_path):
    results = [(0.3, 0.3, 0.5), (0.6, 0.3, 0.52), (0.6, 0.3, 0.54)]
    path = figures.write_sensitivity(str(tmp_path / "sweep"), results, reference=0.4)
    assert os.path.getsize(path) > 1000
    with open(tmp_path / "sweep.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["beta1", "beta2", "mAP", "mAP_std", "runs"]
    np.testing.assert_allclose([float(cell) for cell in lines[1]], [0.6, 0.3, 0.53, 0.02 / 2**0.5, 2])
    assert lines[2] == ["", "", "0.4", "", ""]
