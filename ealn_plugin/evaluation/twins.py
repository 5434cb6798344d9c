"""Generated other views against the truth: the twins of a rendered dataset.

A twin shows the same vehicle in the same camera and light, turned to the opposite view. No real dataset has them.
Every score stands beside two others: that of the input itself, handed over unchanged (a generator that does not beat it
has made nothing), and that of the twin (what a perfect picture scores; in retrieval it is no upper bound).
"""

import os
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ealn_plugin.data.pairs import read_pairs
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.query_ranks import NoValidQuery
from ealn_plugin.evaluation.ranking import rank_features
from ealn_plugin.losses.distance import distance

TWINS, UNMARKED_TWINS = "twins.csv", "unmarked_twins.csv"
# Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
# IEEE TIP 2004: Gaussian window of 11 x 11 with deviation 1.5, K1 and K2 for a range of 1.
_WINDOW, _DEVIATION, _K1, _K2 = 11, 1.5, 0.01, 0.03


def read_twins(folder: str | PathLike[str], name: str = TWINS) -> dict[str, str]:
    """The twins of a rendered dataset.

    Args:
        folder: the dataset's folder with the list, header ``image,twin``, paths relative to it.
        name: of the list: ``TWINS``, or ``UNMARKED_TWINS`` for the same vehicles without their marks.
    Returns:
        {absolute path of an image: absolute path of its twin}; empty where there is no such list.
    Raises:
        ValueError: the file has another header, or a line that does not name two files.
    """
    return dict(read_pairs(os.path.join(folder, name), ["image", "twin"], "twin"))


def opposite(views: ArrayLike) -> NDArray[np.int64]:
    """[n] values of ``View`` to those of the other side; UNKNOWN for all but front and rear."""
    views = np.asarray(views)
    return np.select([views == View.FRONT, views == View.REAR], [View.REAR, View.FRONT], View.UNKNOWN).astype(np.int64)


# ---------------------------------------------------------------------------------------------- pictures
def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of Wang et al. (2004), the mean over channels and over every place of the window.

    Args:
        a, b: tensors [n, channels, h, w] in [0, 1], at least 11 pixels high and wide.
    Returns:
        float64 tensor [n] in [-1, 1]; 1 for equal images.
    Raises:
        ValueError: images of different shapes, or smaller than the window.
    """
    _check_pair(a, b)
    if min(a.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"images of {a.shape[-2]} x {a.shape[-1]} pixels are smaller than SSIM's window, expected "
            f"at least {_WINDOW} x {_WINDOW}; use larger images"
        )
    a, b = a.double(), b.double()
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    values = (
        (2 * mean_a * mean_b + _K1**2)
        * (2 * covariance + _K2**2)
        / ((mean_a**2 + mean_b**2 + _K1**2) * (var_a + var_b + _K2**2))
    )
    return values.mean(dim=(1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: 10 log10(1 / mean squared error).

    Args:
        a, b: tensors [n, channels, h, w] in [0, 1].
    Returns:
        float64 tensor [n]; infinite for equal images.
    """
    _check_pair(a, b)
    return -10.0 * (a.double() - b.double()).pow(2).mean(dim=(1, 2, 3)).log10()


def _blur(images: Tensor) -> Tensor:
    """The Gaussian window's weighted mean at every place where it fits."""
    offsets = torch.arange(_WINDOW, dtype=images.dtype, device=images.device) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _DEVIATION**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, _WINDOW)
    images = F.conv2d(images, weights, groups=images.shape[1])
    return F.conv2d(images, weights.transpose(2, 3), groups=images.shape[1])


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dim() != 4:
        raise ValueError(
            f"images have the shapes {tuple(a.shape)} and {tuple(b.shape)}, expected the same [n, "
            "channels, h, w]; pair every image with one of its size"
        )


# ---------------------------------------------------------------------------------------------- scores
def score_pictures(
    images: Tensor, embeddings: Tensor, twin_images: Tensor, twin_embeddings: Tensor, kind: str = "squared"
) -> dict[str, NDArray[np.float64]]:
    """Images beside their twins.

    Args:
        images, twin_images: tensors [n, 3, h, w] in [0, 1]. embeddings, twin_embeddings: tensors [n, dim].
        kind: d of Eq. 2, 'squared' or 'euclidean'.
    Returns:
        {"ssim", "psnr", "distance": float64 array [n]}, distance that of the embeddings.
    """
    return {
        "ssim": ssim(images, twin_images).cpu().numpy(),
        "psnr": psnr(images, twin_images).cpu().numpy(),
        "distance": distance(embeddings.double(), twin_embeddings.double(), kind).cpu().numpy(),
    }


def retrieve_other_views(
    queries: NDArray[Any], pids: NDArray[np.int64], camids: NDArray[np.int64], views: ArrayLike, gallery: Features
) -> dict[str, float]:
    """Search the real other views of a vehicle with images that should show one.

    A query is ranked against the gallery images of the view that it should show; those of its own vehicle in its own
    camera are junk, as in the datasets' protocols.

    Args:
        queries: float [n, dim] embeddings. pids, camids: [n] of the images they were made from.
        views: [n] values of ``View`` of the images they were made from; all but front and rear are left out.
        gallery: Features of real images, of the same network.
    Returns:
        {"mAP", "rank1": float in [0, 1], "queries": int}, over all queries with a match.
    Raises:
        ValueError: no query has a match.
    """
    wanted, precision, first = opposite(views), [], []
    for view in (View.FRONT, View.REAR):
        rows, entries = np.flatnonzero(wanted == view), np.flatnonzero(gallery.views == view)
        if not len(rows) or not len(entries):
            continue
        try:
            ranks = rank_features(
                np.ascontiguousarray(queries[rows]),
                gallery.embeddings[entries],
                pids[rows],
                gallery.pids[entries],
                camids[rows],
                gallery.camids[entries],
            )
        except NoValidQuery:
            continue
        precision.append(ranks.average_precision[ranks.valid])
        first.append(ranks.first_match[ranks.valid])
    if not precision:
        raise ValueError(
            "no front or rear query has a gallery image of its vehicle's other view; give a dataset with "
            "both views and their labels"
        )
    precisions, ranks_of_first = np.concatenate(precision), np.concatenate(first)
    return {
        "mAP": float(precisions.mean()),
        "rank1": float((ranks_of_first == 0).mean()),
        "queries": len(ranks_of_first),
    }


def summarize(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Means of ``score_pictures``: {"ssim", "psnr", "distance": float}; equal images count 100 dB."""
    return {
        name: float(np.minimum(values, 100.0).mean() if name == "psnr" else values.mean())
        for name, values in scores.items()
    }
