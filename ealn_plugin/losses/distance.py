"""Distances between embeddings, d of Eq. 2.

Embeddings are L2-normalized, so the squared distance of Eq. 2 lies in [0, 4] and its root in [0, 2].
"""

import contextlib

import torch
import torch.nn.functional as F

from ealn_plugin.losses.checks import DISTANCES, check_choice


def distance(a, b, kind="squared"):
    """Row-wise d(a, b) of Eq. 2: embeddings [n, dim] and [n, dim] -> [n].

    kind: 'squared' (the paper's ||f(a) - f(b)||^2) or 'euclidean' (its root; slope 0 where a equals b).
    """
    check_choice("distance", kind, DISTANCES)
    squared = (a - b).pow(2).sum(dim=1)
    return squared if kind == "squared" else _safe_sqrt(squared)


def pairwise_distance(a, b, kind="squared"):
    """All distances between embeddings [n, dim] and [m, dim] -> [n, m], never negative.

    Computed from the products of the rows, outside of mixed precision: about 1e-7 of rounding in the squared
    distance, which matters only for embeddings that nearly coincide. `distance` is exact there.
    """
    check_choice("distance", kind, DISTANCES)
    with _full_precision_products(a.device.type):
        a, b = _full_precision(a), _full_precision(b)
        squared = a.pow(2).sum(1, keepdim=True) + b.pow(2).sum(1).unsqueeze(0) - 2.0 * a @ b.t()
        squared = F.relu(squared)
    return squared if kind == "squared" else _safe_sqrt(squared)


def _full_precision_products(device_type):
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def _full_precision(embeddings):
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def _safe_sqrt(squared):
    """Root with slope 0 at 0, where the plain root's slope is infinite."""
    positive = squared > 0
    return torch.where(positive, squared, torch.ones_like(squared)).sqrt() * positive.to(squared.dtype)
