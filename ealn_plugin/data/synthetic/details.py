"""What sits on a vehicle's surfaces: lamps, grille, plates, bumpers, door lines, handles."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import mesh as m
from ealn_plugin.data.synthetic.mesh import MeshBuilder
from ealn_plugin.data.synthetic.shapes import Model

BLACK = (22, 22, 22)
LINE = (30, 30, 30)
CHROME = (206, 206, 204)
LENS = (238, 236, 230)
RED = (40, 30, 214)
DARK_RED = (30, 22, 120)
AMBER = (40, 150, 240)
PLATE = (168, 92, 34)

# Lamp outlines for the left half, (u, t) in the lamp's own unit square: u from the inside outwards, t upwards.
LAMPS = (
    ((0, 0.1), (1, 0), (1, 1), (0, 0.9)),
    ((0, 0.0), (0.75, 0.15), (1, 0.75), (0.9, 1.0), (0.25, 0.55)),
    ((0, 0.3), (0.3, 0), (1, 0.1), (1, 0.9), (0.3, 1), (0, 0.7)),
    ((0.1, 0), (0.9, 0), (1, 0.5), (0.9, 1), (0.1, 1), (0, 0.5)),
    ((0, 0.35), (0.8, 0), (1, 0.35), (1, 1), (0.55, 0.9)),
)


def _scaled(corners: Any, box: Any, side: int):
    """Map corners of the unit square into box (u0, u1, t0, t1) on the given side (+1 left, -1 right)."""
    u0, u1, t0, t1 = box
    corners = np.asarray(corners, dtype=float)
    return side * (u0 + corners[:, 0] * (u1 - u0)), t0 + corners[:, 1] * (t1 - t0)


def add_patch(
    builder: MeshBuilder,
    surface: Callable[..., np.ndarray],
    corners: Any,
    colour: Any,
    material: Any,
    stage: int = m.DETAILS,
    outward: Any = None,
) -> int:
    """Add one polygon given as (u, t) corners on a surface function such as Hull.front_point."""
    u, t = np.asarray(corners, dtype=float).T
    return builder.add(surface(u, t), colour, material, stage, outward)


def add_strip(
    builder: MeshBuilder,
    surface: Callable[..., np.ndarray],
    box: Any,
    colour: Any,
    material: Any,
    outward: Any,
    stage: int = m.DETAILS,
    pieces: int = 4,
) -> None:
    """Add a band over box (u0, u1, t0, t1) of a curved surface as `pieces` quads."""
    u0, u1, t0, t1 = box
    edges = np.linspace(u0, u1, pieces + 1)
    for a, b in zip(edges[:-1], edges[1:]):
        add_patch(builder, surface, ((a, t0), (b, t0), (b, t1), (a, t1)), colour, material, stage, outward)


def front_lamp_box(model: Model) -> tuple[float, float, float, float]:
    """Return the left headlight's box (u0, u1, t0, t1) on the front face."""
    tall = model.type in ("van", "bus", "truck")
    style = model.style["headlight"]
    if tall:
        return (0.58, 0.93, 0.34, 0.34 + (0.22, 0.3, 0.26, 0.36, 0.24)[style])
    return (0.52, 0.95, 0.6, 0.6 + (0.22, 0.3, 0.24, 0.26, 0.3)[style])


def rear_lamp_box(model: Model) -> tuple[float, float, float, float]:
    """Return the left tail lamp's box (u0, u1, t0, t1) on the rear face."""
    style = model.style["tail_light"]
    if model.type == "truck":
        return (0.62, 0.95, -0.14, -0.06)
    if model.type in ("van", "suv", "pickup", "hatchback"):
        return (
            (0.72, 0.97, 0.5, 0.98),
            (0.6, 0.97, 0.62, 0.9),
            (0.76, 0.97, 0.42, 0.95),
            (0.66, 0.97, 0.55, 0.92),
            (0.62, 0.97, 0.6, 0.97),
        )[style]
    return (
        (0.55, 0.97, 0.62, 0.86),
        (0.62, 0.97, 0.58, 0.9),
        (0.5, 0.97, 0.66, 0.88),
        (0.68, 0.97, 0.52, 0.92),
        (0.56, 0.97, 0.6, 0.92),
    )[style]


def add_headlight(builder: MeshBuilder, vehicle: Any, side: int, broken: bool = False) -> None:
    """Add one headlight; a broken one is a dark hole without a lens."""
    face, box = vehicle.body.front_point, front_lamp_box(vehicle.model)
    shape = LAMPS[vehicle.model.style["headlight"]]
    u, t = _scaled(shape, box, side)
    outward = (1, 0.3 * side, 0.1)
    builder.add(face(u, t), (52, 52, 54) if not broken else (26, 26, 28), m.SHINY, m.DETAILS, outward)
    inner = np.asarray(shape, dtype=float) * 0.8 + 0.1
    u, t = _scaled(inner, box, side)
    builder.add(
        face(u, t), LENS if not broken else (58, 58, 62), m.SHINY if not broken else m.MATTE, m.DETAILS, outward
    )
    if broken:
        return
    u, t = _scaled(0.5 + 0.2 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), box, side)
    builder.add(face(u, t), (252, 252, 250), m.INTERIOR, m.DETAILS, outward)


def add_tail_light(builder: MeshBuilder, vehicle: Any, side: int, broken: bool = False) -> None:
    """Add one tail lamp: red with an amber or white section; a broken one is pale and colourless."""
    hull = vehicle.body if vehicle.cargo is None else vehicle.cargo
    box, style = rear_lamp_box(vehicle.model), vehicle.model.style["tail_light"]
    outward = (-1, 0.2 * side, 0.1)
    shape = np.asarray(LAMPS[(style * 2 + 1) % 5], dtype=float)
    u, t = _scaled(0.5 + (shape - 0.5) * 1.16, box, side)
    builder.add(hull.rear_point(np.clip(u, -0.97, 0.97), t), (40, 34, 52), m.SHINY, m.DETAILS, outward)
    u, t = _scaled(shape, box, side)
    builder.add(hull.rear_point(u, t), RED if not broken else (150, 156, 176), m.SHINY, m.DETAILS, outward)
    if broken:
        return
    section = np.array([(0.15, 0.35), (0.85, 0.35), (0.85, 0.6), (0.15, 0.6)])
    u, t = _scaled(section, box, side)
    builder.add(hull.rear_point(u, t), (AMBER, LENS, DARK_RED)[style % 3], m.SHINY, m.DETAILS, outward)


def add_plate(
    builder: MeshBuilder,
    surface: Callable[..., np.ndarray],
    t: float,
    outward: Any,
    colour: Any = PLATE,
    u: float = 0.0,
    height: float = 0.11,
) -> None:
    """Add a number plate whose characters are a blur."""
    rise = height / 0.22
    for inset, shade in ((0.0, 1.0), (0.035, 1.25), (0.07, 1.45)):
        box = (u - 0.26 + inset, u + 0.26 - inset, t + inset * rise, t + height - inset * rise)
        tint = tuple(min(255.0, channel * shade + 18 * (shade - 1)) for channel in colour)
        add_strip(builder, surface, box, tint, m.MATTE, outward, pieces=1)


def add_front(vehicle: Any) -> None:
    """Add grille, intake, plate, fog lamps, badge, headlights and the bonnet's lines."""
    builder, model, face = vehicle.builder, vehicle.model, vehicle.body.front_point
    style, ahead = model.style, (1, 0, 0.05)
    tall = model.type in ("van", "bus", "truck")
    low, high = (0.3, 0.52) if tall else (0.56, 0.84)
    width = style["grille_width"] * (1.1 if tall else 1.0)
    add_strip(builder, face, (-0.86, 0.86, 0.0, 0.1), (40, 40, 40), m.MATTE, ahead, pieces=8)
    add_strip(builder, face, (-0.55, 0.55, 0.1, 0.26), BLACK, m.MATTE, ahead, pieces=6)
    if style["grille"] < 3 or not tall:
        add_strip(builder, face, (-width, width, low, high), BLACK, m.MATTE, ahead, pieces=6)
        _add_grille_bars(vehicle, face, width, low, high)
    if style["fog"]:
        size = 0.05 if style["fog"] == 1 else 0.08
        for side in (1, -1):
            box = (side * 0.74 - size, side * 0.74 + size, 0.13, 0.25)
            add_strip(builder, face, box, BLACK, m.MATTE, ahead, pieces=1)
            add_strip(builder, face, (box[0] + 0.03, box[1] - 0.03, 0.16, 0.23), LENS, m.SHINY, ahead, pieces=1)
    add_plate(builder, face, 0.14 if style["plate_high"] else 0.32, ahead, _plate_colour(model))
    for side in (1, -1):
        add_headlight(builder, vehicle, side)
    radius = 0.075
    corners = m.disc((0, 0, 0), 1.0, 10)[:, [0, 2]] * (radius, radius * 1.2) + (0, (low + high) / 2 + 0.03)
    add_patch(builder, face, corners, CHROME, m.SHINY, outward=ahead)
    if not tall:
        _add_bonnet_lines(vehicle)


def _plate_colour(model: Model):
    return (40, 170, 220) if model.type in ("bus", "truck") else PLATE


def _add_grille_bars(vehicle: Any, face, width, low, high) -> None:
    builder, style = vehicle.builder, vehicle.model.style
    colour = CHROME if style["grille_chrome"] else (78, 78, 80)
    if style["grille"] == 2:
        for u in np.linspace(-width * 0.85, width * 0.85, 7):
            box = (u - 0.012, u + 0.012, low + 0.02, high - 0.02)
            add_strip(builder, face, box, colour, m.SHINY, (1, 0, 0), pieces=1)
        return
    for t in np.linspace(low, high, style["bars"] + 2)[1:-1]:
        add_strip(
            builder, face, (-width * 0.94, width * 0.94, t - 0.014, t + 0.014), colour, m.SHINY, (1, 0, 0), pieces=4
        )
    if style["grille"] == 1:
        add_strip(builder, face, (-width, width, high - 0.02, high + 0.02), colour, m.SHINY, (1, 0, 0), pieces=4)


def _add_bonnet_lines(vehicle: Any) -> None:
    builder, body = vehicle.builder, vehicle.body
    near, far = vehicle.cabin.front + 0.04, body.front - 0.42
    x = np.linspace(near, far, 4)
    for v in (0.84, -0.84):
        for a, b in zip(x[:-1], x[1:]):
            corners = body.top_point([a, b, b, a], [v - 0.012, v - 0.012, v + 0.012, v + 0.012])
            builder.add(corners, LINE, m.MATTE, m.DETAILS, (0, 0, 1))


def add_rear(vehicle: Any) -> None:
    """Add tail lamps, plate, bumper, boot line and badge (doors and lamps of the cargo box, for a truck)."""
    builder, model, behind = vehicle.builder, vehicle.model, (-1, 0, 0.05)
    builder.rear_part = vehicle.cargo is not None
    for side in (1, -1):
        add_tail_light(builder, vehicle, side)
    if vehicle.cargo is not None:
        add_strip(builder, vehicle.cargo.rear_point, (-0.95, 0.95, -0.2, -0.15), (70, 70, 72), m.MATTE, behind)
        add_plate(builder, vehicle.cargo.rear_point, -0.14, behind, _plate_colour(model), height=0.07)
        builder.rear_part = False
        return
    face = vehicle.body.rear_point
    add_strip(builder, face, (-0.86, 0.86, 0.0, 0.12), (40, 40, 40), m.MATTE, behind, pieces=6)
    add_strip(builder, face, (-0.93, 0.93, 0.36, 0.375), LINE, m.MATTE, behind, pieces=6)
    high = model.style["plate_high"] and model.type != "bus"
    t = 0.56 if high else 0.2
    add_strip(builder, face, (-0.34, 0.34, t - 0.03, t + 0.14), (44, 44, 46), m.MATTE, behind, pieces=2)
    add_plate(builder, face, t, behind, _plate_colour(model))
    if model.style["chrome_line"]:
        add_strip(builder, face, (-0.4, 0.4, t + 0.15, t + 0.18), CHROME, m.SHINY, behind, pieces=2)
    corners = m.disc((0, 0, 0), 1.0, 10)[:, [0, 2]] * (0.07, 0.06) + (0, 0.85)
    add_patch(builder, face, corners, CHROME, m.SHINY, outward=behind)


def add_sides(vehicle: Any) -> None:
    """Add door lines, handles, sills, mouldings and side markers."""
    for side in (1, -1):
        _add_side(vehicle, side)


def _add_side(vehicle: Any, side: int) -> None:
    builder, model, body, cabin = vehicle.builder, vehicle.model, vehicle.body, vehicle.cabin
    outward = (0, side, 0)

    def surface(x, t):
        return body.side_point(x, t, side)

    first = cabin.front - 0.2 if model.type not in ("bus", "truck") else cabin.front - 0.35
    last = max(cabin.rear + 0.25, body.rear + 0.4)
    doors = door_lines(model, first, last)
    half = 0.012
    for x in doors:
        for low, high in ((0.12, 0.4), (0.4, 0.7), (0.7, 0.98)):
            add_patch(
                builder,
                surface,
                ((x - half, low), (x + half, low), (x + half, high), (x - half, high)),
                LINE,
                m.MATTE,
                outward=outward,
            )
    for x in doors[1:]:
        add_patch(
            builder,
            surface,
            ((x + 0.06, 0.76), (x + 0.26, 0.76), (x + 0.26, 0.82), (x + 0.06, 0.82)),
            CHROME if model.style["chrome_line"] else (40, 40, 42),
            m.SHINY,
            outward=outward,
        )
    axles = [x for x, where in vehicle.wheels if where == side and x > body.rear]
    ends = (max(axles) - 0.4, min(axles) + 0.4) if len(axles) > 1 else (max(axles) - 0.4, body.rear + 0.05)
    add_strip(builder, surface, (*ends, 0.0, 0.1), (44, 44, 44), m.MATTE, outward, pieces=3)
    if model.style["moulding"]:
        add_strip(builder, surface, (*ends, 0.4, 0.47), (56, 56, 56), m.MATTE, outward, pieces=4)
    if model.type == "bus":
        add_strip(
            builder,
            surface,
            (body.front - 0.6, body.rear + 0.5, 0.52, 0.66),
            (190, 190, 188),
            m.PAINT,
            outward,
            pieces=8,
        )


def door_lines(model: Model, first: float, last: float) -> list[float]:
    """Return the x of the door gaps, front to rear."""
    if model.type == "bus":
        return [first, first - 0.9]
    if model.type == "truck":
        return [first + 0.1, last + 0.15]
    if model.type == "pickup":
        return [first, first - (first - last) * 0.55, last + 0.1]
    return [first, first - (first - last) * 0.45, last + (first - last) * 0.08]


def add_cargo_lines(vehicle: Any) -> None:
    """Add the cargo box's ribs and its rear doors."""
    builder, cargo = vehicle.builder, vehicle.cargo
    grey = (120, 120, 120)
    for side in (1, -1):
        for x in np.linspace(cargo.front - 0.4, cargo.rear + 0.4, 6):
            corners = cargo.side_point([x - 0.02, x + 0.02, x + 0.02, x - 0.02], [0.04, 0.04, 0.96, 0.96], side)
            builder.add(corners, grey, m.MATTE, m.DETAILS, (0, side, 0))
    for u in (-0.5, -0.02, 0.02, 0.5):
        add_strip(builder, cargo.rear_point, (u - 0.012, u + 0.012, 0.03, 0.97), grey, m.MATTE, (-1, 0, 0), pieces=1)
