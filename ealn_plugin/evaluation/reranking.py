"""k-reciprocal re-ranking (Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017).

What torchreid's re_ranking computes, up to rounding, in a fraction of its time and memory: neighbours are found block
by block, and the encoded neighbourhoods, of which all but some dozens of values are 0, are sparse matrices.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ealn_plugin.evaluation.distances import BlockDistances, check_features

_ROWS_AT_A_TIME, _PAIRS_AT_A_TIME = 256, 8192


def rerank(
    query_features: NDArray[Any] | Tensor,
    gallery_features: NDArray[Any] | Tensor,
    metric: str = "euclidean",
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    device: torch.device | str | None = None,
) -> NDArray[np.float32]:
    """Distances from queries to gallery images that count common neighbours as well.

    Args:
        query_features: [queries, dim]. gallery_features: [gallery, dim].
        metric: 'euclidean' (squared) or 'cosine', of the distances that it begins with.
        k1, k2: neighbours that encode an image, and that its encoding is averaged over.
        weight: lambda, share of the distance itself in the result, in [0, 1]; the rest is the Jaccard distance of the
            encodings.
        device: of the distances; None: the CPU.
    Returns:
        float32 [queries, gallery]. Beside it and the features some hundred numbers an image are held.
    Raises:
        ValueError: features or options that cannot be used.
    """
    queries, gallery = check_features(query_features, gallery_features)
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"re-ranking with k1 {k1}, k2 {k2} and weight {weight} is not defined, expected k1 and k2 of 1 or more and "
            "a weight from 0 to 1; the paper's are 20, 6 and 0.3"
        )
    features = torch.cat([queries, gallery])
    block_distances = BlockDistances(features, metric, torch.device(device or "cpu"))
    nearest, largest = _nearest(features, block_distances, k1 + 1)
    members = _members(nearest, min(len(features), int(np.around(k1 / 2)) + 1))
    encoded = _encoded(members, features, largest, metric)
    if k2 != 1:
        encoded = _averaged(encoded, nearest[:, :k2])
    count = len(queries)
    by_member = encoded[count:].tocsc()
    result = np.empty((count, len(gallery)), dtype=np.float32)
    for start in range(0, count, _ROWS_AT_A_TIME):
        rows = slice(start, min(start + _ROWS_AT_A_TIME, count))
        own = block_distances(queries[rows])[:, count:].square().cpu().numpy().astype(np.float32)
        for row, line in zip(range(rows.start, rows.stop), own / largest[rows, None]):
            result[row] = (1 - weight) * _jaccard(encoded, row, by_member) + weight * line
    return result


def _nearest(features: Tensor, block_distances: Any, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each image (rows of the nearest [n, count], itself among them; largest squared distance [n])."""
    count = min(count, len(features))
    nearest = np.empty((len(features), count), dtype=np.int64)
    largest = np.empty(len(features), dtype=np.float32)
    for start in range(0, len(features), _ROWS_AT_A_TIME):
        squares = block_distances(features[start : start + _ROWS_AT_A_TIME]).square()
        stop = start + len(squares)
        nearest[start:stop] = squares.topk(count, dim=1, largest=False).indices.cpu().numpy()
        largest[start:stop] = squares.amax(dim=1).cpu().numpy()
    return nearest, np.maximum(largest, np.finfo(np.float32).tiny)


def _reciprocal(nearest: NDArray[np.int64]) -> Any:
    """Sparse [n, n] of ones: the nearest images of each that have it among their own nearest."""
    count, k = nearest.shape
    pattern = sparse.csr_matrix(
        (np.ones(count * k, dtype=np.float32), nearest.ravel(), np.arange(0, count * k + 1, k)), shape=(count, count)
    )
    return pattern.multiply(pattern.T).tocsr()


def _members(nearest: NDArray[np.int64], half: int) -> Any:
    """Sparse [n, n] of ones: each image's reciprocal neighbours, and those of the ones that share most with it."""
    near, nearer = _reciprocal(nearest), _reciprocal(nearest[:, :half])
    shared = near.multiply(near @ nearer.T).tocsr()
    sizes = np.asarray(nearer.sum(axis=1)).ravel()
    shared.data = (shared.data > 2.0 / 3.0 * sizes[shared.indices]).astype(np.float32)
    shared.eliminate_zeros()
    members = (near + shared @ nearer).tocsr()
    members.data[:] = 1.0
    members.sort_indices()
    return members


def _encoded(members: Any, features: Tensor, largest: NDArray[np.float32], metric: str) -> Any:
    """Sparse [n, n]: exp(-distance) of each image's members, as shares of their sum."""
    rows = np.repeat(np.arange(members.shape[0]), np.diff(members.indptr))
    if metric == "cosine":
        features = torch.nn.functional.normalize(features, dim=1)
    for start in range(0, len(rows), _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        a, b = features[rows[part]], features[members.indices[part]]
        distance = 1 - (a * b).sum(dim=1) if metric == "cosine" else (a - b).square().sum(dim=1)
        members.data[part] = np.exp(-distance.square().cpu().numpy() / largest[rows[part]])
    sums = np.asarray(members.sum(axis=1)).ravel()
    members.data /= sums[rows]
    return members


def _averaged(encoded: Any, nearest: NDArray[np.int64]) -> Any:
    """The mean encoding of each image's nearest, itself among them."""
    count, k = nearest.shape
    mean = sparse.csr_matrix(
        (np.full(count * k, 1.0 / k, dtype=np.float32), nearest.ravel(), np.arange(0, count * k + 1, k)),
        shape=(count, count),
    )
    return (mean @ encoded).tocsr()


def _jaccard(encoded: Any, row: int, by_member: Any) -> NDArray[np.float32]:
    """Jaccard distance of the encoding of one image to those of the gallery, whose columns are at hand."""
    common = np.zeros(by_member.shape[0], dtype=np.float32)
    part = slice(encoded.indptr[row], encoded.indptr[row + 1])
    for member, value in zip(encoded.indices[part], encoded.data[part]):
        column = slice(by_member.indptr[member], by_member.indptr[member + 1])
        common[by_member.indices[column]] += np.minimum(value, by_member.data[column])
    return np.asarray(1.0 - common / (2.0 - common), dtype=np.float32)
