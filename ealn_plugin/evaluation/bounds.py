"""What could be reached at most: figures of perfect knowledge, and gains as a share of what the truth gives.

A gain of a generator says little alone: the room for it differs from dataset to dataset. Where the vehicles are
rendered the room is known, and a gain can be read beside it.
"""

import csv
import dataclasses
import math
import os

import numpy as np
from scipy import stats

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import evaluate_protocols
from ealn_plugin.system.entrances import command

ATTRIBUTES = "attributes.csv"
DRAWS = 20
"""Random orders of equal distances that are averaged; the mean over them then moves by less than 0.1% mAP."""
_SPREAD = 0.5  # of the numbers that break ties: squared, far below 2, the distance between two groups


@dataclasses.dataclass(frozen=True)
class Share:
    """A gain as a share of a room, both means over seeds, and the 95% interval of their ratio.

    Attributes:
        value: the ratio, 1 where the gain fills the room; NaN where there is no room.
        low, high: bounds of the interval; NaN with fewer than two seeds, or where the room is not surely above zero.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


def share_of_room(gains: list[float], rooms: list[float], confidence: float = 0.95) -> Share:
    """The ratio of two means of paired values, with Fieller's interval.

    A ratio r is inside where the t-test of ``gains - r * rooms`` does not reject the mean 0 (Fieller, Some problems in
    interval estimation, Journal of the Royal Statistical Society B 16, 1954). It takes the uncertainty of the room into
    account, and has no end where the room may be zero.

    Args:
        gains, rooms: differences to the baseline, seed by seed in the same order, of a scheme and of the truth.
        confidence: of the interval, in (0, 1).
    Raises:
        ValueError: lists of different lengths, or empty.
    """
    if len(gains) != len(rooms) or not len(gains):
        raise ValueError(f"there are {len(gains)} gains and {len(rooms)} rooms, expected one of each for every seed")
    gain, room = np.mean(gains), np.mean(rooms)
    if not room > 0:
        return Share(math.nan)
    count = len(gains)
    if count < 2:
        return Share(float(gain / room))
    # (gain - r room)^2 <= t^2 var(gains - r rooms) / n is a quadratic in r
    (var_gain, covariance), (_, var_room) = np.cov(gains, rooms) / count
    factor = stats.t.ppf(0.5 + confidence / 2, count - 1) ** 2
    square, linear = room**2 - factor * var_room, gain * room - factor * covariance
    if square <= 0:
        return Share(float(gain / room))
    root = math.sqrt(max(0.0, linear**2 - square * (gain**2 - factor * var_gain)))
    return Share(float(gain / room), float((linear - root) / square), float((linear + root) / square))


# ---------------------------------------------------------------------------------------------- perfect appearance
def read_groups(folder: str) -> dict[int, int]:
    """Which vehicles of a rendered dataset share their model and their colour.

    Args:
        folder: the dataset's folder with its attributes.csv.
    Returns:
        {vehicle number: number of its group}
    Raises:
        FileNotFoundError: there is no such file. ValueError: it is not the list that the renderer writes.
    """
    path = os.path.join(folder, ATTRIBUTES)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path!r} does not exist, expected a dataset of {command('make-synthetic')}")
    numbers: dict[tuple[str, str], int] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [(int(row["vehicle"]), (row["model"], row["colour"])) for row in csv.DictReader(file, strict=True)]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{path!r} is not the list that {command('make-synthetic')} writes "
            f"({type(error).__name__}: {error}); render "
            "the dataset again"
        ) from error
    return {vehicle: numbers.setdefault(group, len(numbers)) for vehicle, group in rows}


def perfect_appearance(
    features: Features,
    groups: dict[int, int],
    names: tuple[str, ...],
    ranks: tuple[int, ...] = (1, 5, 10),
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """What perfect knowledge of model and colour, and of nothing else, would score.

    Every gallery image of the query's group is equally near and all others are equally far; equal distances are put in
    a random order, and the figures are means over several such orders. Between tracks (veri_track) the order is that of
    their nearest images, so that long tracks come a little earlier.

    Args:
        features: of any network, for the labels of the test images alone. groups: {vehicle number: group}.
        names: of protocols. ranks: of the CMC. draws: random orders. seed: of them.
    Returns:
        {protocol: {"mAP": float in [0, 1], "rank1": ..., ...}}
    Raises:
        ValueError: a vehicle has no group.
    """
    missing = sorted(set(features.pids.tolist()) - groups.keys())
    if missing:
        raise ValueError(f"vehicle {missing[0]} has no model and colour; render the dataset again")
    _, group = np.unique([groups[pid] for pid in features.pids.tolist()], return_inverse=True)
    random, found = np.random.default_rng(seed), []
    for _ in range(draws):
        known = np.zeros((len(features), group.max() + 2), dtype=np.float32)
        known[np.arange(len(features)), group] = 1.0
        known[:, -1] = random.random(len(features)) * _SPREAD
        found.append(evaluate_protocols(dataclasses.replace(features, embeddings=known), names, ranks=ranks))
    return {
        name: {key: float(np.mean([one[name][key] for one in found])) for key in metrics if not key.endswith("_std")}
        for name, metrics in found[0].items()
    }
