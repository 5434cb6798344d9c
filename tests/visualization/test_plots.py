"""ealn_plugin/visualization/plots.py: histograms, sensitivity, losses."""

import math

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.visualization import plots
from ealn_plugin.visualization.plots import (
    _top,
    _with_gaps,
    draw_histograms,
    draw_losses,
    draw_sensitivity,
    draw_series,
    histogram,
    right_end,
    sensitivity_table,
)

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def colours_in(path):
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return [colour for colour in (BLUE, ORANGE) if (pixels == colour).all(axis=1).any()]


def test_histograms_hold_every_value(tmp_path):
    edges, shares = histogram([0.0, 0.1, 1.99, 2.0, -1e-9], 2.0, bins=4)
    assert edges.tolist() == [0, 0.5, 1, 1.5, 2] and shares.tolist() == pytest.approx([0.6, 0, 0, 0.4])
    panels = {"pairs": {"near": np.full(9, 0.001), "far": np.linspace(0, 1.7, 90)}, "means": {"far": np.ones(3)}}
    assert right_end(panels) == 2.0
    draw_histograms(tmp_path / "h.png", "title", "subtitle", panels, "d")
    assert colours_in(tmp_path / "h.png") == [BLUE, ORANGE]


def test_heights_of_bars_that_leave_the_panel_are_one_label(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.append(figure.axes[0]))
    draw_histograms(
        tmp_path / "h.png",
        "title",
        "subtitle",
        {"pairs": {"near": np.repeat([0.01, 0.06], [60, 40]), "far": np.linspace(0, 2, 99)}},
        "d",
    )
    (label,) = seen[0].texts
    assert label.get_text() == " 60%, 40%" and label.get_position()[0] == pytest.approx(0.1)


def test_one_towering_bar_does_not_hide_the_others():
    assert _top([100.0, 10.0]) < 20 < 100 < _top([100.0, 60.0]) and _top([5.0]) > 5


def test_repeated_settings_become_a_mean(tmp_path):
    results = [(0.6, 0.3, 0.5), (0.6, 0.3, 0.6), (0.9, 0.3, 0.4), (0.9, 0.5, 0.3)]
    table = sensitivity_table(results)
    assert [row[:2] for row in table] == [(0.6, 0.3), (0.9, 0.3), (0.9, 0.5)]
    assert table[0][2:] == pytest.approx((0.55, math.sqrt(0.005), 2)) and math.isnan(table[1][3])
    draw_sensitivity(tmp_path / "s.png", results, reference=0.35)
    assert colours_in(tmp_path / "s.png") == [BLUE, ORANGE]
    with pytest.raises(ValueError, match="there are no results"):
        draw_sensitivity(tmp_path / "s.png", [])


def test_a_sweep_of_one_margin_at_a_time_is_one_line_in_each_panel(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.extend(figure.axes))
    draw_sensitivity(tmp_path / "s.png", [(0.4, 0.3, 0.5), (0.6, 0.3, 0.6), (0.6, 0.1, 0.55), (0.6, 0.3, 0.62)])
    assert [[line.get_label() for line in panel.get_legend().get_lines()] for panel in seen] == [
        ["beta2 = 0.3"],
        ["beta1 = 0.6"],
    ]
    assert [len(panel.containers) for panel in seen] == [1, 1]  # bars where a setting was run twice


def test_losses_of_several_runs(tmp_path):
    draw_losses(
        tmp_path / "l.png",
        "title",
        "subtitle",
        {"all": {"en": ([1, 2, 3], [3, 2, 1]), "hard": ([1], [2])}, "one": {"hard": ([1, 2], [1, 1])}},
    )
    assert colours_in(tmp_path / "l.png") == [BLUE, ORANGE]


def test_a_series_shows_single_points_negative_values_and_runs_of_any_name(tmp_path):
    draw_series(tmp_path / "s.png", "title", {"_en$x_{$": ([3], [0.5]), "hard": ([1, 2], [-1.0, math.nan])}, "loss")
    assert colours_in(tmp_path / "s.png") == [BLUE, ORANGE]


def test_a_run_keeps_its_colour_where_others_are_missing(tmp_path):
    draw_series(tmp_path / "s.png", "title", {"hard": ([1, 2], [0.5, 0.4])}, "loss", names=["en", "hard"])
    assert colours_in(tmp_path / "s.png") == [ORANGE]


@pytest.mark.parametrize("values, largest", [([1.0, 1.0], None), ([1.0, 1.0], 1.0), ([-1.0, 1.0], None)])
def test_a_legend_of_many_runs_lies_above_their_curves(tmp_path, monkeypatch, values, largest):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: (figure.canvas.draw(), seen.append(figure.axes[0])))
    draw_series(
        tmp_path / "s.png", "title", {f"run_{number}": ([1, 2], values) for number in range(8)}, "loss", largest=largest
    )
    box = seen[0].get_legend().get_window_extent()
    assert seen[0].transData.transform((1, 1.0))[1] < box.y0 < box.y1 <= seen[0].get_window_extent().y1
    assert len({line.get_color() for line in seen[0].lines}) == 8
    assert all(tick == round(tick) for tick in seen[0].get_xticks())


def _limits(tmp_path, monkeypatch, *values, **options):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.append(figure.axes[0].get_ylim()))
    draw_series(tmp_path / "s.png", "title", {"run": (range(len(values)), values)}, "unit", **options)
    return seen[0]


def test_axes_start_at_zero_and_hold_every_value(tmp_path, monkeypatch):
    assert _limits(tmp_path, monkeypatch, 6.0, 5.0) == pytest.approx((0, 6.48))
    assert _limits(tmp_path, monkeypatch, 0.25, 0.5, largest=1.0) == pytest.approx((0, 1.03))
    low, high = _limits(tmp_path, monkeypatch, -2.0, 1.0)
    assert low < -2 and high > 1
    low, high = _limits(tmp_path, monkeypatch, 0.0, 0.0)
    assert low == 0 < high


def test_no_line_is_drawn_across_what_was_not_recorded():
    steps, values = _with_gaps([10, 20, 30, 80, 90], [1, 2, 3, 4, 5])
    assert np.isnan(steps[3]) and np.isnan(values[3]) and len(steps) == 6
    assert _with_gaps([10, 20], [1, 2])[0].tolist() == [10, 20]
