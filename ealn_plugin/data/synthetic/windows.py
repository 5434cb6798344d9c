"""Windscreen, rear window and side windows of a vehicle, and what one sees through them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import details
from ealn_plugin.data.synthetic import mesh as m
from ealn_plugin.data.synthetic.shapes import Model

BLACK = (22, 22, 22)
GLASS = (46, 42, 38)
SEAT = (62, 64, 70)


def has_rear_window(model: Model) -> bool:
    """Return whether one can look into a model from behind (not into trucks and panel vans)."""
    return model.type != "truck" and not (model.type == "van" and model.style["panel"])


def rear_window_foot(model: Model) -> float:
    """Return the height t on the cabin's rear face at which its window begins."""
    return 0.25 if model.type in ("bus", "truck") else 0.08


def add_windows(vehicle: Any) -> None:
    """Add windscreen, rear window and side windows, each with what one sees through it."""
    cabin, model = vehicle.cabin, vehicle.model
    _add_end_glass(vehicle, "front", cabin.front_point, (0.9, 0.04, 0.93), (1, 0, 0.2))
    if has_rear_window(model):
        extent = (0.84, rear_window_foot(model), 0.9 if model.type != "bus" else 0.88)
        _add_end_glass(vehicle, "rear", cabin.rear_point, extent, (-1, 0, 0.2))
    if model.type == "bus":  # the destination board
        for box, colour in (((-0.6, 0.6, 0.84, 0.93), BLACK), ((-0.45, 0.45, 0.865, 0.91), (40, 130, 230))):
            details.add_strip(vehicle.builder, cabin.front_point, box, colour, m.MATTE, (1, 0, 0.2), stage=m.WINDOWS)
    for side, name in ((1, "left"), (-1, "right")):
        for number, x in enumerate(_window_spans(vehicle)):
            _add_side_glass(vehicle, side, f"{name}{number}", x)


def _add_end_glass(vehicle: Any, name, surface: Callable[..., np.ndarray], extent, outward: Any) -> None:
    builder = vehicle.builder
    width, low, high = extent
    rim = 0.035
    details.add_strip(
        builder,
        surface,
        (-width - 0.03, width + 0.03, low - rim, high + rim),
        BLACK,
        m.MATTE,
        outward,
        stage=m.WINDOWS,
        pieces=6,
    )
    corners = ((-width, low), (width, low), (width * 0.97, high), (-width * 0.97, high))
    glass = details.add_patch(builder, surface, corners, GLASS, m.GLASS, m.WINDOWS, outward)
    builder.glass[name] = glass
    for k, t in enumerate(np.linspace(low, high, 5)[:-1]):
        step = (high - low) / 4
        shade = tuple(channel * (0.7 + 0.3 * k) for channel in GLASS)
        details.add_strip(builder, surface, (-width, width, t, t + step), shade, m.GLASS, outward, stage=m.WINDOWS)
    u = 0.35 * width
    band = ((u - 0.5, low), (u - 0.2, low), (u + 0.12, high), (u - 0.18, high))
    details.add_patch(builder, surface, band, tuple(channel * 1.6 for channel in GLASS), m.GLASS, m.WINDOWS, outward)
    _add_seats(vehicle, glass, 1 if name == "front" else -1)


def _add_seats(vehicle: Any, glass, way: int) -> None:
    """Seat backs with head rests, and the dashboard or the rear shelf, bounded by the window."""
    builder, cabin = vehicle.builder, vehicle.cabin
    end = cabin.front if way > 0 else cabin.rear
    base = float(np.interp(end, cabin.bottom[:, 0], cabin.bottom[:, 1]))
    width = cabin.half_width
    depth = 1.15 if way > 0 else 0.7
    outward = (way, 0, 0)
    shelf = [(end, -width, base), (end, width, base), (end - way * 0.5, width, base), (end - way * 0.5, -width, base)]
    for y in (-0.4, 0.4):
        x = end - way * depth
        for half, low, high in ((0.25, base - 0.3, base + 0.22), (0.13, base + 0.25, base + 0.42)):
            corners = [(x, y - half, low), (x, y + half, low), (x, y + half * 0.8, high), (x, y - half * 0.8, high)]
            builder.add(corners, SEAT, m.INTERIOR, m.INSIDE, outward, clip=glass)
    builder.add(shelf, (70, 70, 72), m.INTERIOR, m.INSIDE, (0, 0, 1), clip=glass)


def _window_spans(vehicle: Any):
    """Return [(x at the front edge, x at the rear edge)] of the windows of one side; None means the slanted pillar."""
    model, cabin = vehicle.model, vehicle.cabin
    first, last = cabin.front, cabin.rear
    if model.type == "bus":
        edges = np.linspace(first - cabin.levels[-1, 1] - 0.25, last + cabin.levels[-1, 2] + 0.25, 7)
        return [(a - 0.05, b + 0.05) for a, b in zip(edges[:-1], edges[1:])]
    if not has_rear_window(model):
        span = first - last if model.type == "truck" else 1.5
        return [(None, first - span + 0.15)]
    middle = first - (first - last) * (0.5 if model.type != "pickup" else 0.56)
    if model.type in ("van", "suv") and model.style["windows"] == 3:
        third = last + (first - last) * 0.24
        return [(None, middle + 0.04), (middle - 0.05, third + 0.05), (third - 0.05, None)]
    return [(None, middle + 0.04), (middle - 0.05, None)]


def _add_side_glass(vehicle: Any, side: int, name, span) -> None:
    builder, cabin = vehicle.builder, vehicle.cabin
    outward = (0, side, 0.2)
    low, high = (0.06, 0.88) if vehicle.model.type != "bus" else (0.12, 0.86)

    def edge(x, t, fraction):
        return cabin.side_fraction(fraction, t, side) if x is None else cabin.side_point(x, t, side)

    heights = (low, (low + high) / 2, high)
    lines = [(edge(span[0], t, 0.085), edge(span[1], t, 0.93)) for t in heights]
    glass = builder.add([lines[0][0], lines[0][1], lines[2][1], lines[2][0]], GLASS, m.GLASS, m.WINDOWS, outward)
    builder.glass[name] = glass
    for k in range(2):
        shade = tuple(channel * (0.85 + 0.5 * k) for channel in GLASS)
        builder.add([lines[k][0], lines[k][1], lines[k + 1][1], lines[k + 1][0]], shade, m.GLASS, m.WINDOWS, outward)
    start, end = lines[0][0][0], lines[0][1][0]
    base, x, y = lines[0][0][2], end + 0.3 * (start - end), side * 0.4
    for half, bottom, top in ((0.16, base - 0.2, base + 0.2), (0.09, base + 0.22, base + 0.38)):
        corners = [(x - half, y, bottom), (x + half, y, bottom), (x + half * 0.6, y, top), (x - half, y, top)]
        builder.add(corners, SEAT, m.INTERIOR, m.INSIDE, outward, clip=glass)
