"""How an index searches: exactly, or approximately through inverted lists (IVF), and how much the lists miss.

IVF (Sivic and Zisserman, ICCV 2003; Jegou et al., TPAMI 2011) sorts the features into ``nlist`` lists by their nearest
centre and looks through the ``nprobe`` lists whose centres are nearest to the query; the best candidates are compared
exactly.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np

FLAT_UP_TO = 20_000
"""Larger indices are IVF unless told otherwise."""

POINTS_PER_LIST = 40
"""Images per list that the lists are learned from, at least."""

_ROUNDING = 1e-6


def kind_for(images: int, kind: str) -> str:
    """'flat' or 'ivf' for so many images; ``kind``: 'flat', 'ivf' or 'auto'."""
    if kind == "auto":
        return "ivf" if images > FLAT_UP_TO else "flat"
    return kind if images else "flat"


def default_nlist(images: int) -> int:
    """2 sqrt(n), and never more than can be learned from n images."""
    return max(1, min(round(2 * math.sqrt(images)), images // POINTS_PER_LIST))


def exact_scores(pieces: Iterable[tuple[np.ndarray, np.ndarray]], queries: np.ndarray, k: int) -> np.ndarray:
    """float32 [q, k]: the highest inner products of each query, descending; -inf where there are fewer.

    Args:
        pieces: (ids int [n], features float32 [n, dim]), as ``Table.vectors`` gives them. queries: float32 [q, dim].
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    for _, vectors in pieces:
        best = np.concatenate([best, queries @ vectors.T], axis=1)
        best = -np.partition(-best, k - 1, axis=1)[:, :k]
    return -np.sort(-best, axis=1)


def mean_distance(features: np.ndarray) -> float:
    """The mean of 1 - similarity over all pairs of float32 [n, dim], L2-normalised; 0 where there is no pair."""
    count, total = len(features), features.astype(np.float64).sum(0)
    if count < 2:
        return 0.0
    return 1 - float(total @ total - np.square(features, dtype=np.float64).sum()) / (count * (count - 1))


def recall_by_nprobe(
    search: Callable[[np.ndarray, int, int], list], exact: np.ndarray, queries: np.ndarray
) -> Callable[[int], float]:
    """A function of nprobe: the share of the true nearest that a search through so many lists finds, in [0, 1].

    Found counts what is as near as the last of the true ones: of equally near images either will do.

    Args:
        search: of (queries, k, nprobe): [[scores, descending] for each query].
        exact: float32 [q, k + 1] of ``exact_scores``. queries: float32 [q, dim], images of the index itself, each of
            which is its own first answer and does not count: to find an image by itself is no merit.
    """

    def recall(nprobe: int) -> float:
        shares = []
        for near, true in zip(search(queries, exact.shape[1], nprobe), exact):
            wanted = true[1:][np.isfinite(true[1:])]
            if len(wanted):
                shares.append(min(1.0, float((np.asarray(near[1:]) >= wanted[-1] - _ROUNDING).sum()) / len(wanted)))
        return float(np.mean(shares)) if shares else 1.0

    return recall
