"""Distances between features: whole matrices through torchreid, or block by block with the same arithmetic."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

METRICS = ("euclidean", "cosine")
_ROWS_AT_A_TIME = 4096


def check_features(query_features: NDArray[Any] | Tensor, gallery_features: NDArray[Any] | Tensor) -> list[Tensor]:
    """Two 2-D floating point tensors of equal width from numpy arrays or tensors (memory is shared where possible).

    Raises:
        ValueError: not 2-D, empty, or of different widths.
    """
    checked = []
    for name, features in (("query_features", query_features), ("gallery_features", gallery_features)):
        if not isinstance(features, torch.Tensor):
            features = torch.from_numpy(np.require(features, requirements=["C", "W"]))
        if features.dim() != 2 or 0 in features.shape:
            raise ValueError(
                f"{name} has shape {tuple(features.shape)}, expected [images, dimensions] with at least "
                "one of each; check that the set is not empty"
            )
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        checked.append(features.detach())
    if checked[0].shape[1] != checked[1].shape[1]:
        raise ValueError(
            f"query features have {checked[0].shape[1]} dimensions and gallery features "
            f"{checked[1].shape[1]}, expected the same; extract both with one network"
        )
    return checked


def check_metric(metric: str) -> str:
    """Return the name of a metric, or raise ValueError for an unknown one."""
    if metric not in METRICS:
        raise ValueError(f"the distance metric is {metric!r}, expected one of {METRICS}; set test.dist_metric")
    return metric


class BlockDistances:
    """Distances from blocks of queries to one gallery, as torchreid computes them.

    Args:
        gallery: tensor [gallery, dim].
        metric: 'euclidean' (squared and, like torchreid's, not clamped at 0) or 'cosine' (1 - cosine).
        device: torch device of the computation.
    """

    def __init__(self, gallery: Tensor, metric: str, device: torch.device) -> None:
        self._cosine = check_metric(metric) == "cosine"
        self._device = device
        self._gallery = gallery.to(device)
        if self._cosine:
            self._gallery = normalize_rows(self._gallery)
        else:  # computed once and not for every block
            parts = self._gallery.split(_ROWS_AT_A_TIME)
            self._gallery_squares = torch.cat([part.pow(2).sum(dim=1) for part in parts])

    @torch.no_grad()
    def __call__(self, queries: Tensor) -> Tensor:
        """Distances of queries [block, dim]: tensor [block, gallery] on the device."""
        queries = queries.to(self._device, self._gallery.dtype)
        if self._cosine:
            return 1 - F.normalize(queries, p=2, dim=1) @ self._gallery.t()
        distances = queries.pow(2).sum(dim=1, keepdim=True) + self._gallery_squares
        return distances.addmm_(queries, self._gallery.t(), beta=1, alpha=-2)


def normalize_rows(matrix: Tensor) -> Tensor:
    """A copy of a tensor [n, dim] with rows of length 1, made a few thousand rows at a time to need no more memory."""
    result = torch.empty_like(matrix)
    for rows, normalized in zip(matrix.split(_ROWS_AT_A_TIME), result.split(_ROWS_AT_A_TIME)):
        normalized.copy_(F.normalize(rows, p=2, dim=1))
    return result
