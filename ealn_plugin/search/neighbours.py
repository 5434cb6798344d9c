"""Nearest neighbours of L2-normalised vectors by FAISS: exact, or approximate by inverted lists (IVF).

The score of two vectors is their inner product, for vectors of length 1 the cosine of their angle; the order is that
of Euclidean distances. IVF (Sivic and Zisserman, ICCV 2003; Johnson et al., Billion-scale similarity search with
GPUs, IEEE Big Data 2021) sorts the vectors into ``nlist`` lists by their nearest centre and looks through the
``nprobe`` lists whose centres are nearest to the query.
"""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ealn_plugin.system.extras import install_command

FLAT_UP_TO = 100_000
"""Larger indices are IVF unless told otherwise; the exact search of so many 1,024-d vectors takes some 50 ms."""

POINTS_PER_LIST = 40
"""Vectors per list that k-means learns from; FAISS asks for at least 39."""

_SEED = 1234
_ROUNDING = 1e-6


def import_faiss() -> Any:
    """The module faiss.

    Raises:
        RuntimeError: it is not installed.
    """
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells of every variant that it tries and skips
    try:
        import faiss
    except ImportError as error:
        raise RuntimeError(
            f"searching needs faiss, which is not installed ({error}); install it with {install_command('search')}"
        ) from error
    return faiss


def kind_for(images: int, kind: str) -> str:
    """'flat' or 'ivf' for so many images; ``kind``: 'flat', 'ivf' or 'auto'."""
    if kind == "auto":
        return "ivf" if images > FLAT_UP_TO else "flat"
    return kind if images else "flat"


def default_nlist(images: int) -> int:
    """4 sqrt(n), the lower end of what FAISS's guidelines advise, and never more than can be learned from n vectors."""
    return max(1, min(round(4 * math.sqrt(images)), images // POINTS_PER_LIST))


def train_centroids(sample: np.ndarray, nlist: int) -> np.ndarray:
    """Spherical k-means: float32 [nlist, dim], of length 1; the same sample gives the same centres.

    Args:
        sample: float32 [n, dim], n at least nlist.
    Raises:
        ValueError: too few vectors.
    """
    if len(sample) < nlist:
        raise ValueError(f"nlist is {nlist}, but there are only {len(sample)} images; lower --nlist or use --kind flat")
    faiss = import_faiss()
    kmeans = faiss.Kmeans(
        sample.shape[1],
        nlist,
        niter=10,
        spherical=True,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=POINTS_PER_LIST,
    )
    kmeans.train(np.ascontiguousarray(sample))
    return kmeans.centroids


def assign(centroids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """int32 [n]: which list each of the vectors [n, dim] belongs to."""
    faiss = import_faiss()
    _, nearest = faiss.knn(np.ascontiguousarray(vectors), centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return nearest[:, 0].astype(np.int32)


class Neighbours:
    """Vectors in memory, in the order they are added, and the search among them.

    Memory for all of them is taken at once, so that adding piece by piece never needs twice of it.

    Args:
        dim: length of a vector; capacity: how many will be added in all.
        centroids: float32 [nlist, dim] for IVF, None for exact search.
        counts: int [nlist], how many vectors each list will hold; for IVF only.
    """

    def __init__(self, dim: int, capacity: int, centroids: np.ndarray | None = None, counts: Any = None) -> None:
        faiss = import_faiss()
        self._faiss, self.dim, self.nlist, self._filled, self._has_map = faiss, dim, 0, 0, False
        self._flat = faiss.IndexFlatIP(dim)
        self._index = self._flat
        if centroids is None:
            self._flat.codes.resize(capacity * self._flat.code_size)
            codes = faiss.rev_swig_ptr(self._flat.codes.data(), capacity * self._flat.code_size)
            self._memory = np.asarray(codes).view(np.float32).reshape(capacity, dim)
            return
        self.nlist = len(centroids)
        self._flat.add(np.ascontiguousarray(centroids))
        self._index = faiss.IndexIVFFlat(self._flat, dim, self.nlist, faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True
        lists = faiss.downcast_InvertedLists(self._index.invlists)
        for number, count in enumerate(np.asarray(counts).tolist()):
            lists.resize(number, count)
            lists.resize(number, 0)  # what was taken is kept

    def __len__(self) -> int:
        return self._filled

    def add(self, vectors: np.ndarray, lists: np.ndarray | None = None) -> None:
        """Add vectors float32 [n, dim]; IVF takes the list of each, int [n], from ``assign``.

        Raises:
            ValueError: exact search was given more than its capacity.
        """
        count = len(vectors)
        if not self.nlist:
            if self._filled + count > len(self._memory):
                raise ValueError(
                    f"{self._filled + count} vectors for a capacity of {len(self._memory)}; give the right capacity"
                )
            self._memory[self._filled : self._filled + count] = vectors
            self._flat.ntotal = self._filled + count
        else:
            vectors = np.ascontiguousarray(vectors, dtype=np.float32)
            ids = np.arange(self._filled, self._filled + count, dtype=np.int64)
            lists = np.ascontiguousarray(lists, dtype=np.int64)
            pointer = self._faiss.swig_ptr
            self._index.add_core(count, pointer(vectors), pointer(ids), pointer(lists))
        self._filled += count

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """The vectors at some positions, int [n], as float32 [n, dim]."""
        if not self.nlist:
            return self._memory[positions]
        if not self._has_map:
            self._index.make_direct_map()
            self._has_map = True
        return np.stack([self._index.reconstruct(int(position)) for position in positions])

    def search(self, queries: np.ndarray, k: int, nprobe: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The nearest vectors of each query.

        Args:
            queries: float32 [q, dim]; k: how many, at most as many as there are.
            nprobe: lists to look through, for IVF; 0: all of them, which is exact.
        Returns:
            (scores float32 [q, k] descending, positions int64 [q, k]); of equal scores the vector that was added first
            comes first. Where IVF found fewer, positions are -1 and scores -inf.
        """
        k = min(k, self._filled)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not k or not len(queries):
            return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        options = {}
        if self.nlist:
            options["params"] = self._faiss.SearchParametersIVF(nprobe=min(nprobe or self.nlist, self.nlist))
        scores, positions = self._index.search(queries, k, **options)
        scores[positions < 0] = -np.inf
        order = np.lexsort((positions, -scores))
        return np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)


def recall_by_nprobe(neighbours: Neighbours, queries: np.ndarray, own: np.ndarray, k: int) -> Callable[[int], float]:
    """A function of nprobe: the share of the true ``k`` nearest that a search through so many lists finds, in [0, 1].

    Found counts what is as near as the k-th of the true ones: of equally near images either will do.

    Args:
        queries: float32 [q, dim], vectors of the index itself; own: int [q], their positions in it, which do not
            count: to find an image by itself is no merit.
    """
    scores, rows = neighbours.search(queries, k + 1)
    true = [scores[query][rows[query] != position][:k] for query, position in enumerate(own)]

    def recall(nprobe: int) -> float:
        scores, rows = neighbours.search(queries, k + 1, nprobe)
        found = [scores[query][rows[query] != position][:k] for query, position in enumerate(own)]
        shares = [float((near >= far[-1] - _ROUNDING).sum()) / len(far) for near, far in zip(found, true) if len(far)]
        return float(np.mean(shares)) if shares else 1.0

    return recall
