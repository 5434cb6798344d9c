"""From a similarity to the probability that a hit shows the same vehicle, fitted on labelled images."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

HITS = 20
"""Of each labelled image so many nearest ones of other cameras count, as a person would be shown them."""
FEWEST = 10
"""Vehicles that are needed, and pairs of each kind in each half of them."""
BINS = 10
_RIDGE = 1e-8  # keeps the fit finite where similarities separate the vehicles


@dataclass(frozen=True)
class Calibration:
    """P(same vehicle | similarity) = 1 / (1 + exp(-(slope * similarity + intercept))) (Platt, 1999).

    It holds for hits among images like those that it was fitted on: the more look-alikes a gallery has, the less a
    similarity says.

    Attributes:
        slope, intercept: of the logit.
        vehicles, pairs: that it was fitted on. error: mean distance of probabilities and shares on the half of the
            vehicles that the other half was fitted without, weighed by pairs (expected calibration error), in [0, 1].
        shares: that half by probability: [mean probability, share of same vehicles, pairs] for each of ``BINS``.
        source: what the user called the images.
    """

    slope: float
    intercept: float
    vehicles: int
    pairs: int
    error: float
    shares: list
    source: str = ""

    def probability(self, similarity: Any) -> Any:
        """In [0, 1], of a similarity or an array of them."""
        return 1 / (1 + np.exp(-np.clip(self.slope * np.asarray(similarity) + self.intercept, -500, 500)))

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``Calibration(**values)`` is it again."""
        return asdict(self)


def fit(
    features: NDArray[np.float32],
    vehicles: Sequence[str],
    cameras: Sequence[str],
    source: str = "",
    seed: int = 0,
    most: int = 0,
) -> Calibration:
    """Fit on the nearest images of each labelled image.

    Args:
        features: float32 [n, dim], L2-normalised.
        vehicles, cameras: labels of the images, '' where a camera is unknown; images of an image's own camera do not
            count: one background makes vehicles alike, and its own vehicle was there a moment before.
        source: what the images are called. seed: of the division of the vehicles, and of the draw of those that ask.
        most: images whose nearest ones are looked at, 0: all.
    Raises:
        ValueError: too few vehicles, or too few of their images are near; one sentence.
    """
    asking = np.arange(len(features))
    if most and most < len(features):
        asking = np.sort(np.random.default_rng(seed).choice(asking, most, replace=False))
    similarity, same, owner = _pairs(np.asarray(features), np.asarray(vehicles), np.asarray(cameras), asking)
    names = np.unique(owner)
    held_out = np.isin(owner, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
    for half in (held_out, ~held_out):
        if len(names) < FEWEST or min(same[half].sum(), (~same[half]).sum()) < FEWEST:
            raise ValueError(
                f"{source or 'the images'}: {len(names)} vehicles have hits, {int(same.sum())} of their own images and "
                f"{int((~same).sum())} of others, expected at least {FEWEST} vehicles and {FEWEST} hits of each kind "
                "in both halves of them; give more labelled images"
            )
    half_fit = _fit(similarity[~held_out], same[~held_out])
    shares, error = _reliability(_logistic(similarity[held_out], *half_fit), same[held_out])
    slope, intercept = _fit(similarity, same)
    return Calibration(slope, intercept, len(names), len(same), error, shares, source)


def _pairs(
    features: NDArray[np.float32], vehicles: NDArray[Any], cameras: NDArray[Any], asking: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[Any]]:
    """(similarity, whether the same vehicle, the asking image's vehicle) of each hit of the rows ``asking``."""
    similarities, same, owner = [], [], []
    for row in asking:
        near = features @ features[row]
        near[row] = -np.inf
        if cameras[row]:
            near[cameras == cameras[row]] = -np.inf
        hits = np.argsort(-near, kind="stable")[:HITS]
        hits = hits[np.isfinite(near[hits])]
        similarities.append(near[hits])
        same.append(vehicles[hits] == vehicles[row])
        owner.append(np.repeat(vehicles[row], len(hits)))
    if not similarities:
        return np.empty(0), np.empty(0, bool), np.empty(0, str)
    return np.concatenate(similarities).astype(np.float64), np.concatenate(same), np.concatenate(owner)


def _logistic(similarity: NDArray[np.float64], slope: float, intercept: float) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(slope * similarity + intercept, -500, 500)))


def _fit(similarity: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[float, float]:
    sign = np.where(same, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> float:
        logits = values[0] * similarity + values[1]
        return float(np.logaddexp(0, -sign * logits).mean() + _RIDGE * values[0] ** 2 / 2)

    def gradient(values: NDArray[np.float64]) -> NDArray[np.float64]:
        pull = -sign / (1 + np.exp(np.clip(sign * (values[0] * similarity + values[1]), -500, 500)))
        return np.array([(pull * similarity).mean() + _RIDGE * values[0], pull.mean()])

    share = float(same.mean())
    start = np.array([1.0, math.log(share / (1 - share)) - float(similarity.mean())])
    found = optimize.minimize(loss, start, jac=gradient, method="BFGS").x
    return float(found[0]), float(found[1])


def _reliability(probability: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[list[list[float]], float]:
    """([mean probability, share of same vehicles, pairs] of the bins that hold pairs, their weighted mean distance)."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    shares = [
        [float(probability[bins == number].mean()), float(same[bins == number].mean()), int((bins == number).sum())]
        for number in range(BINS)
        if (bins == number).any()
    ]
    return shares, sum(count * abs(mean - share) for mean, share, count in shares) / len(same)
