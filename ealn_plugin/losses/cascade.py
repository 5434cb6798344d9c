"""The contrastive loss of a cascade of embeddings, in which harder pairs go on to deeper ones.

Yuan et al., Hard-Aware Deeply Cascaded Embedding, ICCV 2017, section 3.1; the contrastive loss is that of Hadsell et
al., CVPR 2006, with plain distances as in that paper.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.distance import pairwise_distance
from ealn_plugin.losses.reduction import masked_mean


def check_shares(shares: Sequence[float]) -> None:
    """Raise ValueError unless the shares of a cascade are in (0, 1] and none is larger than the one before."""
    shares = list(shares)
    if not shares or not all(0 < share <= 1 for share in shares) or sorted(shares, reverse=True) != shares:
        raise ValueError(
            f"the shares of the pairs that reach each level are {shares}, expected values in (0, 1] that do not grow, "
            "such as [1.0, 0.5, 0.2]"
        )


def contrastive_terms(embeddings: Tensor, same: Tensor, margin: float) -> Tensor:
    """D of positive pairs and [margin - D]+ of negative ones, D = ||f(x) - f(y)||: [n, dim], [n, n] -> [n, n]."""
    distances = pairwise_distance(embeddings, embeddings, "euclidean")
    return torch.where(same, distances, F.relu(margin - distances))


def cascaded_contrastive_loss(levels: Tensor, pids: Tensor, shares: Sequence[float], margin: float = 1.0) -> Tensor:
    """Contrastive loss of every level on the pairs that are hard for the level before -> [number of levels].

    A level's loss is the mean over its positive pairs plus the mean over its negative ones. Of each kind, the first
    level sees the share ``shares[0]`` of all pairs of the batch that is hardest for itself; every other level k the
    share ``shares[k]`` of all pairs that is hardest, by loss, for level k - 1 among those that reached it. Shares of a
    pair are rounded up.

    Args:
        levels: [n, levels, dim], the embeddings of each sub-network, L2-normalized. pids: [n] identities.
        shares: as many as levels, see ``check_shares``; 1, 0.5, 0.2 in the paper.
        margin: M, in units of the distance between unit vectors.
    Raises:
        ValueError: shares that make no cascade, or another number of them.
    """
    check_shares(shares)
    if levels.shape[1] != len(shares):
        raise ValueError(
            f"{levels.shape[1]} levels and {len(shares)} shares were given, expected as many; set ealn.hdc.shares to "
            "one value a level"
        )
    same = pids.unsqueeze(0) == pids.unsqueeze(1)
    pair = torch.ones_like(same).triu(1)
    kinds = [pair & same, pair & ~same]
    totals, reached, losses = [kind.sum() for kind in kinds], kinds, []
    judged = contrastive_terms(levels[:, 0], same, margin)
    for level, share in enumerate(shares):
        terms = contrastive_terms(levels[:, level], same, margin)
        reached = [_hardest(judged, left, total, share) for left, total in zip(reached, totals)]
        losses.append(torch.stack([masked_mean(terms.flatten(), chosen.flatten()) for chosen in reached]).sum())
        judged = terms
    return torch.stack(losses)


@torch.no_grad()
def _hardest(terms: Tensor, candidates: Tensor, total: Tensor, share: float) -> Tensor:
    """[n, n] bool: the candidates with the largest terms, as many as ``share`` of ``total`` pairs, rounded up."""
    scores = terms.masked_fill(~candidates, -1.0).flatten()
    order = scores.argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    kept = torch.ceil(share * total.double() - 1e-9)
    return (ranks < kept).view_as(candidates) & candidates
