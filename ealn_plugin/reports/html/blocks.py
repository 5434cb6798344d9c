"""What a page is made of: sections of notes, tables and pictures, the pictures inside the page itself."""

import base64
import io
from dataclasses import dataclass, field

from PIL import Image

_WIDEST, _HIGHEST = 1400, 16000
"""Pixels. Wider sheets are scaled down, as no phone and few screens show more; WebP ends at 16383."""
_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """An image in the page.

    Attributes:
        uri: data URI. width, height: in pixels. alt: what it shows, for readers who do not see it.
    """

    uri: str
    width: int
    height: int
    alt: str
    block = "picture"


@dataclass(frozen=True)
class Charts:
    """Pictures of about ``width`` rem, as many beside each other as the screen has room for."""

    pictures: tuple
    width: int = 20
    block = "charts"


@dataclass(frozen=True)
class Line:
    """A line of a table: its cells, and its kind ('measured', 'untrained', 'published' or '') for its looks."""

    cells: tuple
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it holds. header: names of the columns. lines: tuple of Line.
        names: so many columns from the left hold names, the others numbers. folded: shown when it is asked for.
    """

    caption: str
    header: tuple
    lines: tuple
    names: int = 1
    folded: bool = False
    block = "table"


@dataclass(frozen=True)
class Note:
    """A paragraph; ``missing``: it says what is not on the page and how to get it."""

    text: str
    missing: bool = False
    block = "note"


@dataclass(frozen=True)
class Figures:
    """A few large numbers, each a pair of texts (value, what it is)."""

    items: tuple
    block = "figures"


@dataclass(frozen=True)
class Group:
    """Blocks below a title of their own, shown when they are asked for."""

    title: str
    blocks: tuple
    block = "group"


@dataclass
class Section:
    """A part of the page: key (its anchor), title, and blocks in order; shown when it is asked for, unless not folded.

    ``teaser`` stands beside the title: what there is to see.
    """

    key: str
    title: str
    blocks: list = field(default_factory=list)
    teaser: str = ""
    folded: bool = True


def embed_picture(path: str, alt: str, photographs: bool) -> Picture:
    """An image file as a Picture, scaled down where it is very wide or high.

    Args:
        path: of an image file. alt: what it shows.
        photographs: it holds images of vehicles and may lose a little; plots are kept to the last pixel.
    Raises:
        OSError: the file cannot be read.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = min(_WIDEST / image.width, _HIGHEST / image.height)
    if scale < 1:
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", lossless=not photographs, quality=_QUALITY, method=4)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{encoded}", image.width, image.height, alt)
