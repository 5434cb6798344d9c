"""Where and when: how likely a vehicle got from one camera to the other in the time between, added to the distances.

Two forms. ``DistanceAndTime`` is that of Liu et al. (ECCV 2016): images near each other in space and time are likelier
to show one vehicle. ``TransitionTimes`` is fitted where vehicles are labelled: how long vehicles take between two
cameras, log-normal for each pair of cameras as in Wang et al. (ICCV 2017), against how far apart in time the images of
different vehicles are there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FORMS = ("distance", "transitions")
"""Names of the two rules."""
FEWEST = 8
"""Passages between two cameras from which their own transition times are fitted; pairs with fewer share one fit."""
_LEAST_SECONDS, _LEAST_DEVIATION = 1.0, 0.05  # of a gap, and of the logarithm of gaps


class Passages(NamedTuple):
    """Images before cameras: times, float64 [n], and cameras, int64 [n], from 0."""

    times: NDArray[np.float64]
    cameras: NDArray[np.int64]


class Plausibility(Protocol):
    """What two passages say of each other; ``form`` is the name of the rule."""

    form: str

    def penalties(self, asked: Passages, found: Passages) -> NDArray[np.float64]:
        """float64 [q, g] in [0, 1], higher where one vehicle is less likely."""
        ...


@dataclass(frozen=True)
class DistanceAndTime:
    """Liu et al. (ECCV 2016): ST(i, j) = |T_i - T_j| / T_max * D(C_i, C_j) / D_max.

    Attributes:
        distances: [cameras, cameras] between cameras, in any unit.
        longest: T_max, the time between the first image and the last, in the unit of the times.
    """

    distances: NDArray[np.float64]
    longest: float
    form: str = "distance"

    def penalties(self, asked: Passages, found: Passages) -> NDArray[np.float64]:
        """See ``Plausibility``."""
        apart = self.distances[asked.cameras[:, None], found.cameras[None]] / max(float(self.distances.max()), 1e-12)
        gaps = np.abs(asked.times[:, None] - found.times[None]) / max(self.longest, 1e-12)
        return np.clip(apart * gaps, 0, 1)


@dataclass(frozen=True)
class TransitionTimes:
    """1 - the probability that two passages are one vehicle's, before the images are looked at, at even odds.

    Attributes:
        own, any: {pair of cameras: (mean, deviation)} of the logarithm of the seconds between two passages of one
            vehicle, and of two vehicles; the pair (-1, -1) serves those with too few passages.
    """

    own: dict = field(repr=False)
    any: dict = field(repr=False)
    form: str = "transitions"

    @classmethod
    def fit(
        cls, pids: Sequence[int], cameras: Sequence[int], times: Sequence[float], seed: int = 0, pairs: int = 200_000
    ) -> "TransitionTimes":
        """Fit on labelled images.

        Args:
            pids, cameras, times: [n] vehicle, camera and time of each image; images of one vehicle before one camera
                count as one passage, at their mean time.
            seed, pairs: of the draw of passages of different vehicles.
        Raises:
            ValueError: not one vehicle passes two cameras at known times.
        """
        passages: dict[tuple[int, int], list[float]] = {}
        for pid, camera, time in zip(pids, cameras, times):
            if math.isfinite(time):
                passages.setdefault((int(pid), int(camera)), []).append(float(time))
        vehicle, place = np.array(list(passages), dtype=np.int64).reshape(-1, 2).T
        when = np.array([np.mean(found) for found in passages.values()])
        mine = _pairs_of_one(vehicle)
        mine = mine[:, place[mine[0]] != place[mine[1]]]
        if not mine.shape[1]:
            raise ValueError(
                "no vehicle of the training images passes two cameras at known times, expected some; use the form "
                "'distance', or leave where and when out"
            )
        every = np.random.default_rng(seed).integers(0, len(when), (2, pairs))
        every = every[:, (place[every[0]] != place[every[1]]) & (vehicle[every[0]] != vehicle[every[1]])]
        if not every.shape[1]:
            raise ValueError(
                "the training images show one vehicle, or one camera, expected several; leave where and when out"
            )
        return cls(_fits(when, place, mine), _fits(when, place, every))

    def penalties(self, asked: Passages, found: Passages) -> NDArray[np.float64]:
        """See ``Plausibility``."""
        gaps = _logarithms(asked.times[:, None], found.times[None])
        result = np.empty(gaps.shape)
        for camera in np.unique(asked.cameras):
            rows = np.flatnonzero(asked.cameras == camera)
            for target in np.unique(found.cameras):
                block = np.ix_(rows, np.flatnonzero(found.cameras == target))
                pair = (min(camera, target), max(camera, target))
                own, every = (_density(gaps[block], *fits.get(pair, fits[-1, -1])) for fits in (self.own, self.any))
                result[block] = 1 / (1 + np.exp(np.clip(own - every, -50, 50)))
        return result


@dataclass(frozen=True)
class WhereAndWhen:
    """The penalties of a set of images, ready to be added to their distances.

    Attributes:
        times: float64 [n], NaN where unknown. cameras: int64 [n]. plausibility: ``Plausibility``.
        weight: of a penalty of 1, against the mean distance of the ranking.
    """

    times: NDArray[np.float64]
    cameras: NDArray[np.int64]
    plausibility: Plausibility
    weight: float

    def added_to(
        self, distances: NDArray[np.floating], query: NDArray[np.int64], gallery: NDArray[np.int64]
    ) -> NDArray[np.floating]:
        """distances / their mean + weight * penalties; images without a time have the mean penalty of the others.

        Args:
            distances: [q, g] of the rows ``query`` and ``gallery``.
        """
        asked, found = (Passages(self.times[rows], self.cameras[rows]) for rows in (query, gallery))
        penalties = self.plausibility.penalties(asked, found)
        unknown = ~np.isfinite(penalties) | ~np.isfinite(self.times[query])[:, None] | ~np.isfinite(self.times[gallery])
        if unknown.all():
            return distances
        penalties[unknown] = penalties[~unknown].mean()
        scale = max(float(distances.mean()), 1e-12)
        return (distances / scale + self.weight * penalties).astype(distances.dtype)


def _logarithms(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(np.abs(one - other), _LEAST_SECONDS))


def _density(logarithms: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """Logarithm of a normal density, but for a constant."""
    return -0.5 * ((logarithms - mean) / deviation) ** 2 - math.log(deviation)


def _fits(when: NDArray[np.float64], place: NDArray[np.int64], pairs: NDArray[np.int64]) -> dict:
    gaps = _logarithms(when[pairs[0]], when[pairs[1]])
    between = np.sort(place[pairs], axis=0)
    fits = {(-1, -1): (float(gaps.mean()), max(float(gaps.std()), _LEAST_DEVIATION))}
    for pair in np.unique(between, axis=1).T:
        mine = gaps[(between == pair[:, None]).all(0)]
        if len(mine) >= FEWEST:
            fits[int(pair[0]), int(pair[1])] = float(mine.mean()), max(float(mine.std()), _LEAST_DEVIATION)
    return fits


def _pairs_of_one(vehicle: NDArray[np.int64]) -> NDArray[np.int64]:
    """All pairs of rows of the same vehicle, [2, pairs]."""
    order = np.argsort(vehicle, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(vehicle[order])) + 1)
    found = [group[np.stack(np.triu_indices(len(group), 1))] for group in groups if len(group) > 1]
    return np.concatenate(found, axis=1) if found else np.empty((2, 0), dtype=np.int64)
