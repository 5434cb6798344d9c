"""Triplets around the centre of a cluster: the coupled clusters loss, and the mean-valued triplets made like it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.distance import distance, pairwise_distance
from ealn_plugin.losses.reduction import masked_mean


def centres_of(embeddings: Tensor, members: Tensor) -> Tensor:
    """Mean of the members of each row's cluster: embeddings [n, dim], members [n, n] bool -> [n, dim]."""
    weights = members.to(embeddings.dtype)
    return weights @ embeddings / weights.sum(1, keepdim=True).clamp(min=1)


def centre_triplets(embeddings: Tensor, members: Tensor, others: Tensor, margin: float) -> Tensor:
    """Mean over the images of 1/2 [||f(x) - c||^2 + margin - ||f(x*) - c||^2]+ -> scalar.

    c is the mean of the cluster that x belongs to, and x* the image nearest to c among its negatives. Gradients flow
    through c as well. Images alone in their cluster, and those without negatives, do not count.

    Args:
        embeddings: [n, dim].
        members: [n, n] bool, row by row the images of x's cluster, x among them.
        others: [n, n] bool, row by row the negatives of x's cluster.
        margin: in units of the squared distance.
    """
    if not len(embeddings):
        return embeddings.sum()
    centres = centres_of(embeddings, members)
    apart = pairwise_distance(centres, embeddings).masked_fill(~others, torch.inf)
    nearest = embeddings[apart.argmin(dim=1)]
    valid = (members.sum(1) > 1) & others.any(1)
    hinges = F.relu(distance(embeddings, centres) + margin - distance(nearest, centres))
    return 0.5 * masked_mean(hinges, valid)


def coupled_clusters_loss(embeddings: Tensor, pids: Tensor, margin: float = 0.6) -> Tensor:
    """The coupled clusters loss: Liu et al., Deep Relative Distance Learning, CVPR 2016, section 3.2.

    Each identity of the batch is a positive set, all images of the others its negative set: ``centre_triplets``. The
    paper adds up a positive set's images, here they are averaged.

    Args:
        embeddings: [n, dim], L2-normalized. pids: [n] identities. margin: the paper's alpha, which it does not tell.
    """
    same = pids.unsqueeze(0) == pids.unsqueeze(1)
    return centre_triplets(embeddings, same, ~same, margin)
