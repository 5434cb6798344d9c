"""Which parts of a vehicle two views have in common, and the loss that teaches them to VAMI's attention.

Source: Zhou and Shao, VAMI, CVPR 2018, whose attention is supervised by three labels: front, side and rear.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ealn_plugin.losses.transfer import to_device

PARTS = ("front", "side", "rear")
SEEN = ((1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.0, 1.0, 0.0))
"""Which of PARTS the views front, rear and side show: fronts and rears are mostly taken at an angle, with a side."""


def parts_in_common(views: Tensor) -> Tensor:
    """The parts of the vehicle that an image shares with each view.

    Args:
        views: [n], 0 front, 1 rear, 2 side.
    Returns:
        [n, 3 views, 3 parts], 1 where both show the part, else 0.
    """
    seen = to_device(torch.tensor(SEEN), views.device)
    return seen[views][:, None] * seen[None]


def parts_loss(logits: Tensor, views: Tensor) -> Tensor:
    """Mean binary cross-entropy over images, views and parts.

    Args:
        logits: [n, 3 views, 3 parts] of the parts that an image shares with each view.
        views: [n] of the images, 0 front, 1 rear, 2 side.
    Returns:
        scalar; without images a zero with a gradient.
    """
    if not len(views):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits, parts_in_common(views).to(logits.dtype))
