"""The contrastive loss over all pairs of a batch."""

from torch import Tensor
from torch.nn import functional as F

from ealn_plugin.losses.checks import check_margins
from ealn_plugin.losses.distance import pairwise_distance
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.losses.selection import negative_mask, positive_mask


def contrastive_loss(
    features: Tensor, pids: Tensor, margin: float = 1.0, distance: str = "squared", valid: Tensor | None = None
) -> Tensor:
    """Mean of d(i, j) over the pairs of one identity plus mean of [margin - d(i, j)]+ over all others -> scalar.

    Hadsell, Chopra and LeCun, CVPR 2006. The two means are taken apart, since a batch has many more pairs of
    different vehicles than of one.

    Args:
        features [n, dim]: L2-normalised.
        pids [n]: identities.
        margin: in units of d; within [0, 4] for 'squared' and [0, 2] for 'euclidean' distances.
        distance: d of Eq. 2, or its root.
        valid: [n] bool, the images that count; None for all.

    A side without pairs counts 0, with a gradient. Raises ValueError for options out of range.
    """
    check_margins(distance, margin=margin)
    distances = pairwise_distance(features, features, distance)
    counted = True if valid is None else valid[:, None] & valid
    near = masked_mean(distances, positive_mask(pids) & counted)
    return near + masked_mean(F.relu(margin - distances), negative_mask(pids) & counted)
