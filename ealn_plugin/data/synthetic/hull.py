"""A curved closed surface, of which bodies, cabins and cargo boxes are made."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Hull:
    """A closed wall around the vehicle with a curved lid: a body below the windows, a cabin, a cargo box.

    The wall's plan is symmetric; `t` in [0, 1] is the height on it. Metres, x forward, y left, z up.

    Attributes:
        front, rear, half_width: extent at the widest level.
        nose, tail: [k, 2] plan of the ends: (distance from the end, fraction of the half width).
        levels: [m, 4]: t, how far the front, the rear and the sides stand back at that height.
        bottom, top: [k, 2] side view of the lower and the upper edge: (x ascending, z).
        crown: how much the lid's middle stands above its edges.
    """

    front: float
    rear: float
    half_width: float
    nose: np.ndarray
    tail: np.ndarray
    levels: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    crown: float

    def place(self, x: Any, y: Any, t: Any) -> np.ndarray:
        """Map plan coordinates (x, y, at the widest level) and height t to points [..., 3]."""
        x, y, t = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(t, float))
        back_front, back_rear, back_side = (np.interp(t, self.levels[:, 0], self.levels[:, k]) for k in (1, 2, 3))
        span = self.front - self.rear
        px = self.rear + back_rear + (x - self.rear) * (span - back_front - back_rear) / span
        py = y * (1 - back_side / self.half_width)
        low = np.interp(px, self.bottom[:, 0], self.bottom[:, 1])
        high = np.interp(px, self.top[:, 0], self.top[:, 1])
        return np.stack([px, py, low + (high - low) * t], axis=-1)

    def front_point(self, u: Any, t: Any) -> np.ndarray:
        """Return points on the front face: u in [-1, 1] from right to left, t in [0, 1] upwards."""
        u = np.asarray(u, float)
        return self.place(self.front - np.interp(abs(u), self.nose[:, 1], self.nose[:, 0]), u * self.half_width, t)

    def rear_point(self, u: Any, t: Any) -> np.ndarray:
        """Return points on the rear face: u in [-1, 1] from right to left, t in [0, 1] upwards."""
        u = np.asarray(u, float)
        return self.place(self.rear + np.interp(abs(u), self.tail[:, 1], self.tail[:, 0]), u * self.half_width, t)

    def side_y(self, x: Any) -> Any:
        """Return the half width at plan position x."""
        x = np.asarray(x, float)
        ahead = np.interp(self.front - x, self.nose[:, 0], self.nose[:, 1])
        behind = np.interp(x - self.rear, self.tail[:, 0], self.tail[:, 1])
        return self.half_width * np.minimum(ahead, behind)

    def side_point(self, x: Any, t: Any, side: int) -> np.ndarray:
        """Return points on a side (side +1 left, -1 right) whose own x is x, at height t.

        An x on the rounded ends, or beyond them, gives the nearest point of the side.
        """
        x, t = np.asarray(x, float), np.asarray(t, float)
        back_front, back_rear = (np.interp(t, self.levels[:, 0], self.levels[:, k]) for k in (1, 2))
        span = self.front - self.rear
        plan = self.rear + (x - self.rear - back_rear) * span / (span - back_front - back_rear)
        plan = np.clip(
            plan,
            self.rear + np.interp(0.93, self.tail[:, 1], self.tail[:, 0]),
            self.front - np.interp(0.93, self.nose[:, 1], self.nose[:, 0]),
        )
        return self.place(plan, side * self.side_y(plan), t)

    def side_fraction(self, fraction: Any, t: Any, side: int) -> np.ndarray:
        """Return points on a side: fraction 0 at the front end and 1 at the rear end of the level t."""
        plan = self.front - np.asarray(fraction, float) * (self.front - self.rear)
        return self.place(plan, side * self.side_y(plan), t)

    def top_point(self, x: Any, v: Any) -> np.ndarray:
        """Return points on the lid: plan x, v in [-1, 1] from right to left."""
        x, v = np.broadcast_arrays(np.asarray(x, float), np.asarray(v, float))
        edge = self.side_y(x)
        point = self.place(x, v * edge, 1.0)
        point[..., 2] += self.crown * (1 - v**2) * (edge / self.half_width) ** 2
        return point

    def half_contour(self, stations: Any) -> np.ndarray:
        """Return plan points [k, 2] from the middle of the front along the left side to the middle of the rear."""
        front_u = np.array([0, 0.32, 0.6, 0.8, 0.92])
        front = np.stack(
            [self.front - np.interp(front_u, self.nose[:, 1], self.nose[:, 0]), front_u * self.half_width], axis=1
        )
        rear = np.stack(
            [self.rear + np.interp(front_u, self.tail[:, 1], self.tail[:, 0]), front_u * self.half_width], axis=1
        )[::-1]
        x = np.linspace(front[-1, 0], rear[0, 0], stations + 2)[1:-1]
        return np.concatenate([front, np.stack([x, self.side_y(x)], axis=1), rear])

    def wall_grid(self, stations: Any, heights: Any) -> np.ndarray:
        """Return the wall as a grid [heights, points around, 3] that closes on itself."""
        half = self.half_contour(stations)
        ring = np.concatenate([half, (half * (1, -1))[::-1][1:]])
        return np.stack([self.place(ring[:, 0], ring[:, 1], t) for t in heights])

    def lid_grid(self, stations: Any, columns: int = 5) -> np.ndarray:
        """Return the lid as a grid [stations, columns, 3], front to rear."""
        half = self.half_contour(stations)
        v = np.linspace(1, -1, columns)
        point = self.place(half[:, :1], half[:, 1:] * v, 1.0)
        bulge = (half[:, 1:] / self.half_width) ** 2 * (1 - v**2)
        point[..., 2] += self.crown * bulge
        return point
