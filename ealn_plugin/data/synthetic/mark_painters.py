"""How each kind of mark is put on a vehicle: polygons on its surfaces or behind its windows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import details, marks, windows
from ealn_plugin.data.synthetic import mesh as m
from ealn_plugin.data.synthetic.bodywork import Vehicle
from ealn_plugin.data.synthetic.marks import Mark
from ealn_plugin.data.synthetic.mesh import MeshBuilder


def put_on(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    """Add the polygons of `mark` to `builder` (a copy of `vehicle`'s)."""
    _PAINTERS[mark.kind](builder, vehicle, mark)


def _scale(vehicle: Vehicle, mark: Mark):
    """Marks grow with large vehicles, whose pictures show a metre with fewer pixels."""
    return mark.size * (vehicle.model.size["length"] / 4.4) ** 0.6


def _spread(value, low, high):
    return low + value * (high - low)


def _flat_shape(variant, corners: Any = 10):
    """Return a unit outline [corners, 2]: square, disc or diamond."""
    if variant == 1:
        return m.disc((0, 0, 0), 1.0, corners)[:, [0, 2]]
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=float)
    return square if variant == 0 else np.array([(-1.25, 0), (0, -1.25), (1.25, 0), (0, 1.25)])


def _label(
    builder: MeshBuilder,
    surface: Callable[..., np.ndarray],
    place,
    half,
    colour: Any,
    variant,
    outward: Any,
    stage: int,
) -> None:
    """A coloured outline with a contrasting middle on a surface; place (u, t), half sizes (u, t)."""
    shape = _flat_shape(variant)
    inner = marks.COLOURS["white" if colour != "white" else "blue"]
    for factor, tint in ((1.0, marks.COLOURS[colour]), (0.42, inner)):
        details.add_patch(builder, surface, shape * np.asarray(half) * factor + place, tint, m.MATTE, stage, outward)


def _glass_label(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    rear = mark.face == "rear"
    surface = vehicle.cabin.rear_point if rear else vehicle.cabin.front_point
    high = (0.24, 0.72) if not rear else (0.3, 0.74)
    side = 1 if mark.u > 0.5 else -1
    place = (side * _spread(abs(mark.u - 0.5) * 2, 0.32, 0.7), high[1] if mark.v > 0.35 else high[0])
    size = 0.115 * _scale(vehicle, mark) / vehicle.cabin.half_width
    rise = 0.125 * _scale(vehicle, mark) / max(0.55, vehicle.model.size["height"] - vehicle.model.size["cowl"])
    _label(builder, surface, place, (size, rise), mark.colour, mark.variant, (1 - 2 * rear, 0, 0.2), m.ON_GLASS)
    if mark.variant == 0 and not rear:  # inspection stickers come in rows
        other = (place[0] - side * size * 2.3, place[1])
        _label(builder, surface, other, (size * 0.8, rise * 0.8), "green", 0, (1, 0, 0.2), m.ON_GLASS)


def _pendant(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    glass = builder.glass["front"]
    top = vehicle.cabin.front_point(0.0, 0.92) - (0.1, 0, 0)
    top[1] += _spread(mark.u, -0.12, 0.12)
    size, tint = 0.085 * _scale(vehicle, mark), marks.COLOURS[mark.colour]
    drop = _spread(mark.v, 0.1, 0.2) * _scale(vehicle, mark)
    ahead = (1, 0, 0)

    def hang(corners: Any, colour: Any) -> None:
        corners = np.asarray(corners, dtype=float)
        points = top + np.stack([0 * corners[:, 0], corners[:, 0], corners[:, 1]], axis=1)
        builder.add(points, colour, m.INTERIOR, m.INSIDE, ahead, clip=glass)

    hang([(-0.012, 0), (0.012, 0), (0.012, -drop), (-0.012, -drop)], tint)
    hang(_flat_shape(mark.variant) * size + (0, -drop - size), tint)
    low = -drop - 2 * size
    hang([(-0.02, low), (0.02, low), (0.045, low - 1.4 * size), (-0.045, low - 1.4 * size)], marks.COLOURS["red"])


def _shelf_place(vehicle: Vehicle, mark: Mark, depth):
    """Return the point [3] on the dashboard (front) or on the shelf behind the rear seats where a mark stands."""
    cabin, way = vehicle.cabin, 1 if mark.face == "front" else -1
    end = cabin.front if way > 0 else cabin.rear
    base = float(np.interp(end, cabin.bottom[:, 0], cabin.bottom[:, 1]))
    t = 0.1 if mark.face == "front" else windows.rear_window_foot(vehicle.model)
    glass = (cabin.front_point if way > 0 else cabin.rear_point)(0.0, t)
    width = cabin.half_width * 0.62
    return np.array([glass[0] - way * depth, _spread(mark.u, -width, width), max(base, glass[2])]), (way, 0, 0)


def _tissue_box(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    glass = builder.glass["front" if mark.face == "front" else "rear"]
    place, _ = _shelf_place(vehicle, mark, 0.16)
    k = _scale(vehicle, mark)
    height = (0.11, 0.14, 0.17)[mark.variant] * k
    builder.add_box(
        place + (0, 0, height / 2),
        (0.16 * k, 0.3 * k, height),
        marks.COLOURS[mark.colour],
        m.INTERIOR,
        m.INSIDE,
        clip=glass,
    )
    builder.add_box(
        place + (0, 0, height * 1.25),
        (0.05, 0.13 * k, height * 0.5),
        marks.COLOURS["white"],
        m.INTERIOR,
        m.INSIDE,
        clip=glass,
    )


def _ornament(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    glass = builder.glass["front" if mark.face == "front" else "rear"]
    place, outward = _shelf_place(vehicle, mark, 0.13)
    k = _scale(vehicle, mark)
    rows = ((0.0,), (-0.14, 0.14), (-0.24, 0.0, 0.24))[mark.variant]
    for offset in rows:
        for radius, rise in ((0.1, 0.08), (0.075, 0.22)):
            centre = place + (0, offset * k, rise * k)
            builder.add(
                m.disc(centre, radius * k, 9, axis=0),
                marks.COLOURS[mark.colour],
                m.INTERIOR,
                m.INSIDE,
                outward,
                clip=glass,
            )


def _glass_strip(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    rear = mark.face == "rear"
    surface = vehicle.cabin.rear_point if rear else vehicle.cabin.front_point
    if rear:
        low, high, width = windows.rear_window_foot(vehicle.model), 0.88, 0.82
        span = (-width, -width + 0.42) if mark.variant == 0 else (width - 0.42, width)
        box = (*span, low, high) if mark.variant < 2 else (-width, width, high - 0.2, high)
    else:
        box = (-0.88, 0.88, 0.93 - 0.16 * mark.size, 0.93)
    details.add_strip(
        builder, surface, box, marks.COLOURS[mark.colour], m.MATTE, (1 - 2 * rear, 0, 0.2), stage=m.ON_GLASS
    )


def _rear_surface(vehicle: Vehicle):
    """Return the surface behind and the range (t) where it is free for decals."""
    if vehicle.cargo is not None:
        return vehicle.cargo.rear_point, (0.2, 0.8)
    return vehicle.body.rear_point, (0.5, 0.85)


def _end_decal(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    builder.rear_part = vehicle.cargo is not None and mark.face == "rear"
    k = _scale(vehicle, mark)
    if mark.face == "rear":
        surface, (low, high) = _rear_surface(vehicle)
        big = 1.5 if vehicle.cargo is not None else 1.0
        place = (_spread(mark.u, -0.45, 0.45), _spread(mark.v, low, high))
        half = (0.13 * k * big, 0.1 * k * (big if big > 1 else 1.2) * (0.6 if big > 1 else 1))
        _label(builder, surface, place, half, mark.colour, mark.variant, (-1, 0, 0.05), m.DETAILS)
    elif vehicle.model.type in ("van", "bus", "truck"):
        place = (_spread(mark.u, -0.45, 0.45), 0.72)
        _label(
            builder,
            vehicle.body.front_point,
            place,
            (0.12 * k, 0.13 * k),
            mark.colour,
            mark.variant,
            (1, 0, 0.05),
            m.DETAILS,
        )
    else:
        near, far = vehicle.cabin.front + 0.25, vehicle.body.front - 0.5
        x, v, half = _spread(mark.v, near, far), _spread(mark.u, -0.5, 0.5), 0.14 * k
        shape = _flat_shape(mark.variant) * (half * 1.3, half) + (x, v)
        corners = vehicle.body.top_point(shape[:, 0], shape[:, 1])
        builder.add(corners, marks.COLOURS[mark.colour], m.MATTE, m.DETAILS, (0, 0, 1))
    builder.rear_part = False


def _bumper_mark(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    builder.rear_part = vehicle.cargo is not None and mark.face == "rear"
    rear = mark.face == "rear"
    surface = _rear_surface(vehicle)[0] if rear else vehicle.body.front_point
    t = 0.16 if vehicle.cargo is not None and rear else 0.24 if rear else 0.42
    side = 1 if mark.u > 0.5 else -1
    place = (side * _spread(mark.v, 0.5, 0.72), t)
    half = (0.12 * _scale(vehicle, mark), 0.055 * _scale(vehicle, mark))
    _label(builder, surface, place, half, mark.colour, mark.variant, (1 - 2 * rear, 0, 0.05), m.DETAILS)
    builder.rear_part = False


def _scratch(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    """A few pale and dark slanted lines, or a patch of bare metal."""
    k, tint = _scale(vehicle, mark), (205, 205, 205) if mark.variant != 1 else (44, 60, 110)
    builder.rear_part = vehicle.cargo is not None and mark.face == "rear"
    if mark.face in ("left", "right"):
        side = 1 if mark.face == "left" else -1
        surface, place, outward = _side_surface(vehicle, mark, side)
        reach = 0.5 * k
    else:
        rear = mark.face == "rear"
        surface = _rear_surface(vehicle)[0] if rear else vehicle.body.front_point
        place = ((1 if mark.u > 0.5 else -1) * _spread(mark.v, 0.35, 0.72), 0.4 if vehicle.cargo is None else 0.5)
        outward, reach = (1 - 2 * rear, 0, 0.05), 0.2 * k
    for row, lean in ((-0.09, 0.05), (0.0, 0.08), (0.08, 0.03)):
        t = place[1] + row
        corners = (
            (place[0] - reach, t),
            (place[0] + reach, t + lean),
            (place[0] + reach, t + lean + 0.035),
            (place[0] - reach, t + 0.035),
        )
        details.add_patch(builder, surface, corners, tint, m.MATTE, m.DETAILS, outward)
    builder.rear_part = False


def _side_surface(vehicle: Vehicle, mark: Mark, side: int):
    """Return (surface(x, t), place (x, t), outward) of the free part of a side."""
    hull = vehicle.cargo if vehicle.cargo is not None else vehicle.body
    near, far = (
        (hull.front - 0.6, hull.rear + 0.6)
        if vehicle.cargo is not None
        else (vehicle.cabin.front - 0.5, vehicle.cabin.front - 0.55 * (vehicle.cabin.front - vehicle.body.rear))
    )
    place = (_spread(mark.u, near, far), _spread(mark.v, 0.42, 0.68))
    return (lambda x, t: hull.side_point(x, t, side)), place, (0, side, 0)


def _door_decal(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    side = 1 if mark.face == "left" else -1
    builder.rear_part = vehicle.cargo is not None
    surface, place, outward = _side_surface(vehicle, mark, side)
    k = _scale(vehicle, mark)
    if mark.kind == "door_decal":
        big = 1.6 if vehicle.cargo is not None else 1.0
        _label(
            builder,
            surface,
            place,
            (0.24 * k * big, 0.2 * (0.8 if big > 1 else 1.0)),
            mark.colour,
            mark.variant,
            outward,
            m.DETAILS,
        )
    else:
        x = place[0]
        reach, t = 0.85 * k, (0.3, 0.5, 0.66)[mark.variant]
        box = (x - reach, x + reach, t, t + 0.13)
        details.add_strip(builder, surface, box, marks.COLOURS[mark.colour], m.MATTE, outward)
    builder.rear_part = False


def _missing_hubcap(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    side = 1 if mark.face == "left" else -1
    wheels = [wheel for wheel in vehicle.wheels if wheel[1] == side]
    x = wheels[0 if mark.u < 0.5 else 1][0]
    builder.rear_part = vehicle.cargo is not None and x < vehicle.cargo.front
    centre, radius = vehicle.wheel_centre(x, side), vehicle.wheel_radius
    tint = (58, 58, 60) if mark.variant else marks.COLOURS[mark.colour]
    builder.add(m.disc(centre, radius * 0.68, 14), tint, m.MATTE, m.WHEELS, (0, side, 0))
    builder.add(m.disc(centre, radius * 0.3, 8), (24, 24, 24), m.MATTE, m.WHEELS, (0, side, 0))
    builder.rear_part = False


def _window_label(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    side = 1 if mark.face == "left" else -1
    panes = [name for name in builder.glass if name.startswith(mark.face)]
    index = min(len(panes) - 1, int(mark.u * len(panes)))
    corners = builder.polygons[builder.glass[panes[index]]]
    centre = corners.mean(axis=0) + (corners[1] - corners[0]) * _spread(mark.v, -0.12, 0.12)
    k = 0.13 * _scale(vehicle, mark)
    up = (corners[3] - corners[0]) / np.linalg.norm(corners[3] - corners[0])
    for factor, tint in ((1.0, marks.COLOURS[mark.colour]), (0.4, marks.COLOURS["white"])):
        shape = _flat_shape(mark.variant) * k * factor
        points = centre + shape[:, :1] * np.array([1.0, 0, 0]) + shape[:, 1:] * up
        builder.add(points, tint, m.MATTE, m.ON_GLASS, (0, side, 0.2))


def _lamp_damage(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    side = 1 if mark.u > 0.5 else -1
    if mark.face == "front":
        details.add_headlight(builder, vehicle, side, broken=True)
        return
    builder.rear_part = vehicle.cargo is not None
    details.add_tail_light(builder, vehicle, side, broken=True)
    builder.rear_part = False


def _roof(builder: MeshBuilder, vehicle: Vehicle, mark: Mark) -> None:
    cabin, k = vehicle.cabin, _scale(vehicle, mark)
    grid = cabin.lid_grid(6)
    front, rear, top = float(grid[:, :, 0].max()), float(grid[:, :, 0].min()), float(grid[:, :, 2].max())
    middle, length = (front + rear) / 2, front - rear
    width = float(grid[:, :, 1].max())
    tint = marks.COLOURS[mark.colour]
    if mark.kind == "roof_rack":
        for x in np.linspace(rear + 0.2 * length, front - 0.25 * length, 2 + mark.variant):
            builder.add_box((x, 0, top + 0.07), (0.07, width * 1.7, 0.06), (46, 46, 48), m.MATTE, m.ROOF)
        for y in (-0.78, 0.78):
            builder.add_box((middle, y * width, top + 0.05), (length * 0.75, 0.06, 0.07), (58, 58, 60), m.SHINY, m.ROOF)
    elif mark.kind == "roof_box":
        size = (min(1.5, length * 0.6) * k, width * (0.7, 0.95, 1.2)[mark.variant], 0.22 * k)
        builder.add_box((middle, _spread(mark.u, -0.3, 0.3) * width, top + 0.1), size, tint, m.MATTE, m.ROOF)
    elif mark.kind == "roof_lamp":
        size = (0.16 * k, (0.4, 0.6, 0.3)[mark.variant] * k, 0.15 * k)
        builder.add_box((front - length * 0.3, 0, top + 0.06), size, tint, m.MATTE, m.ROOF)
    else:
        y, x = _spread(mark.u, -0.7, 0.7) * width, rear + length * (0.15, 0.5, 0.85)[mark.variant]
        builder.add_box((x, y, top + 0.25 * k), (0.045, 0.045, 0.55 * k), tint, m.MATTE, m.ROOF)


_PAINTERS = {
    "windscreen_sticker": _glass_label,
    "rear_window_sticker": _glass_label,
    "pendant": _pendant,
    "tissue_box": _tissue_box,
    "rear_tissue_box": _tissue_box,
    "ornament": _ornament,
    "rear_ornament": _ornament,
    "sun_strip": _glass_strip,
    "rear_curtain": _glass_strip,
    "bonnet_decal": _end_decal,
    "boot_decal": _end_decal,
    "front_badge": _bumper_mark,
    "bumper_sticker": _bumper_mark,
    "front_scratch": _scratch,
    "rear_scratch": _scratch,
    "door_scratch": _scratch,
    "headlight_damage": _lamp_damage,
    "tail_light_damage": _lamp_damage,
    "door_decal": _door_decal,
    "door_stripe": _door_decal,
    "missing_hubcap": _missing_hubcap,
    "window_sticker": _window_label,
    "roof_rack": _roof,
    "roof_box": _roof,
    "roof_lamp": _roof,
    "antenna": _roof,
}
