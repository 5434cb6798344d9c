"""The large surfaces of a vehicle: body, cabin, cargo, wheels, mirrors, underside, and its key points."""

import dataclasses
import functools
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import details, shapes, windows
from ealn_plugin.data.synthetic import mesh as m
from ealn_plugin.data.synthetic.shapes import Model

RUBBER = (34, 33, 33)
BLACK = (24, 24, 24)
PLASTIC = (52, 52, 52)
CARGO_COLOURS = ((222, 224, 224), (150, 92, 40), (70, 110, 80))


@dataclasses.dataclass(frozen=True)
class Vehicle:
    """A model's geometry: its hulls and the polygons that all identities of the model share.

    Attributes:
        model: the shapes.Model.
        body, cabin: shapes.Hull. cargo: shapes.Hull, or None for everything but trucks.
        builder: mesh.MeshBuilder with the model's polygons; copy it before adding marks.
        wheels: list of (x, side) in painting order: front left, rear left, front right, rear right.
    """

    model: shapes.Model
    body: shapes.Hull
    cabin: shapes.Hull
    cargo: Any
    builder: m.MeshBuilder
    wheels: list

    @property
    def wheel_radius(self) -> float:
        """Radius of a wheel in metres."""
        return self.model.size["wheel"]

    def wheel_centre(self, x: float, side: int) -> np.ndarray:
        """Return the middle [3] of the outer face of the wheel at x on a side (+1 left, -1 right)."""
        return np.array([x, side * (self.model.size["width"] / 2 - 0.015), self.wheel_radius])

    def finish(self, builder: m.MeshBuilder, paint: Any) -> m.Mesh:
        """Freeze `builder` (a copy of this vehicle's with marks added) in the given paint (BGR)."""
        points, normals = key_points(self)
        return builder.build(paint, outline(self), points, normals)


@functools.lru_cache(maxsize=128)
def _assemble(key: Any) -> Vehicle:
    model = key.model
    body = shapes.body_hull(model)
    cabin = shapes.cabin_hull(model, body)
    cargo = shapes.cargo_hull(model) if model.type == "truck" else None
    half, length = model.size["length"] / 2, model.size["length"]
    axles = [half - length * fraction for fraction in model.style["axles"]]
    wheels = [(x, side) for side in (1, -1) for x in axles]
    vehicle = Vehicle(model, body, cabin, cargo, m.MeshBuilder(), wheels)
    _add_surfaces(vehicle)
    details.add_front(vehicle)
    details.add_rear(vehicle)
    details.add_sides(vehicle)
    windows.add_windows(vehicle)
    for x, side in wheels:
        _add_wheel(vehicle, x, side)
    _add_mirrors(vehicle)
    return vehicle


class _Key:
    """Makes a Model usable as a cache key: its dicts are not hashable, but type, number and sizes identify it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.identity = (model.number, model.type, tuple(model.size.values()), tuple(model.style.values()))

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return self.identity == other.identity  # type: ignore[attr-defined]


def assemble(model: Model) -> Vehicle:
    """Return the Vehicle of a model; the result is shared between calls with an equal model."""
    return _assemble(_Key(model))


def _add_surfaces(vehicle: Vehicle) -> None:
    builder, body, cabin, model = vehicle.builder, vehicle.body, vehicle.cabin, vehicle.model
    low = body.bottom[1, 1]
    middle = np.array([(body.front + body.rear) / 2, 0, low + 0.4])
    builder.add_box(
        [middle[0], 0, low + 0.02],
        [body.front - body.rear - 0.5, body.half_width * 1.72, 0.22],
        BLACK,
        m.MATTE,
        m.UNDERBODY,
    )
    heights = (0, 0.13, 0.4, 0.65, 0.88, 1.0)
    wall = body.wall_grid(9, heights)
    lower = PLASTIC if model.style["cladding"] else None
    builder.add_grid(wall[:2], lower, m.MATTE if lower else m.PAINT, m.BODY, middle, closed=True)
    builder.add_grid(wall[1:], None, m.PAINT, m.BODY, middle, closed=True)
    builder.add_grid(body.lid_grid(9, 7), None, m.PAINT, m.TOP, middle)
    centre = np.array([(cabin.front + cabin.rear) / 2, 0, low + 0.5])
    builder.add_grid(cabin.wall_grid(6, (0, 0.35, 0.7, 1.0)), None, m.PAINT, m.CABIN, centre, closed=True)
    roof = BLACK if model.style["dark_roof"] else None
    builder.add_grid(cabin.lid_grid(6, 7), roof, m.PAINT, m.CABIN, centre)
    if model.type == "pickup":
        _add_bed(vehicle)
    if vehicle.cargo is not None:
        _add_cargo(vehicle)


def _add_bed(vehicle: Vehicle) -> None:
    """The open bed: its rim clips the far inner walls and the floor."""
    builder, body = vehicle.builder, vehicle.body
    front, rear = vehicle.cabin.rear - 0.12, body.rear + 0.14
    width = vehicle.cabin.half_width - 0.1
    top = float(np.interp(front, body.top[:, 0], body.top[:, 1])) + 0.02
    floor = top - 0.48
    x = np.array([front, front, rear, rear])
    y = np.array([width, -width, -width, width])
    rim = builder.add(np.stack([x, y, np.full(4, top)], axis=1), (40, 40, 40), m.MATTE, m.BED, (0, 0, 1))
    builder.add(np.stack([x, y, np.full(4, floor)], axis=1), (58, 58, 58), m.MATTE, m.BED, (0, 0, 1), clip=rim)
    for first, inward in ((0, (-1, 0, 0)), (1, (0, 1, 0)), (2, (1, 0, 0)), (3, (0, -1, 0))):
        second = (first + 1) % 4
        wall = [(x[k], y[k], z) for k, z in ((first, floor), (second, floor), (second, top), (first, top))]
        builder.add(wall, (74, 74, 74), m.MATTE, m.BED, inward, clip=rim)


def _add_cargo(vehicle: Vehicle) -> None:
    builder, cargo, style = vehicle.builder, vehicle.cargo, vehicle.model.style
    builder.rear_part = True
    builder.split = cargo.front + 0.05
    middle = np.array([(cargo.front + cargo.rear) / 2, 0, 1.6])
    builder.add_box(
        [middle[0] + 0.2, 0, 0.78],
        [cargo.front - cargo.rear + 0.3, cargo.half_width * 1.2, 0.34],
        BLACK,
        m.MATTE,
        m.UNDERBODY,
    )
    colour = CARGO_COLOURS[style["cargo"]] if style["cargo"] < 2 else None
    builder.add_grid(cargo.wall_grid(4, (0, 0.5, 1.0)), colour, m.PAINT, m.BODY, middle)
    if style["cargo"] == 2:  # a low open platform loaded with a tarpaulin
        builder.add_grid(cargo.lid_grid(4), (60, 60, 58), m.MATTE, m.TOP, middle)
        load_x, length = middle[0] + 0.1, (cargo.front - cargo.rear) * 0.8
        top = float(cargo.top[0, 1])
        builder.add_box([load_x, 0, top + 0.3], [length, cargo.half_width * 1.7, 0.6], (92, 118, 96), m.MATTE, m.ROOF)
    else:
        builder.add_grid(cargo.lid_grid(4), colour, m.PAINT, m.TOP, middle)
    details.add_cargo_lines(vehicle)
    builder.rear_part = False


def _add_wheel(vehicle: Vehicle, x, side: int) -> None:
    builder, radius, style = vehicle.builder, vehicle.wheel_radius, vehicle.model.style
    builder.rear_part = vehicle.cargo is not None and x < vehicle.cargo.front
    centre = vehicle.wheel_centre(x, side)
    outward = (0, side, 0)
    if not builder.rear_part:
        angles = np.linspace(np.radians(-8), np.radians(188), 14)
        arch = centre + np.stack([np.cos(angles) * radius * 1.2, 0 * angles, np.sin(angles) * radius * 1.2], axis=1)
        builder.add(arch + (0, 0.004 * side, 0), BLACK, m.MATTE, m.DETAILS, outward)
    tyre = m.disc(centre, radius, 16)
    inner = tyre - (0, side * 0.22, 0)
    for k in range(16):
        quad = [tyre[k], tyre[(k + 1) % 16], inner[(k + 1) % 16], inner[k]]
        builder.add(quad, RUBBER, m.MATTE, m.TREADS, np.mean(quad, axis=0) - centre + (0, side * 0.11, 0))
    builder.add(inner, BLACK, m.MATTE, m.UNDERBODY, (0, -side, 0))
    builder.add(tyre, RUBBER, m.MATTE, m.WHEELS, outward)
    rim = style["rim"]
    builder.add(m.disc(centre, radius * 0.68, 16), (rim, rim, rim), m.SHINY, m.WHEELS, outward)
    for k in range(style["spokes"]):
        middle = 2 * np.pi * k / style["spokes"]
        spread = np.pi / style["spokes"] * 0.58
        corners = [(0.24, -spread * 0.5), (0.6, -spread), (0.62, 0), (0.6, spread), (0.24, spread * 0.5)]
        gap = [centre + radius * r * np.array([np.cos(middle + a), 0, np.sin(middle + a)]) for r, a in corners]
        builder.add(gap, (44, 44, 46), m.MATTE, m.WHEELS, outward)
    builder.rear_part = False


def _add_mirrors(vehicle: Vehicle) -> None:
    builder, cabin, kind = vehicle.builder, vehicle.cabin, vehicle.model.type
    tall = kind in ("bus", "truck")
    x = cabin.front - (0.28 if not tall else -0.1)
    foot = cabin.side_point(min(x, cabin.front - 0.05), 0.25 if not tall else 0.5, 1)
    size = (0.12, 0.22, 0.15) if not tall else (0.1, 0.2, 0.4)
    for side in (1, -1):
        centre = np.array([x, side * (vehicle.body.half_width + size[1] * 0.35), foot[2]])
        colour = None if not tall else PLASTIC
        builder.add_box(centre, size, colour, m.PAINT, m.NEAR_PARTS, far_stage=m.FAR_PARTS, bottom=True)
        glass = centre - (size[0] / 2 + 0.004, 0, 0)
        corners = [
            glass + (0, dy * size[1] * 0.4, dz * size[2] * 0.4) for dy, dz in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        builder.add(corners, (120, 110, 100), m.GLASS, m.NEAR_PARTS, (-1, 0, 0), far_stage=m.FAR_PARTS)


def outline(vehicle: Vehicle) -> np.ndarray:
    """Return points [n, 3] in metres whose convex hull throws the vehicle's shadow."""
    grids = [vehicle.body.wall_grid(2, (0.0, 1.0)), vehicle.cabin.wall_grid(0, (0.0, 1.0))]
    if vehicle.cargo is not None:
        grids.append(vehicle.cargo.wall_grid(0, (0.0, 1.0)))
    return np.concatenate([grid.reshape(-1, 3)[::2] for grid in grids])


def key_points(vehicle: Vehicle) -> tuple[np.ndarray, np.ndarray]:
    """Return VeRi-776's 20 key points [20, 3] and the directions they face [20, 3].

    Order: wheels left-front, left-rear, right-front, right-rear; fog lamps right, left; headlights right, left;
    front logo; front plate; mirrors left, right; roof corners right-front, left-front, left-rear, right-rear;
    tail lamps left, right; rear logo; rear plate.
    """
    body, cabin, cargo = vehicle.body, vehicle.cabin, vehicle.cargo
    tail = body if cargo is None else cargo
    roof = cabin if cargo is None else cargo
    points = [vehicle.wheel_centre(*wheel) for wheel in vehicle.wheels]
    normals = [(0, side, 0) for _, side in vehicle.wheels]
    points += [
        body.front_point(u, t) for u, t in ((-0.74, 0.2), (0.74, 0.2), (-0.74, 0.7), (0.74, 0.7), (0, 0.76), (0, 0.4))
    ]
    normals += [(1, -0.3, 0), (1, 0.3, 0), (1, -0.3, 0), (1, 0.3, 0), (1, 0, 0), (1, 0, 0)]
    mirror = cabin.side_point(cabin.front - 0.28, 0.25, 1)
    reach = body.half_width + 0.08
    points += [(mirror[0], reach, mirror[2]), (mirror[0], -reach, mirror[2])]  # type: ignore[list-item]
    normals += [(0.5, 1, 0), (0.5, -1, 0)]  # type: ignore[list-item]
    points += [cabin.front_point(-0.9, 1), cabin.front_point(0.9, 1), roof.rear_point(0.9, 1), roof.rear_point(-0.9, 1)]
    normals += [(1, -1, 1), (1, 1, 1), (-1, 1, 1), (-1, -1, 1)]
    low, high = (0.7, 0.9) if cargo is None else (0.03, 0.5)
    points += [tail.rear_point(u, t) for u, t in ((0.8, low), (-0.8, low), (0, high), (0, 0.5 * low))]
    normals += [(-1, 0.3, 0), (-1, -0.3, 0), (-1, 0, 0), (-1, 0, 0)]
    directions = np.array(normals, dtype=float)
    return np.array(points, dtype=float), directions / np.linalg.norm(directions, axis=1, keepdims=True)
