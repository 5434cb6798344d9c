"""ealn_plugin/visualization/style.py: titles that fit, files in one go."""
import importlib.util

import pytest
from PIL import Image

from ealn_plugin.visualization.style import header_height, new_figure, save, tidy


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
