"""Where the matches of each query stand in its ranked list, without sorting the list's indices.

CMC, average precision and the inverse negative penalty depend only on the ranks of a query's matches. The rank of one
gallery image is the number of images at a smaller distance, plus those at the same distance that come earlier in the
gallery: exactly its place in a stable argsort. It comes from a binary search in the row's sorted VALUES (sorting
values is several times cheaper than sorting indices) or, where a query has few matches, from counting the row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

AVERAGE_PRECISIONS = ("mean", "trapezoid")

# Microseconds on one core of a current x86 machine; they only decide which of two exact methods is used.
_SORT_PER_VALUE, _SORT_PER_ROW = 0.0042, 4.0
_COUNT_PER_VALUE, _COUNT_PER_MATCH = 0.0001, 2.0


class NoValidQuery(ValueError):
    """Not one query has a match in the gallery after the junk is removed."""


@dataclass(frozen=True)
class QueryRanks:
    """The outcome of ranking, one entry per query; entries of queries that are not valid are 0 (first_match: -1).

    Attributes:
        valid: bool [queries], the query has a match left in the gallery once its junk is removed.
        first_match: int64 [queries], rank of the first match, counted from 0, junk left out.
        average_precision: float64 [queries], in [0, 1].
        inverse_negative_penalty: float64 [queries], matches / rank of the last match counted from 1, in [0, 1]
            (Ye et al., "Deep learning for person re-identification: a survey and outlook", TPAMI 2021).
    """

    valid: np.ndarray
    first_match: np.ndarray
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray

    @classmethod
    def join(cls, parts: Sequence["QueryRanks"]) -> "QueryRanks":
        """One QueryRanks from those of consecutive blocks of queries."""
        names = ("valid", "first_match", "average_precision", "inverse_negative_penalty")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def require_valid(self, num_gallery: int) -> "QueryRanks":
        """Return self, or raise NoValidQuery with the likely causes when no query is valid."""
        if not self.valid.any():
            raise NoValidQuery(
                f"none of the {len(self.valid)} queries has a match among {num_gallery} gallery entries once junk is "
                "removed; check that query and gallery share vehicle numbers and that matches come from other cameras "
                "(where cameras are unknown give queries camid 0 and the gallery camid 1)"
            )
        return self

    def cmc(self, max_rank: int) -> NDArray[np.float64]:
        """Cumulative matching characteristic, float64 [max_rank]: the share of valid queries matched by each rank."""
        first = self.first_match[self.valid]
        counts = np.bincount(np.minimum(first, max_rank), minlength=max_rank + 1)[:max_rank]
        return np.cumsum(counts) / len(first)

    @property
    def mean_average_precision(self) -> float:
        """Mean of the average precision over the valid queries, in [0, 1]."""
        return float(self.average_precision[self.valid].mean())

    @property
    def mean_inverse_negative_penalty(self) -> float:
        """mINP: mean of the inverse negative penalty over the valid queries, in [0, 1]."""
        return float(self.inverse_negative_penalty[self.valid].mean())


class GalleryIndex:
    """Finds the gallery entries of a vehicle; g_pids: [gallery]."""

    def __init__(self, g_pids: NDArray[Any]) -> None:
        self._order = np.argsort(g_pids, kind="stable")
        self._sorted_pids = g_pids[self._order]

    def __len__(self) -> int:
        return len(self._order)

    def pairs(self, q_pids: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every (query, gallery) pair of one vehicle: two int64 arrays, ordered by query, then by gallery index."""
        starts = np.searchsorted(self._sorted_pids, q_pids, side="left")
        counts = np.searchsorted(self._sorted_pids, q_pids, side="right") - starts
        rows = np.repeat(np.arange(len(q_pids)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self._order[np.repeat(starts, counts) + within]


def stable_positions(distances: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of single gallery entries in the stable order of their query's distances.

    Args:
        distances: numpy [queries, gallery] without NaN.
        rows, columns: int64 [pairs], ordered by row: which entries are asked for.
    Returns:
        int64 [pairs], in [0, gallery): np.argsort(distances, axis=1, kind="stable"), inverted, at [rows, columns].
    """
    if distances.dtype == np.float16:  # exact in float32, which every processor sorts quickly
        distances = distances.astype(np.float32)
    num_rows, num_columns = distances.shape
    by_sorting = num_rows * (_SORT_PER_ROW + _SORT_PER_VALUE * num_columns)
    by_counting = len(rows) * (_COUNT_PER_MATCH + _COUNT_PER_VALUE * num_columns)
    if by_counting < by_sorting:
        return _positions_by_counting(distances, rows, columns)
    return _positions_by_sorting(distances, rows, columns)


def _positions_by_counting(
    distances: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    positions = np.empty(len(rows), dtype=np.int64)
    for pair, (row, column) in enumerate(zip(rows.tolist(), columns.tolist())):
        values = distances[row]
        value = values[column]
        # An equal distance stands in front only if its entry comes earlier in the gallery.
        positions[pair] = np.count_nonzero(values[:column] <= value) + np.count_nonzero(values[column:] < value)
    return positions


def _positions_by_sorting(
    distances: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    values = distances[rows, columns]
    ordered = np.sort(distances, axis=1)
    positions = np.empty(len(rows), dtype=np.int64)
    bounds = np.searchsorted(rows, np.arange(len(distances) + 1))
    for row, start, end in zip(ordered, bounds[:-1].tolist(), bounds[1:].tolist()):
        if start < end:
            positions[start:end] = row.searchsorted(values[start:end])
    following = np.minimum(positions + 1, distances.shape[1] - 1)
    tied = np.flatnonzero((ordered[rows, following] == values) & (following > positions))
    if len(tied):
        positions[tied] = _positions_by_counting(distances, rows[tied], columns[tied])
    return positions


def stable_positions_on_device(
    distances: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``stable_positions`` for a torch tensor, on the tensor's own device; returns a numpy array."""
    # Adding 0 turns -0.0 into 0.0: a radix sort would tell the two apart.
    order = torch.argsort(distances + 0, dim=1, stable=True)
    places = torch.empty_like(order)
    places.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    index = [torch.from_numpy(part).to(order.device) for part in (rows, columns)]
    return places[index[0], index[1]].cpu().numpy()


def ranks_from_positions(
    rows: NDArray[np.int64],
    positions: NDArray[np.int64],
    junk: NDArray[np.bool_],
    num_queries: int,
    num_gallery: int,
    average_precision: str = "mean",
) -> QueryRanks:
    """Per-query results from the places of each query's matches and junk in its whole ranked list.

    Args:
        rows: int64 [pairs], query of each pair.
        positions: int64 [pairs], place in the query's whole list, counted from 0, junk included.
        junk: bool [pairs], True where the entry is to be left out of the list, False for a match.
        num_queries, num_gallery: ints.
        average_precision: 'mean' of the precisions at the matches, or 'trapezoid': the mean of the precision at each
            match and the one just in front of it (1 at the very front), as VeRI-776's own script does.
    Returns:
        QueryRanks
    """
    key: NDArray[np.int64] = (rows * num_gallery + positions) * 2 + junk
    key.sort()
    is_junk, place = key & 1, key >> 1
    rows, positions = np.divmod(place, num_gallery)
    junk_so_far = np.concatenate([[0], np.cumsum(is_junk)])
    junk_of_earlier_rows = junk_so_far[np.searchsorted(rows, rows)]
    matches = is_junk == 0
    ranks = (positions - (junk_so_far[1:] - junk_of_earlier_rows))[matches]
    rows = rows[matches]

    num_matches = np.bincount(rows, minlength=num_queries)
    ends = np.cumsum(num_matches)
    starts = ends - num_matches
    number = np.arange(len(rows)) - starts[rows] + 1  # 1 for the first match of a query
    precision = number / (ranks + 1)
    if average_precision == "trapezoid":
        before = np.where(ranks > 0, (number - 1) / np.maximum(ranks, 1), 1.0)
        precision = (precision + before) / 2
    valid = num_matches > 0
    first_match = np.full(num_queries, -1, dtype=np.int64)
    first_match[valid] = ranks[starts[valid]]
    penalty = np.zeros(num_queries)
    penalty[valid] = num_matches[valid] / (ranks[ends[valid] - 1] + 1)
    sums = np.bincount(rows, weights=precision, minlength=num_queries)
    return QueryRanks(valid, first_match, sums / np.maximum(num_matches, 1), penalty)


def check_ranks(ranks: Iterable[int]) -> list[int]:
    """The CMC ranks as whole numbers from 1 on, or a ValueError."""
    ranks = [int(rank) for rank in ranks]
    if not ranks or min(ranks) < 1:
        raise ValueError(f"ranks is {ranks}, expected whole numbers of at least 1; use (1, 5, 10)")
    return ranks


def metrics_of(result: QueryRanks, ranks: Sequence[int]) -> dict[str, float]:
    """{metric: value in [0, 1]}: mAP, the CMC at ``ranks``, and the mean inverse negative penalty."""
    curve = result.cmc(max(ranks))
    return {
        "mAP": result.mean_average_precision,
        **{f"rank{rank}": float(curve[rank - 1]) for rank in ranks},
        "mINP": result.mean_inverse_negative_penalty,
    }


def mean_and_deviation(draws: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of several draws as their means, and their standard deviations as mAP_std and so on."""
    means = {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}
    return {**means, **{f"{key}_std": float(np.std([draw[key] for draw in draws])) for key in draws[0]}}
