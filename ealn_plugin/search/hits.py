"""What a search finds: one image with what is known of it, and hits grouped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ealn_plugin.data.times import time_text
from ealn_plugin.evaluation.calibration import Calibration
from ealn_plugin.search.records import Records


@dataclass(frozen=True)
class Hit:
    """One of the nearest images.

    Attributes:
        rank: from 1. similarity: cosine of the features' angle, in [-1, 1].
        path: of the image. pid, camid: numbers of vehicle and camera, -1 where unknown. view: value of ``View``.
        id: number that the index gave the image; it is never given again.
        vehicle, camera: what the data calls them; time: as ``time_text`` writes it; colour, type, source, track.
            '' where unknown.
        probability: that it shows the query's vehicle, by their similarity alone, in [0, 1]; None where the index is
            not calibrated.
        more: how many images of the same group were found beside this one, where hits are grouped.
        fits: how well its camera and time fit the query's, in [0, 1], see ``Fits``; score: similarity with that added,
            by which the hits are ranked. None where hits are ranked by similarity, and fits also where it is unknown.
    """

    rank: int
    similarity: float
    path: str
    pid: int
    camid: int
    view: int
    id: int
    vehicle: str = ""
    camera: str = ""
    time: str = ""
    colour: str = ""
    type: str = ""
    source: str = ""
    track: str = ""
    more: int = 0
    probability: float | None = None
    fits: float | None = None
    score: float | None = None


def hits_of(
    records: Records,
    order: Any,
    similarity: np.ndarray,
    calibration: Calibration | None = None,
    placed: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[Hit]:
    """The hits of some rows of records, in an order.

    Args:
        records: of n images. order: row numbers, the best first. similarity: array of floats [n].
        placed: (fits, scores), floats [n], where hits are ranked by where and when as well.
    """
    chances = None if calibration is None else calibration.probability(similarity.astype(np.float64))
    fits, scores = placed or (None, None)
    return [
        Hit(
            rank,
            float(similarity[row]),
            records.paths[row],
            int(records.pids[row]),
            int(records.camids[row]),
            int(records.views[row]),
            int(records.ids[row]),
            records.vehicles[row],
            records.cameras[row],
            time_text(float(records.times[row]), bool(records.dated[row])),
            records.colours[row],
            records.types[row],
            records.sources[row],
            records.tracks[row],
            probability=_number(chances, row),
            fits=_number(fits, row),
            score=_number(scores, row),
        )
        for rank, row in enumerate(order, 1)
    ]


def _number(values: np.ndarray | None, row: int) -> float | None:
    return None if values is None or np.isnan(values[row]) else float(values[row])


def firsts(hits: Sequence[Hit], group_by: str) -> list[Hit]:
    """The first hit of each group, with how many more of it there are, ranked anew."""
    groups: dict[Any, list[Hit]] = {}
    for hit in hits:
        label = getattr(hit, group_by)
        groups.setdefault((hit.source, label) if label else hit.id, []).append(hit)
    return [
        Hit(**{**group[0].__dict__, "rank": rank, "more": len(group) - 1})
        for rank, group in enumerate(groups.values(), 1)
    ]
