"""A CSV of photographs: ``path,pid,camid[,view][,split][,time]``."""

import csv
import difflib
import io
import logging
import os
from collections.abc import Mapping, Sequence

from ealn_plugin.data.files import malformed, undecodable
from ealn_plugin.data.own.photographs import SPLITS, Photograph, Photographs
from ealn_plugin.data.viewpoints import View, view_from_name

log = logging.getLogger(__name__)

NEEDED, OPTIONAL = ("path", "pid"), ("camid", "view", "split", "time")
"""Columns; without ``camid`` no camera is known. ``time`` is what a search filters by and where-and-when ranks by."""
_DELIMITERS = (",", ";", "\t")
_CORRECT = "correct that line"
_QUOTE = "put a path or label that holds the separator between double quotes"


def read_table(path: str) -> Photographs:
    """Read a CSV of photographs, without looking at the images.

    The first line names the columns, in any order and case; others than those above are not read. Columns are
    separated by commas, semicolons or tabs. A path is relative to the folder of the CSV unless it is absolute. Labels
    of vehicles and cameras may be any text, and differ where their texts do: '7' and '07' are two.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no text in UTF-8, missing columns, no images, or a wrong line, with file and line.
    """
    text = _decoded(path)
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} is empty, expected the line path,pid,camid and then one line for each image; fill it")
    header = next(line for line in lines if line.strip())
    delimiter = max(_DELIMITERS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    items: list[Photograph] = []
    columns: dict[str, int] = {}
    width = 0
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if not columns:
                columns, width = _columns(path, row, delimiter), len(row)
            elif any(cell.strip() for cell in row[width:]):
                raise malformed(path, rows.line_num, delimiter.join(row), f"{width} columns", _QUOTE)
            else:
                items.append(_photograph(path, rows.line_num, row, columns))
    except csv.Error as error:
        raise malformed(path, rows.line_num, str(error), "comma-separated values", _CORRECT) from error
    if not items:
        raise ValueError(f"{path} names no image, expected a line for each below {header!r}; add them")
    folder = os.path.dirname(os.path.abspath(path))
    return Photographs(path, folder, [item._replace(image=_as_here(folder, item.image)) for item in items])


def _decoded(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise FileNotFoundError(f"the CSV {path!r} cannot be read ({error}); give its present path") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise undecodable(path, raw, error, "UTF-8", "save the file again as CSV in UTF-8") from error


def _columns(path: str, header: Sequence[str], delimiter: str) -> dict[str, int]:
    """{column: its position}, after checking that those that are needed are there."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ValueError(
            f"{path}: the first line is {delimiter.join(header)!r}, which lacks the column(s) {', '.join(missing)}; "
            "begin with the line path,pid,camid, and view,split where you know them"
        )
    twice = next((name for name in names if name in NEEDED + OPTIONAL and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: the column {twice} is there twice, expected it once; rename or delete one")
    for name in names:
        if name not in NEEDED + OPTIONAL:
            near = difflib.get_close_matches(name, NEEDED + OPTIONAL, n=1, cutoff=0.6)
            log.warning("%s: the column %r is not read%s", path, name, f"; did you mean {near[0]}?" if near else "")
    return {name: position for position, name in enumerate(names) if name in NEEDED + OPTIONAL}


def _photograph(path: str, line: int, row: Sequence[str], columns: Mapping[str, int]) -> Photograph:
    def cell(name: str) -> str:
        position = columns.get(name, len(row))
        return row[position].strip() if position < len(row) else ""

    for name in NEEDED:
        if not cell(name):
            raise malformed(path, line, ",".join(row), f"a {name}, which is empty here", _CORRECT)
    split, view = cell("split").lower(), cell("view")
    if split and split not in SPLITS:
        raise malformed(path, line, cell("split"), f"a split that is one of {', '.join(SPLITS)}", _CORRECT)
    try:
        shown = view_from_name(view) if view else View.UNKNOWN
    except ValueError:
        expected = ", ".join(known.name.lower() for known in View)
        raise malformed(path, line, view, f"a view that is one of {expected}", _CORRECT) from None
    return Photograph(cell("path"), cell("pid"), cell("camid"), shown, split, cell("time"))


def _as_here(folder: str, image: str) -> str:
    """The path of an image with this system's separators; a CSV written on Windows has backslashes."""
    if "\\" in image and not os.path.exists(os.path.join(folder, image)):
        return image.replace("\\", "/")
    return image
