"""ealn_plugin/visualization/sheets.py: sheets of images, the most changed region, grids taken apart."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.utils import make_grid, save_image

from ealn_plugin.visualization.sheets import Tile, crop, draw_sheet, most_changed, split_grid, to_picture


def test_a_sheet_shows_every_tile(tmp_path):
    colours = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    tiles = [Tile(np.full((8, 8, 3), colour, dtype=float), "two\nlines", box=(1, 1, 3, 3)) for colour in colours]
    draw_sheet(
        tmp_path / "sheet.png",
        "title",
        "a long subtitle " * 20,
        ["a", "b", "c"],
        [tiles, [tiles[0], Tile(None), tiles[2]]],
        ["one\nname", "two"],
    )
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)
    counts = [(pixels == np.array(colour) * 255).all(axis=1).sum() for colour in colours]
    assert counts[0] == pytest.approx(counts[2], rel=0.02) and counts[0] == pytest.approx(2 * counts[1], rel=0.02)
    draw_sheet(
        tmp_path / "again.png",
        "title",
        "a long subtitle " * 20,
        ["a", "b", "c"],
        [tiles, [tiles[0], Tile(None), tiles[2]]],
        ["one\nname", "two"],
    )
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


def test_the_most_changed_region():
    before = torch.zeros(3, 12, 18)
    after = before.clone()
    after[:, 6:9, 10:14] = 0.5
    top, left, height, width = most_changed(before, after)
    assert (height, width) == (4, 6) and top <= 6 and top + 4 >= 9 and left <= 10 and left + 6 >= 14
    assert crop(after, (top, left, height, width)).sum() == after.sum()
    assert to_picture(after).shape == (12, 18, 3) and to_picture(after)[7, 11].tolist() == [0.75] * 3


def test_a_saved_grid_comes_apart_again(tmp_path):
    torch.manual_seed(0)
    images = torch.rand(3 * 4, 3, 10, 14) * 2 - 1
    save_image(
        make_grid(images, nrow=4, normalize=True, value_range=(-1, 1), padding=2, pad_value=1.0), tmp_path / "grid.png"
    )
    grid = split_grid(np.asarray(Image.open(tmp_path / "grid.png")), 10, 14)
    assert grid.shape == (3, 4, 3, 10, 14)
    torch.testing.assert_close(grid.reshape(12, 3, 10, 14), images, atol=1 / 127, rtol=0)
    with pytest.raises(ValueError, match="is no grid of images of 9 x 14"):
        split_grid(np.asarray(Image.open(tmp_path / "grid.png")), 9, 14)
