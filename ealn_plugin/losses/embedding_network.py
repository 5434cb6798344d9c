"""The loss of EN, the paper's baseline: triplets of real images and cross-entropy over the identities."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.checks import DISTANCES, check_choice
from ealn_plugin.losses.distance import distance as row_distance
from ealn_plugin.losses.distance import pairwise_distance
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.losses.selection import negative_mask, positive_mask, select_negatives, select_positives

TRIPLETS = ("random", "batch_hard", "all_active")


def triplet_loss(
    embeddings: Tensor,
    pids: Tensor,
    margin: float = 0.6,
    distance: str = "squared",
    triplets: str = "random",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean of [d(x, x_p) + margin - d(x, x_n)]+ over triplets of the batch -> scalar.

    Args:
        embeddings [n, dim]: L2-normalized.
        pids [n]: identities.
        margin: alpha of the paper, 0.6.
        distance ('squared' | 'euclidean'): d of Eq. 2, or its root.
        triplets: 'random', one random positive and negative per image; 'batch_hard', the farthest positive
            and the nearest negative per image (Hermans et al., 2017); 'all_active', every triplet of the
            batch whose hinge is above zero (n^3 of them are looked at).
        generator: a torch.Generator on the CPU for 'random', None for torch's global state.

    Images without a positive or without a negative do not count; with none left, or for 'all_active' no hinge
    above zero, the loss is a zero with a gradient. Raises ValueError for unknown options.
    """
    check_choice("triplets", triplets, TRIPLETS)
    check_choice("distance", distance, DISTANCES)
    if triplets == "all_active":
        return _all_active(embeddings, pids, margin, distance)
    if triplets == "random":
        positive, has_positive = select_positives(pids, generator)
        negative, has_negative = select_negatives(None, pids, "random", generator=generator)
    else:
        positive, negative, has_positive, has_negative = _hardest(embeddings, pids)
    d_positive = row_distance(embeddings, embeddings[positive], distance)
    d_negative = row_distance(embeddings, embeddings[negative], distance)
    return masked_mean(F.relu(d_positive + margin - d_negative), has_positive & has_negative)


@torch.no_grad()
def _hardest(embeddings: Tensor, pids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Indices of the farthest positive and the nearest negative of each image, and whether they exist."""
    distances = pairwise_distance(embeddings, embeddings)
    negative, has_negative = select_negatives(distances, pids, "hardest")
    positives = positive_mask(pids)
    if len(pids) == 0:
        return negative, negative, has_negative, has_negative
    return distances.masked_fill(~positives, -1.0).argmax(dim=1), negative, positives.any(dim=1), has_negative


def _all_active(embeddings: Tensor, pids: Tensor, margin: float, kind: str) -> Tensor:
    distances = pairwise_distance(embeddings, embeddings, kind)
    return active_triplets(distances, distances, positive_mask(pids), negative_mask(pids), margin)


def active_triplets(
    d_positive: Tensor, d_negative: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> Tensor:
    """Mean of the [d(x, x_p) + margin - d(x, x_n)]+ that are above zero -> scalar.

    Args:
        d_positive [n, p], d_negative [n, m]: distances of n anchors to p and m other images.
        positives [n, p], negatives [n, m]: bool, which of them are positives and negatives of an anchor.
        margin: alpha of the paper.
    """
    # [anchor, positive, negative]
    hinges = F.relu(d_positive.unsqueeze(2) + margin - d_negative.unsqueeze(1))
    triplets = positives.unsqueeze(2) & negatives.unsqueeze(1)
    return masked_mean(hinges, triplets & (hinges > 0))


def identity_loss(logits: Tensor, pids: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits [n, classes] against identities pids [n] (0 to classes - 1) -> scalar.

    label_smoothing in [0, 1): the paper uses none. An empty batch gives a zero with a gradient.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing is {label_smoothing}, expected a value in [0, 1); the paper uses 0")
    return masked_mean(F.cross_entropy(logits, pids, label_smoothing=label_smoothing, reduction="none"))


def embedding_network_loss(
    logits: Tensor,
    embeddings: Tensor,
    pids: Tensor,
    weight_t: float = 1.0,
    weight_x: float = 1.0,
    margin: float = 0.6,
    distance: str = "squared",
    triplets: str = "random",
    label_smoothing: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """EN: weight_t * triplet loss + weight_x * cross-entropy on real images.

    logits [n, classes], embeddings [n, dim], pids [n]; the options are those of `triplet_loss` and
    `identity_loss`. Returns (scalar, parts), parts being {'triplet': ..., 'identity': ...}: the two losses
    unweighted and detached.
    """
    triplet = triplet_loss(embeddings, pids, margin, distance, triplets, generator)
    identity = identity_loss(logits, pids, label_smoothing)
    parts = {"triplet": triplet.detach(), "identity": identity.detach()}
    return weight_t * triplet + weight_x * identity, parts
