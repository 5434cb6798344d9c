"""Group-sensitive triplets: groups of images that look alike within one vehicle, kept apart from its other groups.

Bai et al., Group-Sensitive Triplet Embedding for Vehicle Reidentification, IEEE TMM 20(9), 2018, section III.
"""

import torch
from torch import Tensor

from ealn_plugin.losses.checks import check_count
from ealn_plugin.losses.coupled_clusters import centre_triplets, centres_of
from ealn_plugin.losses.distance import distance

_ROUNDS = 5


@torch.no_grad()
def group_images(embeddings: Tensor, pids: Tensor, count: int = 2) -> Tensor:
    """K-means within the images of each identity of a batch -> group [n], from 0 to count - 1.

    Its first centres are the image farthest from the identity's mean and then, one after the other, the image farthest
    from all centres so far; five rounds follow. Nothing in it is drawn by chance.

    Args:
        embeddings: [n, dim]. pids: [n] identities. count: groups of each; of fewer images each is one of its own.
    """
    check_count(groups=count)
    if not len(embeddings):
        return pids.clone()
    same = pids.unsqueeze(0) == pids.unsqueeze(1)
    centres = []
    nearest = distance(embeddings, centres_of(embeddings, same))
    for number in range(count):
        farthest = torch.where(same, nearest.unsqueeze(0), torch.full_like(nearest, -1.0).unsqueeze(0)).argmax(dim=1)
        centres.append(embeddings[farthest])
        away = distance(embeddings, centres[-1])
        nearest = away if not number else torch.minimum(nearest, away)
    groups = _nearest_centre(embeddings, centres)
    for _ in range(_ROUNDS):
        members = [same & (groups == number).unsqueeze(0) for number in range(count)]
        centres = [
            torch.where(own.any(1, keepdim=True), centres_of(embeddings, own), centre)
            for own, centre in zip(members, centres)
        ]
        groups = _nearest_centre(embeddings, centres)
    return groups


def _nearest_centre(embeddings: Tensor, centres: list[Tensor]) -> Tensor:
    """Which of its identity's centres, [n, dim] each, is the nearest to each image: [n]."""
    return torch.stack([distance(embeddings, centre) for centre in centres]).argmin(dim=0)


def mean_valued_triplets(embeddings: Tensor, pids: Tensor, groups: Tensor, inter: float, intra: float) -> list[Tensor]:
    """The two losses of the mean-valued variant, [L_inter, L_intra], scalars.

    L_inter: ``centre_triplets`` of identities, every image of another identity being a negative. L_intra: the same of
    the groups, images of the identity's other groups being the negatives.

    Args:
        embeddings: [n, dim], L2-normalized. pids, groups: [n]. inter, intra: the margins alpha_1 and alpha_2.
    """
    same = pids.unsqueeze(0) == pids.unsqueeze(1)
    group = same & (groups.unsqueeze(0) == groups.unsqueeze(1))
    return [centre_triplets(embeddings, same, ~same, inter), centre_triplets(embeddings, group, same & ~group, intra)]
