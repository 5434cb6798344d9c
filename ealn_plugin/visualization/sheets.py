"""Sheets of images with a line or two of text below each: what the generators make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ealn_plugin.visualization.style import header_height, new_figure, save

ENLARGED = 3
"""An enlarged region is a third of the image high and wide."""

_LINE = 0.155  # inches


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Attributes:
        image: float array [h, w, 3] in [0, 1], or None for an empty place.
        caption: text below it, lines separated by newlines.
        box: (top, left, height, width) in pixels to be framed, or None.
        enlarged: it is a part of its neighbour; pixels are then shown as squares and the frame is coloured.
    """

    image: np.ndarray
    caption: str = ""
    box: tuple[int, int, int, int] | None = None
    enlarged: bool = False


def draw_sheet(
    path: str,
    title: str,
    subtitle: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Tile]],
    names: Sequence[str] = (),
    size: float = 1.25,
) -> None:
    """Draw rows of tiles and write them as a PNG file.

    Args:
        path: of the PNG. title: one line. subtitle: what is shown and how to read it.
        header: names of the columns. rows: list of lists of Tile, each as long as the header.
        names: a text beside each row, lines separated by newlines. size: height and width of a tile in inches.
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    left = 0.15 + 0.075 * longest
    lines = max((tile.caption.count("\n") + 1 for row in rows for tile in row if tile.caption), default=0)
    column, line = size + 0.1, size + 0.08 + _LINE * lines
    width = max(left + len(header) * column + 0.1, 6.0)
    above = header_height(width, subtitle) + _LINE * (1 + max(name.count("\n") for name in header))
    height = above + len(rows) * line + 0.05
    figure = new_figure(width, height, title, subtitle)
    for number, row in enumerate(rows):
        top = above + number * line
        if names:
            figure.text(0.12 / width, 1 - (top + size / 2) / height, names[number], fontsize=8, va="center")
        for place, tile in enumerate(row):
            start = left + place * column
            if number == 0:
                figure.text(
                    (start + size / 2) / width,
                    1 - (top - 0.05) / height,
                    header[place],
                    fontsize=8.5,
                    ha="center",
                    va="bottom",
                )
            if tile.image is None:
                continue
            axes = figure.add_axes((start / width, 1 - (top + size) / height, size / width, size / height))
            _draw_tile(axes, tile)
            figure.text(
                (start + size / 2) / width,
                1 - (top + size + 0.03) / height,
                tile.caption,
                fontsize=7,
                ha="center",
                va="top",
                color="#333333",
                linespacing=1.15,
            )
    save(figure, path)


def _draw_tile(axes, tile) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(np.clip(tile.image, 0, 1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#D55E00" if tile.enlarged else "#bbbbbb")
        spine.set_linewidth(1.3 if tile.enlarged else 0.5)
    if tile.box:
        top, left, height, width = tile.box
        axes.add_patch(
            Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor="#D55E00", linewidth=1.3)
        )


def to_picture(image: torch.Tensor) -> np.ndarray:
    """A tensor [3, h, w] in [-1, 1] as a float array [h, w, 3] in [0, 1]."""
    return (image.detach().float().cpu().permute(1, 2, 0).numpy() + 1) / 2


def most_changed(before: torch.Tensor, after: torch.Tensor, part: int = ENLARGED) -> tuple[int, int, int, int]:
    """The window in which two images differ most on average.

    Args:
        before, after: tensors [3, h, w]. part: the window is 1/part of the image high and wide.
    Returns:
        (top, left, height, width) in pixels.
    """
    change = (after - before).abs().mean(dim=0, keepdim=True)[None]
    height, width = max(1, change.shape[2] // part), max(1, change.shape[3] // part)
    means = F.avg_pool2d(change, (height, width), stride=1)[0, 0]
    place = int(means.argmax())
    return place // means.shape[1], place % means.shape[1], height, width


def crop(image: torch.Tensor, box: tuple[int, int, int, int]) -> torch.Tensor:
    """The part of a tensor [3, h, w] in a box (top, left, height, width)."""
    top, left, height, width = box
    return image[:, top : top + height, left : left + width]


def split_grid(picture: Any, height: int, width: int, padding: int = 2) -> Any:
    """Take apart a grid that torchvision's ``make_grid`` made, such as those in ``samples/`` of a run.

    Args:
        picture: uint8 array [H, W, 3]. height, width: of one image in pixels. padding: pixels between images.
    Returns:
        tensor [rows, columns, 3, height, width] in [-1, 1]
    Raises:
        ValueError: the grid's size does not fit images of that size.
    """
    rows, columns = ((side - padding) // (size + padding) for side, size in zip(picture.shape, (height, width)))
    if (rows * (height + padding) + padding, columns * (width + padding) + padding) != picture.shape[:2] or not rows:
        raise ValueError(
            f"a picture of {picture.shape[0]} x {picture.shape[1]} pixels is no grid of images of "
            f"{height} x {width}; give the pictures that the run itself saved"
        )
    values = torch.from_numpy(np.array(picture[padding:, padding:], dtype=np.float32)) / 127.5 - 1
    values = values.reshape(rows, height + padding, columns, width + padding, 3)[:, :height, :, :width]
    return values.permute(0, 2, 4, 1, 3)
