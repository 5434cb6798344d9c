"""Flat coloured polygons in space, the order in which a painter puts them on the canvas, and the lists of both."""

import dataclasses
from typing import Any

import numpy as np

# How a polygon answers to light (see renderer.shade): car paint, glass, dull plastic or rubber, polished parts
# and lenses, things behind glass.
PAINT, GLASS, MATTE, SHINY, INTERIOR = range(5)

# Painting stages. A vehicle's surfaces are convex enough that back-face culling and this fixed order replace a depth
# sort: what is on or above something is painted after it.
UNDERBODY, TREADS, FAR_PARTS, BODY, TOP, BED, DETAILS, WHEELS, CABIN, WINDOWS, INSIDE, ON_GLASS, NEAR_PARTS, ROOF = (
    range(14)
)


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Polygons ready to be projected and painted.

    Attributes:
        points: float32 [points, 3], the corners of all polygons one after another; metres, x forward, y left, z up.
        bounds: list of (first, end) rows of `points`, one pair a polygon.
        centres, normals: float32 [polygons, 3]; normals point outwards and have length 1.
        shading_normals: float32 [polygons, 3], smoothed over curved surfaces: what light sees.
        colours: float32 [polygons, 3], BGR in [0, 255].
        materials: int [polygons], PAINT ... INTERIOR.
        clips: list of int, the polygon that bounds this one on the screen (something behind a window), or -1.
        orders: dict (camera in front of the split, camera left of the vehicle) -> painting order, int [polygons].
        split: x of the plane between the front part and the rear part of the vehicle, metres.
        outline: float32 [n, 3], points whose convex hull throws the shadow.
        key_points, key_normals: float32 [20, 3] and [20, 3], VeRi-776's key points and the direction each faces.
    """

    points: np.ndarray
    bounds: list
    centres: np.ndarray
    normals: np.ndarray
    shading_normals: np.ndarray
    colours: np.ndarray
    materials: np.ndarray
    clips: list
    orders: dict
    split: float
    outline: np.ndarray
    key_points: np.ndarray
    key_normals: np.ndarray


class MeshBuilder:
    """Collects polygons; `build` freezes them into a Mesh. `copy` lets many identities share the model's polygons."""

    def __init__(self) -> None:
        self.polygons = []
        self.normals = []
        self.smooth = {}
        self.colours = []
        self.materials = []
        self.clips = []
        self.stages = []
        self.rear_part = False
        self.split = -1e3
        self.glass = {}

    def copy(self) -> "MeshBuilder":
        """Return a builder with the same polygons, to which marks can be added without changing this one."""
        other = MeshBuilder()
        for name in ("polygons", "normals", "colours", "materials", "clips", "stages"):
            setattr(other, name, list(getattr(self, name)))
        other.split = self.split
        other.glass = dict(self.glass)
        other.smooth = dict(self.smooth)
        return other

    def add(
        self,
        points: Any,
        colour: Any,
        material: Any,
        stage: int,
        outward: Any,
        clip: int = -1,
        far_stage: int | None = None,
    ) -> int:
        """Add one convex polygon and return its number.

        Args:
            points: [corners, 3] in metres, in order around the polygon (either way round).
            colour: BGR in [0, 255], or None for the identity's own paint.
            material: PAINT ... INTERIOR.
            stage: painting stage; one of the constants above.
            outward: [3], any direction on the visible side; None keeps the normal of the corners' order.
            clip: number of the window polygon that bounds it on the screen, or -1.
            far_stage: the stage to use when the polygon lies on the side turned away from the camera (a mirror).
        """
        points = np.asarray(points, dtype=np.float64)
        normal = newell_normal(points)
        if outward is not None and sum(a * b for a, b in zip(normal, outward)) < 0:
            normal = [-value for value in normal]
        return self._append(points, normal, colour, material, stage, clip, far_stage)

    def _append(
        self, points: np.ndarray, normal, colour: Any, material: Any, stage: int, clip: int = -1, far_stage=None
    ):
        side = points[:, 1].sum()
        near, far = stage, stage if far_stage is None else far_stage
        rank = 100 if self.rear_part else 0
        left, right = (near, far) if side >= 0 else (far, near)
        self.polygons.append(points)
        self.normals.append(normal)
        self.colours.append((-1.0, -1.0, -1.0) if colour is None else colour)
        self.materials.append(material)
        self.clips.append(clip)
        self.stages.append((rank, left, right))
        return len(self.polygons) - 1

    def add_box(
        self,
        centre: Any,
        size: Any,
        colour: Any,
        material: Any,
        stage: int,
        far_stage: int | None = None,
        clip: int = -1,
        bottom: bool = False,
    ) -> None:
        """Add the faces of an axis-parallel box; centre and size in metres, [3] each."""
        centre, half = np.asarray(centre, dtype=np.float64), np.asarray(size, dtype=np.float64) / 2
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)
        for axis in range(3):
            for sign in (-1, 1):
                if axis == 2 and sign < 0 and not bottom:
                    continue
                corners = np.insert(square, axis, sign, axis=1) * half + centre
                outward = np.zeros(3)
                outward[axis] = sign
                self.add(corners, colour, material, stage, outward, clip=clip, far_stage=far_stage)

    def add_grid(
        self, grid: np.ndarray, colour: Any, material: Any, stage: int, middle: Any, closed: bool = False
    ) -> None:
        """Add the quads of a surface grid [rows, columns, 3]; normals point away from `middle` [3].

        Light sees normals averaged over neighbouring quads; closed says that the last column meets the first.
        """
        grid = np.asarray(grid, dtype=np.float64)
        quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)
        flat, smooth = _grid_normals(quads, middle, closed)
        solid = np.ptp(quads, axis=2).max(axis=2) > 1e-6
        for row, column in zip(*np.nonzero(solid)):
            number = self._append(quads[row, column], flat[row, column], colour, material, stage)
            self.smooth[number] = smooth[row, column]

    def build(self, paint: Any, outline: np.ndarray, key_points: np.ndarray, key_normals: np.ndarray) -> Mesh:
        """Freeze into a Mesh; `paint` is the BGR colour of polygons that were added without one."""
        counts = [len(polygon) for polygon in self.polygons]
        ends = np.cumsum(counts)
        colours = np.array(self.colours, dtype=np.float32)
        colours[colours[:, 0] < 0] = paint
        normals = np.array(self.normals, dtype=np.float32)
        shading = normals.copy()
        shading[np.array(list(self.smooth), dtype=int)] = np.array(list(self.smooth.values())).reshape(-1, 3)
        points = np.concatenate(self.polygons)
        return Mesh(
            points=points.astype(np.float32),
            bounds=list(zip((ends - counts).tolist(), ends.tolist())),
            centres=(np.add.reduceat(points, ends - counts) / np.array(counts)[:, None]).astype(np.float32),  # type: ignore[arg-type]
            normals=normals,
            shading_normals=shading,
            colours=colours,
            materials=np.array(self.materials),
            clips=list(self.clips),
            orders=self._orders(),
            split=self.split,
            outline=np.asarray(outline, dtype=np.float32),
            key_points=np.asarray(key_points, dtype=np.float32),
            key_normals=np.asarray(key_normals, dtype=np.float32),
        )

    def _orders(self):
        ranks, left, right = (np.array(values) for values in zip(*self.stages))
        orders = {}
        for ahead in (False, True):
            part = -ranks if ahead else ranks  # seen from ahead, the rear part is painted first
            for on_left in (False, True):
                orders[ahead, on_left] = np.argsort(part + (left if on_left else right), kind="stable")
        return orders


def newell_normal(points: np.ndarray) -> list[float]:
    """Return the unit normal (3 floats) of a polygon [corners, 3] by Newell's method; zeros if it has no area."""
    nx = ny = nz = 0.0  # plain floats: several times faster than arrays of this size
    rows = points.tolist()
    ax, ay, az = rows[-1]
    for bx, by, bz in rows:
        nx += (ay - by) * (az + bz)
        ny += (az - bz) * (ax + bx)
        nz += (ax - bx) * (ay + by)
        ax, ay, az = bx, by, bz
    length = (nx * nx + ny * ny + nz * nz) ** 0.5
    return [nx / length, ny / length, nz / length] if length > 1e-12 else [0.0, 0.0, 0.0]


def _grid_normals(quads, middle, closed):
    """Return outward normals of quads [rows, columns, 4, 3], and their averages with the four neighbours' normals."""
    normals = np.cross(quads[:, :, 2] - quads[:, :, 0], quads[:, :, 3] - quads[:, :, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    normals *= np.where((normals * (quads.mean(axis=2) - middle)).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    padded = np.pad(normals, ((1, 1), (0, 0), (0, 0)), mode="edge")
    padded = np.pad(padded, ((0, 0), (1, 1), (0, 0)), mode="wrap" if closed else "edge")
    rows, columns = normals.shape[:2]
    total = sum(
        weight * padded[r : r + rows, c : c + columns]
        for r, c, weight in ((0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 2))
    )
    return normals, total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-9)


def disc(centre: Any, radius: float, corners: int, axis: int = 1, start: float = 0.0) -> np.ndarray:
    """Return a regular polygon [corners, 3] around `centre`, perpendicular to `axis` (0 x, 1 y, 2 z); metres."""
    angles = start + np.arange(corners) * (2 * np.pi / corners)
    flat = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    return np.insert(flat, axis, 0.0, axis=1) + np.asarray(centre)
