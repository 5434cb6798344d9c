"""Distances between embeddings and the hinges on them: Eq. 2-5, 9 and 10 of the paper.

Embeddings are L2-normalized, so the squared distance of Eq. 2 lies in [0, 4] and its root in [0, 2].
A hinge is averaged over its valid entries; with none it is a zero that can still be differentiated.
"""

import contextlib
import math

import torch
import torch.nn.functional as F

from .transfer import to_device

DISTANCES = {"squared": 4.0, "euclidean": 2.0}  # name -> largest value between unit vectors
NEGATIVES = ("random", "semi_hard", "hardest", "attribute")


def check_choice(name, value, choices):
    """Raise ValueError unless value is one of the choices; `name` is what the user calls the option."""
    if value not in choices:
        allowed = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(f"{name} is '{value}', expected one of {allowed}; correct the option")


def check_margins(kind="squared", **margins):
    """Raise ValueError for margins (alpha, beta1, beta2) that distances of this kind cannot keep.

    Each must lie in [0, 4] for 'squared' and in [0, 2] for 'euclidean' distances. The belt of Eq. 3,
    beta1 <= d(x, G(x)) <= d(x, x_n) - beta2, is empty unless beta1 + beta2 is within the same bound.
    """
    check_choice("distance", kind, DISTANCES)
    largest = DISTANCES[kind]
    for name, value in margins.items():
        if not (math.isfinite(value) and 0.0 <= value <= largest):
            raise ValueError(
                f"{name} is {value}, expected a value in [0, {largest:g}], the range of {kind} "
                f"distances between unit vectors; correct it or the distance option"
            )
    belt = margins.get("beta1", 0.0) + margins.get("beta2", 0.0)
    if belt > largest:
        raise ValueError(
            f"beta1 + beta2 is {belt:g}, more than {largest:g}, the largest {kind} distance between unit "
            f"vectors, so no image can satisfy Eq. 3; lower one of them"
        )


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


def masked_mean(values, valid=None):
    """Mean of values [n] where valid [n, bool] (all if None); without any, a zero with a zero gradient."""
    if valid is None:
        return values.sum() / max(values.numel(), 1)
    kept = torch.where(valid, values, torch.zeros_like(values))
    return kept.sum() / valid.sum().clamp(min=1)


def hard_generator_loss(d_fake, d_negative, beta1, beta2, valid=None):
    """Eq. 4: [beta1 - d(x, G_hard(x))]+ + [d(x, G_hard(x)) + beta2 - d(x, x_n)]+, averaged.

    d_fake, d_negative [n]: d(x, G_hard(x)) and d(x, x_n); valid [n] bool, None for all. Returns a scalar.
    """
    values = F.relu(beta1 - d_fake) + F.relu(d_fake + beta2 - d_negative)
    return masked_mean(values, valid)


def hard_embedding_loss(d_positive, d_fake, alpha, valid=None):
    """Eq. 5: [d(x, x_p) + alpha - d(x, G_hard(x))]+, averaged.

    d_positive, d_fake [n]: d(x, x_p) and d(x, G_hard(x)); valid [n] bool, None for all. Returns a scalar.
    """
    return masked_mean(F.relu(d_positive + alpha - d_fake), valid)


def view_generator_loss(d_fake, d_negative, alpha, valid=None):
    """Eq. 9: [d(x, G_view(x)) + alpha - d(x, x_n)]+, averaged (the minus sign inside d is a misprint).

    d_fake, d_negative [n]: d(x, G_view(x)) and d(x, x_n); valid [n] bool, None for all. Returns a scalar.
    """
    return masked_mean(F.relu(d_fake + alpha - d_negative), valid)


def view_embedding_loss(d_positive, d_fake, alpha, valid=None):
    """Eq. 10: [d(x, x_p) + alpha - d(x, G_view(x))]+, averaged.

    d_positive, d_fake [n]: d(x, x_p) and d(x, G_view(x)); valid [n] bool, None for all. Returns a scalar.
    """
    return masked_mean(F.relu(d_positive + alpha - d_fake), valid)


def _draw(candidates, generator):
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


def _same_identity(pids):
    return pids.unsqueeze(0) == pids.unsqueeze(1)


def positive_mask(pids):
    """[n, n] bool: another image of the same identity."""
    return _same_identity(pids) & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)


def negative_mask(pids):
    """[n, n] bool: an image of another identity."""
    return ~_same_identity(pids)


@torch.no_grad()
def select_positives(pids, generator=None):
    """x_p: for each image a random other image of its identity.

    pids [n] -> (index [n], valid [n] bool); an image alone in its identity is not valid and indexes itself.
    generator: a torch.Generator on the CPU, None for torch's global state.
    """
    return _draw(positive_mask(pids), generator)


@torch.no_grad()
def select_negatives(distances, pids, strategy="random", groups=None, generator=None, d_positive=None):
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
        _require(groups, strategy, "groups")
        alike = candidates & (groups.unsqueeze(0) == groups.unsqueeze(1)) & (groups >= 0).unsqueeze(1)
        return _draw(torch.where(alike.any(dim=1, keepdim=True), alike, candidates), generator)
    _require(distances, strategy, "distances")
    if strategy == "hardest":
        return _nearest(distances, candidates)
    _require(d_positive, strategy, "d_positive")
    beyond = candidates & (distances > d_positive.unsqueeze(1))
    nearest, found = _nearest(distances, beyond)
    farthest, valid = _nearest(-distances, candidates)
    return torch.where(found, nearest, farthest), valid


def _nearest(distances, candidates):
    """Candidate with the smallest distance per row -> (index [n], valid [n]); the own index without any."""
    own = torch.arange(len(candidates), device=candidates.device)
    valid = candidates.any(dim=1)
    if len(candidates) == 0:
        return own, valid
    return torch.where(valid, distances.masked_fill(~candidates, math.inf).argmin(dim=1), own), valid


def _require(tensor, strategy, name):
    if tensor is None:
        raise ValueError(f"negatives '{strategy}' need `{name}`, but None was given; pass it or choose 'random'")
