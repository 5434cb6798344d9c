"""ealn_plugin/visualization/style.py: titles that fit, files in one go."""

import importlib.util

import pytest
from PIL import Image

from ealn_plugin.visualization.style import header_height, legend_label, new_figure, save, tidy


def test_a_long_subtitle_makes_room_for_itself(tmp_path):
    assert header_height(6, "word " * 100) > header_height(6, "word ") > 0.5
    figure = new_figure(4, 3, "title", "word " * 30)
    tidy(figure.add_axes((0.2, 0.2, 0.6, 0.3)))
    save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (520, 390) and len(list(tmp_path.iterdir())) == 1


def test_without_matplotlib_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="matplotlib is not installed"):
        new_figure(4, 3, "title")


def test_names_of_runs_are_no_formulas_and_stay_in_the_legend(tmp_path):
    figure = new_figure(4, 3, "cost $x_{$ of a run", "$\\frac")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=legend_label("_run $x_{$"))
    legend = axes.legend()
    save(figure, tmp_path / "figure.png")
    assert [text.get_text() for text in legend.get_texts()] == [" _run $x_{$"] and legend_label("run") == "run"
    assert (tmp_path / "figure.png").stat().st_size > 1000
