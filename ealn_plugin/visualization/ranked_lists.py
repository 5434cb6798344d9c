"""Sheets of queries beside their nearest gallery images: green for correct, red for wrong, grey for junk."""
import os
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.distances import BlockDistances, normalize_rows
from ealn_plugin.evaluation.protocols import draw_one_per_identity
from ealn_plugin.writing import replacing

CORRECT, WRONG, JUNK, QUERY = "correct", "wrong", "junk", "query"
COLOURS = {CORRECT: (26, 150, 65), WRONG: (215, 48, 39), JUNK: (140, 140, 140), QUERY: (40, 60, 140)}
_INK, _PALE, _PAPER, _BAND = (25, 25, 25), (95, 95, 95), (255, 255, 255), (236, 239, 244)
_TILE, _FRAME, _GAP, _LINE, _MARGIN = 112, 4, 10, 15, 18
_SMALL, _MOST_JUNK = (_TILE - 6) // 2, 4


@dataclass(frozen=True)
class Entry:
    """One gallery image in a query's list.

    Attributes:
        row: row number in the Features. kind: 'correct', 'wrong' or 'junk'.
        place: place in the list, junk included, counted from 1; rank: the same without junk, 0 for junk.
        distance: float, as the metric gives it.
    """

    row: int
    kind: str
    place: int
    rank: int
    distance: float


@dataclass(frozen=True)
class RankedList:
    """A query (its row number), the entries up to the asked rank, and how many entries in all are junk."""

    query: int
    entries: tuple
    num_junk: int


def split_rows(features):
    """Row numbers (queries, gallery); where there are no queries, the first draw of VehicleID's protocol.

    Raises:
        ValueError: neither is possible.
    """
    if features.is_query.any() and not features.is_query.all():
        return np.flatnonzero(features.is_query), np.flatnonzero(~features.is_query)
    gallery, queries = next(draw_one_per_identity(features, draws=1))
    return queries, gallery


def choose_queries(features, count):
    """``count`` queries spread evenly over all that have a match, in the order of their paths or row numbers.

    Nothing about the outcome plays a part, so every network is shown on the same queries.

    Returns:
        list of row numbers.
    """
    queries, gallery = split_rows(features)
    cameras = {}
    for pid, camid in zip(features.pids[gallery].tolist(), features.camids[gallery].tolist()):
        cameras.setdefault(pid, set()).add(camid)
    drawn = not features.is_query.any()
    usable = [row for row in queries.tolist()
              if cameras.get(int(features.pids[row]), set()) - (set() if drawn else {int(features.camids[row])})]
    if features.paths:
        usable.sort(key=lambda row: features.paths[row])
    count = min(count, len(usable))
    return [usable[(2 * number + 1) * len(usable) // (2 * count)] for number in range(count)]


def ranked_list(features, query, topk=10, dist_metric="euclidean", normalize_feature=False):
    """The list of one query up to rank ``topk``, in the order of a stable sort.

    Args:
        features: Features; query: row number.
        topk: ranks to show, junk not counted. dist_metric, normalize_feature: as ``Protocol.evaluate``.
    Returns:
        RankedList
    """
    queries, gallery = split_rows(features)
    rows = np.concatenate([[query], gallery])
    embeddings = torch.from_numpy(features.embeddings[rows])
    if normalize_feature:
        embeddings = normalize_rows(embeddings)
    distances = BlockDistances(embeddings[1:], dist_metric, torch.device("cpu"))(embeddings[:1])[0].numpy()
    same = features.pids[gallery] == features.pids[query]
    junk = same & (features.camids[gallery] == features.camids[query]) & bool(features.is_query.any())
    entries, rank = [], 0
    for place, column in enumerate(np.argsort(distances, kind="stable").tolist(), 1):
        kind = JUNK if junk[column] else CORRECT if same[column] else WRONG
        rank += kind != JUNK
        entries.append(Entry(int(gallery[column]), kind, place, rank if kind != JUNK else 0, float(distances[column])))
        if rank == topk:
            break
    return RankedList(int(query), tuple(entries), int(junk.sum()))


def rank_queries(features, count=8, topk=10, **options):
    """The lists of ``choose_queries``, and the features without their embeddings: all that a sheet needs.

    Args:
        features: Features with paths. count: number of queries. topk, options: as ``ranked_list``.
    Returns:
        (Features with embeddings [n, 0], list of RankedList)
    Raises:
        ValueError: the features do not name their images.
    """
    if not features.paths:
        raise ValueError("the features do not name their images; add an array paths to the file")
    lists = [ranked_list(features, query, topk, **options) for query in choose_queries(features, count)]
    return replace(features, embeddings=np.empty((len(features), 0), dtype=np.float32)), lists


def draw_ranked_lists(path, title, subjects, topk=10):
    """Draw one sheet for a dataset and write it as a PNG file.

    Args:
        path: of the PNG.
        title: one line.
        subjects: {network: what ``rank_queries`` returned} for one dataset; each query has one row per network.
        topk: as it was for ``rank_queries``.
    Raises:
        FileNotFoundError, RuntimeError: an image does not exist or cannot be read.
    """
    blocks = {}
    for network, (features, lists) in subjects.items():
        for found in lists:
            key = os.path.basename(features.paths[found.query])
            blocks.setdefault(key, []).append((network, features, found))
    num_rows = sum(len(rows) for rows in blocks.values())
    with_junk = any(entry.kind == JUNK for rows in blocks.values() for _, _, found in rows for entry in found.entries)
    sheet = _Sheet(topk, with_junk, len(subjects) > 1, num_rows, len(blocks))
    sheet.header(title, with_junk)
    for rows in blocks.values():
        for number, (network, features, found) in enumerate(rows):
            sheet.row(features, found, network, number == 0)
        sheet.end_block()
    with replacing(path) as temporary:
        sheet.image.save(temporary, format="PNG", optimize=True)


class _Sheet:
    """A growing page: ``top`` is where the next line or row starts."""

    def __init__(self, topk, with_junk, with_names, num_rows, num_blocks):
        self.topk, self.with_names, self.top = topk, with_names, _MARGIN
        self.font, self.bold = ImageFont.load_default(13), ImageFont.load_default(17)
        step = _TILE + _GAP
        self.junk_left = _MARGIN + step + _GAP
        self.list_left = self.junk_left + (step + _GAP if with_junk else 0)
        self.row_height = _TILE + 2 * _LINE + _GAP + (_LINE + 12 if with_names else 0)
        width = self.list_left + topk * step - _GAP + _MARGIN
        height = 2 * _MARGIN + 3 * _LINE + 34 + num_rows * self.row_height + num_blocks * _GAP
        self.image = Image.new("RGB", (width, height), _PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, left, top, text, colour=_INK, font=None, width=None):
        font = font or self.font
        while width and len(text) > 1 and self.draw.textlength(text, font=font) > width:
            text = text[:-2] + "…"
        self.draw.text((left, top), text, fill=colour, font=font)
        return left + self.draw.textlength(text, font=font)

    def header(self, title, with_junk):
        """Title, legend and the names of the columns."""
        self.text(_MARGIN, self.top, title, font=self.bold, width=self.image.width - 2 * _MARGIN)
        self.top += 30
        left = _MARGIN
        legend = [(QUERY, "query"), (CORRECT, "correct: the query's vehicle"), (WRONG, "wrong: another vehicle")]
        if with_junk:
            legend.append((JUNK, f"junk: the query's vehicle in the query's camera, not counted (at most {_MOST_JUNK} "
                                 "are shown, # is the place in the whole list)"))
        for kind, meaning in legend:
            self.draw.rectangle((left, self.top + 1, left + 13, self.top + 14), outline=COLOURS[kind], width=_FRAME)
            left = self.text(left + 20, self.top, meaning) + 24
        self.top += 2 * _LINE + 6
        self.text(_MARGIN, self.top, "query", _PALE)
        if with_junk:
            self.text(self.junk_left, self.top, "junk", _PALE)
        for rank in range(1, self.topk + 1):
            self.text(self.list_left + (rank - 1) * (_TILE + _GAP), self.top, f"rank {rank}", _PALE)
        self.top += _LINE + 5

    def row(self, features, found, network, is_first):
        """One query's list under one network; the query itself is shown in the first row of its block."""
        top = self.top
        if self.with_names:
            self.draw.rectangle((self.junk_left, top + 4, self.image.width - _MARGIN, top + 6 + _LINE), fill=_BAND)
            self.text(self.junk_left + 5, top + 5, network, width=self.image.width - self.junk_left - _MARGIN - 10)
            top += _LINE + 12
        if is_first:
            self.tile(_MARGIN, top, features, found.query, QUERY)
            self.caption(_MARGIN, top, features, found.query)
        ranked = [entry for entry in found.entries if entry.rank]
        self.junk(top, features, [entry for entry in found.entries if not entry.rank], found.num_junk)
        for entry in ranked:
            left = self.list_left + (entry.rank - 1) * (_TILE + _GAP)
            self.tile(left, top, features, entry.row, entry.kind)
            self.caption(left, top, features, entry.row, f"d {entry.distance:.2g}")
        self.top += self.row_height

    def junk(self, top, features, entries, total):
        """Up to four junk images at half size, each with its place in the whole list."""
        if not total:
            return
        for number, entry in enumerate(entries[:_MOST_JUNK]):
            left = self.junk_left + number % 2 * (_SMALL + 6)
            above = top + number // 2 * (_SMALL + 6)
            self.tile(left, above, features, entry.row, JUNK, _SMALL, 3)
            label = f"#{entry.place}"
            box = (left + 3, above + _SMALL - 18, left + 9 + self.draw.textlength(label, font=self.font),
                   above + _SMALL - 3)
            self.draw.rectangle(box, fill=_PAPER)
            self.text(left + 6, above + _SMALL - 18, label)
        self.text(self.junk_left, top + _TILE + 2, f"{len(entries)} of {total} junk", _PALE)
        self.text(self.junk_left, top + _TILE + 2 + _LINE, f"above rank {self.topk}", _PALE)

    def tile(self, left, top, features, row, kind, size=_TILE, frame=_FRAME):
        """An image, scaled to fit, in the frame of its kind."""
        picture = toolkit.read_image(features.paths[row])
        inner = size - 2 * frame
        scale = inner / max(picture.size)
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)
        self.draw.rectangle((left, top, left + size - 1, top + size - 1), fill=(235, 235, 235), outline=COLOURS[kind],
                            width=frame)
        self.image.paste(picture, (left + (size - picture.width) // 2, top + (size - picture.height) // 2))

    def caption(self, left, top, features, row, more=""):
        """Vehicle, view where it is known, and what else there is to say, below a tile."""
        view = int(features.views[row])
        words = ([] if view == View.UNKNOWN else [View(view).name.lower()]) + ([more] if more else [])
        self.text(left, top + _TILE + 2, f"vehicle {features.pids[row]}", width=_TILE)
        self.text(left, top + _TILE + 2 + _LINE, ", ".join(words), _PALE, width=_TILE)

    def end_block(self):
        """A line between two queries."""
        self.draw.line((_MARGIN, self.top, self.image.width - _MARGIN, self.top), fill=(215, 215, 215))
        self.top += _GAP
