"""Edits of images: how much they change, what a repainter learns from holes, and which of several edits to take.

Choosing takes the place of a gradient through D_emb into pixels: what is chosen is as realistic as what is not.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.checks import check_choice
from ealn_plugin.losses.reduction import masked_mean

CHOICES = ("pixels", "persistent", "embedding", "belt")


def hole_loss(images: Tensor, edited: Tensor, regions: Tensor) -> Tensor:
    """Mean |edited - image| over the pixels of the regions and the channels -> scalar in [0, 2].

    images, edited: [n, 3, h, w] in [-1, 1]; regions: [n, 1, h, w] bool. A zero with a gradient without any pixel.
    """
    return masked_mean((edited - images).abs(), regions.expand_as(images))


def covered_patches(regions: Tensor, logits: Tensor) -> Tensor:
    """Which logits [n, 1, rows, columns] of a PatchGAN look at regions [n, 1, h, w] bool: [n, 1, rows, columns] bool.

    A logit stands for its cell of the image divided evenly into rows x columns.
    """
    return F.adaptive_max_pool2d(regions.to(logits.dtype), logits.shape[-2:]) > 0


def edit_changes(images: Tensor, edited: Tensor, regions: Tensor) -> Any:
    """How much edits change: (total [k, n], mean [k, n]) of |edited - image| over the pixels of their regions.

    images: [n, 3, h, w]; edited: [k, n, 3, h, w]; regions: [k, n, 1, h, w] bool. The total is in pixels x values of
    all channels; the mean is the total per pixel of the region (0 for an empty one).
    """
    total = ((edited - images).abs() * regions).sum(dim=(2, 3, 4))
    return total, total / regions.sum(dim=(2, 3, 4)).clamp(min=1)


@torch.no_grad()
def choose_edits(
    strategy: str,
    total: Tensor,
    mean: Tensor,
    d_edit: Tensor | None = None,
    d_negative: Tensor | None = None,
    beta1: float = 0.6,
    beta2: float = 0.3,
    own: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The hard negative and the identity-neutral twin among k edits of each image.

    Args:
        strategy: 'pixels', the edit that changes most in total, and the one that changes least per pixel;
            'persistent', what changes most beyond what another image of the vehicle changes there: marks stay with a
            vehicle, backgrounds do not; the neutral edit as for 'pixels';
            'embedding', the farthest and the nearest under D_emb; 'belt', the edit that violates Eq. 3 least,
            the hinges of Eq. 4, and the nearest under D_emb.
        total, mean: [k, n] of ``edit_changes``.
        d_edit: [k, n] distances d(x, edit) under D_emb, for 'embedding' and 'belt'.
        d_negative: [n] d(x, x_n), for 'belt'; beta1, beta2: of Eq. 3.
        own: [k, n] the total that another image of the vehicle changes in the same regions, 0 without one; for
            'persistent'.
    Returns:
        (negative [n], twin [n]): numbers of edits. They differ wherever there are two edits or more.
    Raises:
        ValueError: an unknown strategy or one without its distances.
    """
    check_choice("choose", strategy, CHOICES)
    if strategy in ("pixels", "persistent"):
        far, near = total if own is None or strategy == "pixels" else total - own, mean
    else:
        if d_edit is None or (strategy == "belt" and d_negative is None):
            raise ValueError(f"choose '{strategy}' needs distances under D_emb, but None was given; choose 'pixels'")
        far, near = d_edit, d_edit
        if strategy == "belt":
            far = -_violation(d_edit, beta1, d_negative - beta2)  # type: ignore[operator]
    negative = far.argmax(dim=0)
    if len(far) > 1:
        near = near.scatter(0, negative[None], math.inf)
    return negative, near.argmin(dim=0)


def _violation(d_edit: Tensor, low: float, high: Any) -> Tensor:
    """How far distances lie outside [low, high], the hinges of Eq. 4.

    Where the belt is empty, low above high, everything between violates it equally; that, and what lies in a belt, is
    ordered by the distance from its middle, which counts for a thousandth.
    """
    return F.relu(low - d_edit) + F.relu(d_edit - high) + 1e-3 * (d_edit - 0.5 * (low + high)).abs()
