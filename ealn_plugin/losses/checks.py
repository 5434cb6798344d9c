"""Checks of options and margins: one sentence for each value that cannot work."""

import math
from collections.abc import Collection

DISTANCES = {"squared": 4.0, "euclidean": 2.0}  # name -> largest value between unit vectors


def check_not_negative(name: str, value: float) -> None:
    """Raise ValueError, also for NaN; ``name`` is what the user calls the option."""
    if not value >= 0:
        raise ValueError(f"{name} is {value}, expected 0 or more")


def check_count(**counts: int) -> None:
    """Raise ValueError unless every count is 1 or more; the names are what the user calls them."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError unless value is one of the choices; `name` is what the user calls the option."""
    if value not in choices:
        allowed = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(f"{name} is '{value}', expected one of {allowed}; correct the option")


def check_margins(kind: str = "squared", **margins: float) -> None:
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
