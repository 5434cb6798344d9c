"""ealn_plugin/visualization/curves.py: figures with every network, honest axes, the numbers beside them."""

import csv
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.evaluation.measure import Measurement
from ealn_plugin.visualization.curves import _bottom, check_matplotlib, draw_cmc, write_cmc_csv


def measurement(start, draws=False):
    curve = tuple(np.linspace(start, 1, 50).tolist())
    return Measurement({"mAP": start / 2, "rank1": start}, curve, (0.02,) * 50 if draws else ())


def test_the_csv_holds_every_curve(tmp_path):
    curves = {"one": measurement(0.5), "two, three": measurement(0.25, draws=True)}
    write_cmc_csv(tmp_path / "cmc.csv", curves)
    with open(tmp_path / "cmc.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["rank", "one", "two, three", "two, three (standard deviation)"]
    assert [int(row[0]) for row in rows] == list(range(1, 51))
    assert tuple(float(row[1]) for row in rows) == curves["one"].curve and {row[3] for row in rows} == {"0.02"}


def test_the_figure_shows_every_network(tmp_path):
    names = [f"network {number}" for number in range(9)]
    draw_cmc(tmp_path / "one.png", "title", {names[0]: measurement(0.1)})
    draw_cmc(
        tmp_path / "nine.png",
        "title",
        {name: measurement(0.1 * number, draws=number == 3) for number, name in enumerate(names)},
        "a subtitle " * 20,
    )
    one, nine = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")).reshape(-1, 3) for name in ("one.png", "nine.png")
    )
    colours = [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0)]
    assert [(one == colour).all(axis=1).any() for colour in colours] == [True] + [False] * 5
    assert all((nine == colour).all(axis=1).any() for colour in colours)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nine.png", "one.png"]


def test_equal_curves_give_equal_files(tmp_path):
    for name in ("a.png", "b.png"):
        draw_cmc(tmp_path / name, "title", {"one": measurement(0.5)})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("lowest, bottom", [(0, 0), (49.9, 0), (51, 40), (77, 70), (74, 60), (99.9, 90), (100, 90)])
def test_the_axis_starts_at_zero_or_below_the_lowest_value(lowest, bottom):
    assert _bottom(lowest) == bottom


def test_without_matplotlib_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r'matplotlib is not installed.*\[figures\]", or do without$'):
        check_matplotlib("do without")
    with pytest.raises(RuntimeError, match=r'\[figures\]"$'):
        check_matplotlib()


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, ealn_plugin, ealn_plugin.reports.comparison; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0
