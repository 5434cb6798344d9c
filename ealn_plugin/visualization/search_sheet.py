"""A contact sheet of search results: each query beside the images that were found."""

from collections.abc import Sequence
from typing import Any

from ealn_plugin.data.viewpoints import View
from ealn_plugin.toolkit import UnreadableImageError
from ealn_plugin.visualization.page import GAP, INK, LINE, MARGIN, PALE, TILE, Page

QUERY, FOUND, GONE = (40, 60, 140), (150, 155, 165), (215, 48, 39)
_STEP = TILE + GAP
_ROW = TILE + 3 * LINE + 2 * GAP


def draw_search_sheet(path: str, title: str, results: Sequence[tuple[str, int, Sequence[Any]]]) -> None:
    """Draw one row per query and write them as a PNG file.

    Args:
        path: of the PNG. title: one line.
        results: list of (query's path, its view, list of ``Hit``). An image that is no longer there, or cannot be
            read, gets an empty frame that says so.
    """
    columns = max((len(hits) for _, _, hits in results), default=0)
    left = MARGIN + _STEP + GAP
    page = Page(max(left + columns * _STEP - GAP + MARGIN, 480), 2 * MARGIN + 34 + 2 * LINE + len(results) * _ROW)
    page.text(MARGIN, page.top, title, font=page.bold, width=page.image.width - 2 * MARGIN)
    page.text(MARGIN, page.top + 30, "query", PALE)
    for number in range(columns):
        page.text(left + number * _STEP, page.top + 30, f"rank {number + 1}", PALE)
    page.top += 30 + LINE + GAP // 2
    for query, view, hits in results:
        _tile(page, MARGIN, query, QUERY, ["", "", View(view).name.lower() if view != View.UNKNOWN else ""])
        for number, hit in enumerate(hits):
            _tile(page, left + number * _STEP, hit.path, FOUND, captions(hit))
        page.top += _ROW
    page.save(path)


def captions(hit: Any) -> list[str]:
    """Three lines about a ``Hit``: similarity and time; vehicle, colour and type; camera and view. Unknown ones are
    left out.
    """
    vehicle = " ".join(word for word in (f"vehicle {hit.vehicle}" if hit.vehicle else "", hit.colour, hit.type) if word)
    place = [f"camera {hit.camera}"] * bool(hit.camera) + [View(hit.view).name.lower()] * (hit.view != View.UNKNOWN)
    return ["  ".join([f"{hit.similarity:.3f}", *[hit.time] * bool(hit.time)]), vehicle, ", ".join(place)]


def _tile(page, left, path: str, colour, lines) -> None:
    try:
        page.tile(left, page.top, path, colour)
    except (FileNotFoundError, UnreadableImageError) as error:
        page.frame(left, page.top, GONE)
        gone = isinstance(error, FileNotFoundError)
        page.text(left + 10, page.top + TILE // 2 - LINE, "not there" if gone else "unreadable", GONE)
    for number, line in enumerate(lines):
        page.text(left, page.top + TILE + 2 + number * LINE, line, PALE if number else INK, width=TILE)
