"""ealn_plugin/visualization/reliability.py: a figure is written."""

import pytest
from PIL import Image

from ealn_plugin.visualization.reliability import draw_reliability

pytest.importorskip("matplotlib")


def test_a_figure_with_a_point_for_each_bin(tmp_path):
    draw_reliability(str(tmp_path / "a.png"), "veri776 (train)", [[0.1, 0.2, 500], [0.9, 0.8, 20]], 0.1)
    draw_reliability(str(tmp_path / "b.png"), "veri776 (train)", [[0.1, 0.2, 500]], 0.1)
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as other:
        assert min(one.size) > 300 and one.tobytes() != other.tobytes()
