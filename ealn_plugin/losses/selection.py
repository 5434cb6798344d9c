"""The choice of positives x_p and negatives x_n inside a batch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ealn_plugin.losses.checks import check_choice
from ealn_plugin.losses.transfer import to_device

NEGATIVES = ("random", "semi_hard", "hardest", "attribute")


def _draw(candidates: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """One candidate per row of candidates [n, n] bool, uniformly -> (index [n], valid [n]).

    The numbers are drawn on the CPU (from `generator`, or torch's global state), whatever the device, so that
    a seed gives the same choice everywhere. Rows without candidates get their own index and are not valid.
    """
    count = candidates.shape[0]
    own = torch.arange(count, device=candidates.device)
    valid = candidates.any(dim=1)
    if count == 0:
        return own, valid
    # Doubles: single-precision draws coincide often enough in large batches to favour the first candidate.
    scores = torch.rand(count, count, generator=generator, dtype=torch.float64)
    chosen = to_device(scores, candidates.device).masked_fill(~candidates, -1.0).argmax(dim=1)
    return torch.where(valid, chosen, own), valid


def _same_identity(pids: Tensor) -> Tensor:
    return pids.unsqueeze(0) == pids.unsqueeze(1)


def positive_mask(pids: Tensor) -> Tensor:
    """[n, n] bool: another image of the same identity."""
    return _same_identity(pids) & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)


def negative_mask(pids: Tensor) -> Tensor:
    """[n, n] bool: an image of another identity."""
    return ~_same_identity(pids)


@torch.no_grad()
def select_positives(pids: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """x_p: for each image a random other image of its identity.

    pids [n] -> (index [n], valid [n] bool); an image alone in its identity is not valid and indexes itself.
    generator: a torch.Generator on the CPU, None for torch's global state.
    """
    return _draw(positive_mask(pids), generator)


@torch.no_grad()
def select_negatives(
    distances: Tensor | None,
    pids: Tensor,
    strategy: str = "random",
    groups: Tensor | None = None,
    generator: torch.Generator | None = None,
    d_positive: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """x_n: for each image an image of another identity in the batch.

    Args:
        distances [n, n]: between the images, None where the strategy does not need them.
        pids [n]: identities.
        strategy: 'random', the paper's; 'hardest', the nearest; 'semi_hard', the nearest that is farther than
            the positive, or the farthest of all if none is (Schroff et al., FaceNet, CVPR 2015; the fallback
            is that of its usual implementations); 'attribute', random among images of the same group, or
            among all if there are none.
        groups [n]: group (colour and type) of each image, -1 where unknown; for 'attribute'.
        generator: a torch.Generator on the CPU for the random strategies, None for torch's global state.
        d_positive [n]: d(x, x_p), for 'semi_hard'.

    Returns (index [n], valid [n] bool); images without a negative are not valid and index themselves.
    Raises ValueError for an unknown strategy or one without its tensors.
    """
    check_choice("negatives", strategy, NEGATIVES)
    candidates = negative_mask(pids)
    if strategy == "random":
        return _draw(candidates, generator)
    if strategy == "attribute":
        groups = _require(groups, strategy, "groups")
        alike = candidates & (groups.unsqueeze(0) == groups.unsqueeze(1)) & (groups >= 0).unsqueeze(1)
        return _draw(torch.where(alike.any(dim=1, keepdim=True), alike, candidates), generator)
    distances = _require(distances, strategy, "distances")
    if strategy == "hardest":
        return _nearest(distances, candidates)
    d_positive = _require(d_positive, strategy, "d_positive")
    beyond = candidates & (distances > d_positive.unsqueeze(1))
    nearest, has_nearest = _nearest(distances, beyond)
    farthest, valid = _nearest(-distances, candidates)
    return torch.where(has_nearest, nearest, farthest), valid


def _nearest(distances: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Candidate with the smallest distance per row -> (index [n], valid [n]); the own index without any."""
    own = torch.arange(len(candidates), device=candidates.device)
    valid = candidates.any(dim=1)
    if len(candidates) == 0:
        return own, valid
    return torch.where(valid, distances.masked_fill(~candidates, math.inf).argmin(dim=1), own), valid


def _require(tensor: Tensor | None, strategy: str, name: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"negatives '{strategy}' need `{name}`, but None was given; pass it or choose 'random'")
    return tensor


@torch.no_grad()
def select_partners(pids: Tensor, views: Tensor, groups: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each image a random image of another identity whose regions can be pasted into it -> index [n].

    Of the same view and group where there is one, else of the same view, else any; an image without any other identity
    in the batch gets its own index. pids, views, groups: [n]; -1 in views or groups is unknown and equals nothing.
    generator: a torch.Generator on the CPU, None for torch's global state.
    """
    others = negative_mask(pids)
    same_view = others & _equal(views)
    index, _ = _draw(first_of([same_view & _equal(groups), same_view, others]), generator)
    return index


@torch.no_grad()
def select_own(pids: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the next image of its identity and view in the batch -> (index [n], valid [n] bool).

    pids, views: [n]; images whose views are unknown are taken to be of one view. Without one the own index.
    """
    candidates = positive_mask(pids) & (views.unsqueeze(0) == views.unsqueeze(1))
    own = torch.arange(len(pids), device=pids.device)
    after = (own.unsqueeze(0) - own.unsqueeze(1)) % max(len(pids), 1)
    valid = candidates.any(dim=1)
    nearest = after.masked_fill(~candidates, len(pids)).argmin(dim=1) if len(pids) else own
    return torch.where(valid, nearest, own), valid


@torch.no_grad()
def select_shown(
    pids: Tensor, views: Tensor, wanted: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """For each image a random image of its identity that shows the wanted view -> (index [n], valid [n] bool).

    pids, views, wanted: [n]. Without such an image the own index. generator: as in ``select_positives``.
    """
    return _draw(_same_identity(pids) & (views.unsqueeze(0) == wanted.unsqueeze(1)), generator)


def first_of(masks: Sequence[Tensor]) -> Tensor:
    """Per row the first of the masks, each [n, m] bool, in which anything is set -> [n, m] bool."""
    result = masks[-1]
    for mask in reversed(masks[:-1]):
        result = torch.where(mask.any(dim=1, keepdim=True), mask, result)
    return result


def _equal(labels: Tensor) -> Tensor:
    return (labels.unsqueeze(0) == labels.unsqueeze(1)) & (labels >= 0).unsqueeze(1)
