"""Sheets of queries beside their nearest gallery images: green for correct, red for wrong, grey for junk."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.distances import BlockDistances, normalize_rows
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import draw_one_per_identity
from ealn_plugin.visualization.page import FRAME, GAP, LINE, MARGIN, PALE, PAPER, TILE, Page

CORRECT, WRONG, JUNK, QUERY = "correct", "wrong", "junk", "query"
COLOURS = {CORRECT: (26, 150, 65), WRONG: (215, 48, 39), JUNK: (140, 140, 140), QUERY: (40, 60, 140)}
_BAND = (236, 239, 244)
_SMALL, _MOST_JUNK = (TILE - 6) // 2, 4


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


def split_rows(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (queries, gallery); where there are no queries, the first draw of VehicleID's protocol.

    Raises:
        ValueError: neither is possible.
    """
    if features.is_query.any() and not features.is_query.all():
        return np.flatnonzero(features.is_query), np.flatnonzero(~features.is_query)
    gallery, queries = next(draw_one_per_identity(features, draws=1))
    return queries, gallery


def choose_queries(features: Features, count: int) -> list[int]:
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
    usable = [
        row
        for row in queries.tolist()
        if cameras.get(int(features.pids[row]), set()) - (set() if drawn else {int(features.camids[row])})
    ]
    if features.paths:
        usable.sort(key=lambda row: features.paths[row])
    count = min(count, len(usable))
    return [usable[(2 * number + 1) * len(usable) // (2 * count)] for number in range(count)]


def ranked_list(
    features: Features, query: int, topk: int = 10, dist_metric: str = "euclidean", normalize_feature: bool = False
) -> RankedList:
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


def rank_queries(
    features: Features, count: int = 8, topk: int = 10, **options: Any
) -> tuple[Features, list[RankedList]]:
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


def draw_ranked_lists(
    path: str, title: str, subjects: Mapping[str, tuple[Features, list[RankedList]]], topk: int = 10
) -> None:
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
        for ranked in lists:
            key = os.path.basename(features.paths[ranked.query])
            blocks.setdefault(key, []).append((network, features, ranked))
    num_rows = sum(len(rows) for rows in blocks.values())
    with_junk = any(entry.kind == JUNK for rows in blocks.values() for _, _, ranked in rows for entry in ranked.entries)
    sheet = _Sheet(topk, with_junk, len(subjects) > 1, num_rows, len(blocks))
    sheet.header(title, with_junk)
    for rows in blocks.values():
        for number, (network, features, ranked) in enumerate(rows):
            sheet.row(features, ranked, network, number == 0)
        sheet.end_block()
    sheet.save(path)


class _Sheet(Page):
    """A growing page: ``top`` is where the next line or row starts."""

    def __init__(self, topk: int, with_junk: bool, with_names: bool, num_rows: int, num_blocks: int) -> None:
        self.topk, self.with_names = topk, with_names
        step = TILE + GAP
        self.junk_left = MARGIN + step + GAP
        self.list_left = self.junk_left + (step + GAP if with_junk else 0)
        self.row_height = TILE + 2 * LINE + GAP + (LINE + 12 if with_names else 0)
        width = self.list_left + topk * step - GAP + MARGIN
        height = 2 * MARGIN + 3 * LINE + 34 + num_rows * self.row_height + num_blocks * GAP
        super().__init__(width, height)

    def header(self, title: str, with_junk: bool) -> None:
        """Title, legend and the names of the columns."""
        self.text(MARGIN, self.top, title, font=self.bold, width=self.image.width - 2 * MARGIN)
        self.top += 30
        left = MARGIN
        legend = [(QUERY, "query"), (CORRECT, "correct: the query's vehicle"), (WRONG, "wrong: another vehicle")]
        if with_junk:
            legend.append(
                (
                    JUNK,
                    f"junk: the query's vehicle in the query's camera, not counted (at most {_MOST_JUNK} "
                    "are shown, # is the place in the whole list)",
                )
            )
        for kind, meaning in legend:
            self.draw.rectangle((left, self.top + 1, left + 13, self.top + 14), outline=COLOURS[kind], width=FRAME)
            left = self.text(left + 20, self.top, meaning) + 24
        self.top += 2 * LINE + 6
        self.text(MARGIN, self.top, "query", PALE)
        if with_junk:
            self.text(self.junk_left, self.top, "junk", PALE)
        for rank in range(1, self.topk + 1):
            self.text(self.list_left + (rank - 1) * (TILE + GAP), self.top, f"rank {rank}", PALE)
        self.top += LINE + 5

    def row(self, features: Features, result: Any, network: str, is_first: bool) -> None:
        """One query's list under one network; the query itself is shown in the first row of its block."""
        top = self.top
        if self.with_names:
            self.draw.rectangle((self.junk_left, top + 4, self.image.width - MARGIN, top + 6 + LINE), fill=_BAND)
            self.text(self.junk_left + 5, top + 5, network, width=self.image.width - self.junk_left - MARGIN - 10)
            top += LINE + 12
        if is_first:
            self.tile(MARGIN, top, features.paths[result.query], COLOURS[QUERY])
            self.caption(MARGIN, top, features, result.query)
        ranked = [entry for entry in result.entries if entry.rank]
        self.junk(top, features, [entry for entry in result.entries if not entry.rank], result.num_junk)
        for entry in ranked:
            left = self.list_left + (entry.rank - 1) * (TILE + GAP)
            self.tile(left, top, features.paths[entry.row], COLOURS[entry.kind])
            self.caption(left, top, features, entry.row, f"d {entry.distance:.2g}")
        self.top += self.row_height

    def junk(self, top: float, features: Features, entries: Any, total: int) -> None:
        """Up to four junk images at half size, each with its place in the whole list."""
        if not total:
            return
        for number, entry in enumerate(entries[:_MOST_JUNK]):
            left = self.junk_left + number % 2 * (_SMALL + 6)
            above = top + number // 2 * (_SMALL + 6)
            self.tile(left, above, features.paths[entry.row], COLOURS[JUNK], _SMALL, 3)
            label = f"#{entry.place}"
            box = (
                left + 3,
                above + _SMALL - 18,
                left + 9 + self.draw.textlength(label, font=self.font),
                above + _SMALL - 3,
            )
            self.draw.rectangle(box, fill=PAPER)
            self.text(left + 6, above + _SMALL - 18, label)
        self.text(self.junk_left, top + TILE + 2, f"{len(entries)} of {total} junk", PALE)
        self.text(self.junk_left, top + TILE + 2 + LINE, f"above rank {self.topk}", PALE)

    def caption(self, left: float, top: float, features: Features, row: int, more: str = "") -> None:
        """Vehicle, view where it is known, and what else there is to say, below a tile."""
        view = int(features.views[row])
        words = ([] if view == View.UNKNOWN else [View(view).name.lower()]) + ([more] if more else [])
        self.text(left, top + TILE + 2, f"vehicle {features.pids[row]}", width=TILE)
        self.text(left, top + TILE + 2 + LINE, ", ".join(words), PALE, width=TILE)

    def end_block(self) -> None:
        """A line between two queries."""
        self.draw.line((MARGIN, self.top, self.image.width - MARGIN, self.top), fill=(215, 215, 215))
        self.top += GAP
