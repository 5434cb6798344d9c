"""Vehicle types and models: what is drawn per model, and the hulls of its body, cabin and cargo box."""

import dataclasses

import numpy as np

from ealn_plugin.data.synthetic.hull import Hull

# Ranges of each type, metres or fractions of the length counted from the front. They are eyeballed from data sheets of
# common vehicles. cowl: windscreen base; belt: lower edge of the side windows; deck: upper edge of the tail;
# glass_base, glass_top, rear_top, rear_base: where the cabin's outline has its corners.
RANGES = {
    "sedan": dict(
        length=(4.45, 4.9),
        width=(1.76, 1.86),
        height=(1.42, 1.5),
        nose=(0.66, 0.74),
        cowl=(0.92, 0.99),
        deck=(0.98, 1.08),
        glass_base=(0.25, 0.29),
        glass_top=(0.42, 0.46),
        rear_top=(0.7, 0.75),
        rear_base=(0.84, 0.88),
        taper=(0.2, 0.27),
        clearance=(0.2, 0.25),
        wheel=(0.31, 0.34),
    ),
    "hatchback": dict(
        length=(3.65, 4.25),
        width=(1.66, 1.8),
        height=(1.46, 1.58),
        nose=(0.68, 0.78),
        cowl=(0.95, 1.03),
        deck=(1.0, 1.1),
        glass_base=(0.21, 0.26),
        glass_top=(0.39, 0.44),
        rear_top=(0.84, 0.9),
        rear_base=(0.95, 0.975),
        taper=(0.18, 0.25),
        clearance=(0.2, 0.25),
        wheel=(0.29, 0.32),
    ),
    "suv": dict(
        length=(4.35, 4.85),
        width=(1.8, 1.94),
        height=(1.66, 1.82),
        nose=(0.86, 0.98),
        cowl=(1.08, 1.18),
        deck=(1.12, 1.22),
        glass_base=(0.23, 0.27),
        glass_top=(0.37, 0.41),
        rear_top=(0.88, 0.93),
        rear_base=(0.965, 0.98),
        taper=(0.17, 0.24),
        clearance=(0.28, 0.34),
        wheel=(0.36, 0.4),
    ),
    "van": dict(
        length=(4.0, 5.0),
        width=(1.66, 1.95),
        height=(1.82, 2.05),
        nose=(0.82, 0.98),
        cowl=(1.06, 1.16),
        deck=(1.06, 1.16),
        glass_base=(0.07, 0.16),
        glass_top=(0.2, 0.28),
        rear_top=(0.955, 0.975),
        rear_base=(0.985, 0.99),
        taper=(0.1, 0.16),
        clearance=(0.22, 0.28),
        wheel=(0.29, 0.33),
    ),
    "pickup": dict(
        length=(5.0, 5.4),
        width=(1.8, 1.9),
        height=(1.7, 1.82),
        nose=(0.9, 1.0),
        cowl=(1.08, 1.16),
        deck=(1.04, 1.14),
        glass_base=(0.25, 0.28),
        glass_top=(0.36, 0.39),
        rear_top=(0.58, 0.62),
        rear_base=(0.61, 0.65),
        taper=(0.15, 0.21),
        clearance=(0.34, 0.42),
        wheel=(0.37, 0.41),
    ),
    "bus": dict(
        length=(7.0, 9.5),
        width=(2.3, 2.5),
        height=(2.85, 3.2),
        nose=(1.15, 1.3),
        cowl=(1.15, 1.3),
        deck=(1.2, 1.4),
        glass_base=(0.008, 0.02),
        glass_top=(0.035, 0.06),
        rear_top=(0.985, 0.992),
        rear_base=(0.994, 0.996),
        taper=(0.05, 0.1),
        clearance=(0.28, 0.36),
        wheel=(0.46, 0.5),
    ),
    "truck": dict(
        length=(5.6, 7.2),
        width=(1.95, 2.25),
        height=(2.1, 2.35),
        nose=(1.15, 1.3),
        cowl=(1.22, 1.34),
        deck=(1.22, 1.34),
        glass_base=(0.012, 0.03),
        glass_top=(0.06, 0.09),
        rear_top=(0.27, 0.29),
        rear_base=(0.28, 0.3),
        taper=(0.1, 0.16),
        clearance=(0.4, 0.5),
        wheel=(0.38, 0.42),
    ),
}
TYPES = tuple(RANGES)

# Plan view of a body's ends: (distance behind the end in metres, half width as a fraction).
ROUND_NOSE = np.array(
    [(0, 0), (0.012, 0.3), (0.045, 0.55), (0.11, 0.75), (0.2, 0.87), (0.36, 0.95), (0.7, 0.985), (1.2, 1.0)]
)
BLUNT_END = np.array(
    [(0, 0), (0.006, 0.35), (0.02, 0.6), (0.05, 0.8), (0.1, 0.91), (0.2, 0.965), (0.4, 0.99), (0.8, 1.0)]
)
CABIN_END = np.array([(0, 0), (0.02, 0.4), (0.05, 0.65), (0.1, 0.83), (0.17, 0.93), (0.3, 0.985), (0.6, 1.0)])


@dataclasses.dataclass(frozen=True)
class Model:
    """One vehicle model: its type, its sizes (metres, fractions of the length) and its style choices.

    Attributes:
        number: the model's number in its data set.
        type: one of TYPES.
        size: dict of the sizes named in RANGES, one draw each.
        style: dict of small choices (lamp shapes, grille, rims, ...).
    """

    number: int
    type: str
    size: dict
    style: dict


def draw_model(number: int, vehicle_type: str, rng: np.random.Generator) -> Model:
    """Draw a model of a type with the numpy Generator `rng`."""
    size = {name: float(rng.uniform(low, high)) for name, (low, high) in RANGES[vehicle_type].items()}
    style = dict(
        headlight=int(rng.integers(5)),
        tail_light=int(rng.integers(5)),
        grille=int(rng.integers(4)),
        grille_width=float(rng.uniform(0.3, 0.5)),
        grille_chrome=bool(rng.random() < 0.6),
        spokes=int(rng.integers(4, 9)),
        rim=float(rng.uniform(150, 215)),
        moulding=bool(rng.random() < 0.35),
        cladding=bool(rng.random() < (0.7 if vehicle_type == "suv" else 0.12)),
        fog=int(rng.integers(3)),
        plate_high=bool(rng.random() < 0.5),
        dark_roof=bool(rng.random() < 0.12),
        nose=float(rng.uniform(0.7, 1.3)),
        windows=int(rng.integers(2, 4)),
        panel=bool(rng.random() < 0.3),
        bars=int(rng.integers(2, 5)),
        cargo=int(rng.integers(3)),
        cargo_height=float(rng.uniform(2.5, 3.0)),
        chrome_line=bool(rng.random() < 0.4),
        axles=(float(rng.uniform(0.165, 0.19)), float(rng.uniform(0.79, 0.82))),
    )
    if vehicle_type in ("bus", "truck", "van"):
        style["axles"] = {"bus": (0.24, 0.74), "truck": (0.15, 0.78), "van": (0.18, 0.8)}[vehicle_type]
        style["dark_roof"] = style["cladding"] = False
    return Model(number, vehicle_type, size, style)


def body_hull(model: Model) -> Hull:
    """Return the Hull of the body below the windows (of the cab, for a truck)."""
    s, kind = model.size, model.type
    half = s["length"] / 2
    rear = -half if kind != "truck" else half - s["length"] * 0.3
    boxy = kind in ("van", "bus", "truck")
    cowl_x = half - s["glass_base"] * s["length"]
    top = [
        (-half - 1, s["deck"]),
        (-half + 0.25, s["deck"]),
        (cowl_x - 0.9, (s["deck"] + s["cowl"]) / 2),
        (cowl_x, s["cowl"]),
        (half, s["nose"]),
    ]
    if not boxy:
        top[-1:] = [(half - 0.35, s["nose"] + 0.06), (half - 0.12, s["nose"]), (half, s["nose"] - 0.05)]
        top[1:2] = [(-half, s["deck"] - 0.07), (-half + 0.12, s["deck"] - 0.01), (-half + 0.5, s["deck"])]
    low = s["clearance"]
    bottom = [(-half, low + 0.08), (-half + 0.7, low), (half - 0.7, low), (half, low + 0.03)]
    slope = (0.03, 0.01, 0, 0.01, 0.02, 0.05) if boxy else (0.1, 0, 0.01, 0.03, 0.09, 0.2)
    tail = (0.03, 0, 0, 0.01, 0.015, 0.03) if boxy else (0.1, 0, 0.02, 0.03, 0.05, 0.1)
    sides = (0.03, 0.01, 0, 0, 0.01, 0.03) if boxy else (0.08, 0.03, 0.005, 0, 0.025, 0.09)
    levels = np.array([(0, 0.13, 0.4, 0.65, 0.88, 1.0), slope, tail, sides]).T
    nose = (BLUNT_END if boxy else ROUND_NOSE) * (model.style["nose"], 1)
    return Hull(
        half,
        rear,
        s["width"] / 2,
        nose,
        BLUNT_END * (1.2, 1),
        levels,
        np.array(bottom),
        np.array(sorted(top)),
        0.02 if boxy else 0.07,
    )


def cabin_hull(model: Model, body: Hull) -> Hull:
    """Return the Hull of the cabin: windscreen, side windows, rear window and roof."""
    s = model.size
    half, length, height = s["length"] / 2, s["length"], s["height"]
    front, front_top, rear_top, rear = (
        half - s[name] * length for name in ("glass_base", "glass_top", "rear_top", "rear_base")
    )
    roof = np.array(
        [
            (rear_top - 0.3, height - 0.07),
            (rear_top + 0.1, height - 0.03),
            ((rear_top + front_top) / 2, height),
            (front_top - 0.15, height - 0.025),
            (front_top + 0.3, height - 0.08),
        ]
    )
    t = np.array([0, 0.35, 0.7, 1.0])
    bend = np.array([0, 0.32, 0.67, 1.0])  # glass leans back a little more towards the roof
    sides = s["taper"] * np.array([0, 0.28, 0.62, 1.0])
    levels = np.stack([t, (front - front_top) * bend, (rear_top - rear) * bend, sides], axis=1)
    base = body.top - (0, 0.015)
    return Hull(
        front,
        rear,
        s["width"] / 2 - 0.07,
        CABIN_END * (1.6 if model.type != "bus" else 1.0, 1),
        CABIN_END * (1.2, 1),
        levels,
        base,
        roof,
        0.05,
    )


def cargo_hull(model: Model) -> Hull:
    """Return the Hull of a truck's cargo box."""
    s = model.size
    half = s["length"] / 2
    front, low = half - s["length"] * 0.33, 0.95
    high = low + 0.5 if model.style["cargo"] == 2 else model.style["cargo_height"]
    flat = np.array([(0, 0), (0.001, 0.93), (0.01, 0.98), (0.03, 1.0)])
    levels = np.array([(0, 0, 0, 0), (1, 0, 0, 0.0)], dtype=float)
    edge = np.array([(-half, 0.0), (front, 0.0)])
    return Hull(front, -half, s["width"] / 2 + 0.06, flat, flat, levels, edge + (0, low), edge + (0, high), 0.02)
