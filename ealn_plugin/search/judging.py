"""How good the answers of an index are: mAP and rank k of labelled queries, as an evaluation has them."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from ealn_plugin.search.index import SearchIndex
from ealn_plugin.search.places import Whereabouts
from ealn_plugin.search.records import Records

DEEPEST = 20_000
"""So many hits of a query are looked at, at most."""
RANKS = (1, 5, 10)
_AT_A_TIME = 16  # queries


def judge(
    index: SearchIndex, queries: Records, features: np.ndarray, whereabouts: Whereabouts | None = None, k: int = 0
) -> dict[str, Any]:
    """Ask an index for labelled images and count how far up their vehicles are found.

    Vehicles and cameras are compared by their labels. Images of the query's vehicle from its own camera are left out,
    and queries of which the index has no other image do not count, as in the evaluation's protocols.

    Args:
        queries: of n images. features: float32 [n, dim], L2-normalised. whereabouts: see ``SearchIndex.search``.
        k: hits that count; what is not among them is not found. 0: all, up to ``DEEPEST``.
    Returns:
        {'queries', 'images', 'hits': looked at, 'mAP', 'rank1', 'rank5', 'rank10'}, the last four in [0, 1]
    Raises:
        ValueError: no query has an answer; as ``SearchIndex.search``.
    """
    wanted = _answers(index)
    totals = [
        sum(count for other, count in wanted.get(vehicle, {}).items() if not camera or other != camera)
        for vehicle, camera in zip(queries.vehicles, queries.cameras)
    ]
    rows = [row for row, total in enumerate(totals) if total and queries.vehicles[row]]
    if not rows:
        raise ValueError(
            "the index has no image of a query's vehicle from another camera, expected some; give queries whose "
            "vehicles it knows by the same labels"
        )
    k = min(k or DEEPEST, len(index))
    found = np.array(
        [
            _judged(hits, queries.vehicles[row], queries.cameras[row], totals[row])
            for row, hits in _asked(index, features, rows, whereabouts, k)
        ]
    )
    means = found.mean(0).tolist()
    figures = {"mAP": means[0], **{f"rank{rank}": mean for rank, mean in zip(RANKS, means[1:])}}
    return {"queries": len(rows), "images": len(index), "hits": k, **figures}


def _answers(index: SearchIndex) -> dict[str, Counter]:
    """{vehicle: {camera: images}} of the index."""
    answers: dict[str, Counter] = {}
    with index.store.reading():
        for piece in index.store.table.scan(("vehicle", "camera")):
            for vehicle, camera in zip(piece["vehicle"].to_pylist(), piece["camera"].to_pylist()):
                answers.setdefault(vehicle, Counter())[camera] += 1
    return answers


def _asked(index: SearchIndex, features: np.ndarray, rows: list[int], whereabouts: Whereabouts | None, k: int) -> Any:
    """(row, its hits) of each row, some queries at a time: their answers are long."""
    for first in tqdm(range(0, len(rows), _AT_A_TIME), desc="asking", leave=False):
        part = rows[first : first + _AT_A_TIME]
        asked = whereabouts and replace(
            whereabouts,
            cameras=[whereabouts.cameras[row] for row in part],
            times=[whereabouts.times[row] for row in part],
        )
        yield from zip(part, index.search(features[part], k, whereabouts=asked))


def _judged(hits: Any, vehicle: str, camera: str, total: int) -> list[float]:
    """Average precision, and whether the vehicle is among the first of each of ``RANKS``."""
    kept = [hit.vehicle == vehicle for hit in hits if not (camera and (hit.vehicle, hit.camera) == (vehicle, camera))]
    places = np.flatnonzero(kept)
    precision = float((np.arange(1, len(places) + 1) / (places + 1)).sum()) / total
    return [precision, *(float(bool(len(places)) and places[0] < rank) for rank in RANKS)]
