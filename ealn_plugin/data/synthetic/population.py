"""Who appears where: models, look-alike groups, tracks and shots of a data set, all drawn from its seed."""

import dataclasses
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import bodywork, cameras, mark_painters, marks, renderer, shapes, windows
from ealn_plugin.data.synthetic.mesh import Mesh
from ealn_plugin.data.synthetic.presets import Preset
from ealn_plugin.data.synthetic.shapes import Model

# VeRi-776's colours with their numbers, and a paint (BGR) for each.
COLOURS = {
    "yellow": (1, (52, 196, 232)),
    "orange": (2, (40, 112, 226)),
    "green": (3, (78, 118, 52)),
    "gray": (4, (122, 120, 118)),
    "red": (5, (40, 36, 172)),
    "blue": (6, (150, 84, 34)),
    "white": (7, (232, 232, 230)),
    "golden": (8, (122, 176, 196)),
    "brown": (9, (48, 66, 96)),
    "black": (10, (40, 38, 38)),
}
COLOUR_SHARES = {
    "yellow": 0.06,
    "orange": 0.04,
    "green": 0.06,
    "gray": 0.15,
    "red": 0.12,
    "blue": 0.12,
    "white": 0.2,
    "golden": 0.07,
    "brown": 0.05,
    "black": 0.13,
}
TYPE_SHARES = {"sedan": 0.3, "hatchback": 0.17, "suv": 0.17, "van": 0.14, "pickup": 0.07, "bus": 0.06, "truck": 0.09}
GROUP_SIZES = ((1, 2, 3, 4, 5, 6), (0.06, 0.2, 0.24, 0.22, 0.16, 0.12))

# The first number of every seed sequence after the data set's seed: one stream for each purpose.
MODELS, CAMERAS, GROUPS, MARKS, NUMBERS, TRACKS, SHOTS = range(1, 8)


@dataclasses.dataclass(frozen=True)
class Identity:
    """One vehicle: number from 1, split 'train' or 'test', shapes.Model, colour name, paint (BGR), marks."""

    number: int
    split: str
    model: shapes.Model
    colour: str
    paint: tuple
    marks: tuple

    @property
    def model_name(self) -> str:
        """The model's name, such as sedan_03."""
        return f"{self.model.type}_{self.model.number:02d}"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of an identity: camera index, track and frame numbers, the shot, and whether it is a query."""

    identity: int
    camera: int
    track: int
    frame: int
    shot: renderer.Shot
    query: bool


@dataclasses.dataclass(frozen=True)
class Population:
    """Everything that a data set shows: cameras, identities (by number - 1) and one list of pictures per identity."""

    cameras: list
    identities: list
    pictures: list


def draw_population(preset: Preset, seed: int, ends_only: bool = False) -> Population:
    """Draw the vehicles and shots of a data set.

    Args:
        preset: presets.Preset.
        seed: non-negative integer.
        ends_only: only front and rear views, as in VehicleID; otherwise as the cameras see them.

    Returns:
        Population
    """
    models = draw_models(preset.models, seed)
    all_cameras = [cameras.draw_camera(k + 1, _stream(seed, CAMERAS, k)) for k in range(preset.cameras)]
    total = preset.train_vehicles + preset.test_vehicles
    numbers = _stream(seed, NUMBERS).permutation(total) + 1
    identities = []
    for part, (split, count) in enumerate((("train", preset.train_vehicles), ("test", preset.test_vehicles))):
        offset = 0 if split == "train" else preset.train_vehicles
        identities += _draw_split(split, numbers[offset : offset + count], models, _stream(seed, GROUPS, part), seed)
    identities.sort(key=lambda identity: identity.number)
    pictures = [None] * total
    for part, split in enumerate(("train", "test")):
        members = [identity for identity in identities if identity.split == split]
        plans = _draw_tracks(
            len(members),
            getattr(preset, f"{split}_tracks"),
            getattr(preset, f"{split}_images"),
            preset.cameras,
            _stream(seed, TRACKS, part),
        )
        for identity, plan in zip(members, plans):
            pictures[identity.number - 1] = _draw_pictures(identity, plan, all_cameras, seed, ends_only)
    return Population(all_cameras, identities, pictures)


def _stream(seed: int, *purpose):
    return np.random.default_rng((seed, *(int(value) for value in purpose)))


def draw_models(count: int, seed: int) -> list[shapes.Model]:
    """Draw `count` models: one of each type first, then by how common the types are."""
    rng = _stream(seed, MODELS)
    names, shares = list(TYPE_SHARES), list(TYPE_SHARES.values())
    kinds = names[:count]
    kinds += [str(kind) for kind in rng.choice(names, size=count - len(kinds), p=shares)]
    return [shapes.draw_model(number, kind, _stream(seed, MODELS, number)) for number, kind in enumerate(kinds, 1)]


def _draw_split(split, numbers, models, rng: np.random.Generator, seed: int):
    """Draw look-alike groups until all numbers are taken; a (model, colour) pair appears once in a split."""
    shares = np.array(list(COLOUR_SHARES.values()))
    used, identities, start = set(), [], 0
    while start < len(numbers):
        size = min(int(rng.choice(GROUP_SIZES[0], p=GROUP_SIZES[1])), len(numbers) - start)
        model = models[int(rng.integers(len(models)))]
        colour = str(rng.choice(list(COLOUR_SHARES), p=shares))
        if (model.number, colour) in used and len(used) < len(models) * len(shares):
            continue
        used.add((model.number, colour))
        shade = _stream(seed, MODELS, model.number, COLOURS[colour][0]).uniform(0.88, 1.12)
        paint = tuple(min(255.0, float(channel * shade)) for channel in COLOURS[colour][1])
        members = _draw_group_marks(model, numbers[start : start + size], seed)
        for number, own in zip(numbers[start : start + size], members):
            identities.append(Identity(int(number), split, model, colour, paint, own))
        start += size
    return identities


def _draw_group_marks(model: Model, numbers, seed: int):
    """Draw marks for look-alikes such that any two differ from the front and from behind."""
    window = windows.has_rear_window(model)
    members = []
    for number in numbers:
        rng = _stream(seed, MARKS, number)
        own = marks.draw_marks(window, rng)
        while not marks.distinct(own, members):
            own = marks.draw_marks(window, rng)
        members.append(own)
    return members


def spread(total: int, parts: int, low: int, high: int, rng: np.random.Generator) -> list[int]:
    """Split `total` into `parts` random integers in [low, high] that add up to it; returns a list."""
    if not low * parts <= total <= high * parts:
        raise ValueError(f"{total} cannot be split into {parts} numbers between {low} and {high}: change the preset.")
    shares = np.full(parts, low)
    weights = rng.gamma(6.0, size=parts)
    while shares.sum() < total:
        open_parts = weights * (shares < high)
        more = rng.multinomial(total - shares.sum(), open_parts / open_parts.sum())
        shares = np.minimum(shares + more, high)
    return shares.tolist()


def _draw_tracks(vehicles, tracks, images, camera_count, rng: np.random.Generator):
    """Return for every vehicle a list of (camera index, number of frames)."""
    per_vehicle = spread(tracks, vehicles, 2, camera_count, rng)
    frames = spread(images, tracks, 1, images, rng)
    plans, start = [], 0
    for count in per_vehicle:
        chosen = rng.permutation(camera_count)[:count]
        plans.append(list(zip(chosen.tolist(), frames[start : start + count])))
        start += count
    return plans


def _draw_pictures(identity: Identity, plan, all_cameras: Any, seed: int, ends_only):
    """Draw the shots of one identity: in every track the lane that the vehicle has been seen in less so far."""
    rng = _stream(seed, SHOTS, identity.number)
    pictures, balance = [], 0
    for track, (camera, frames) in enumerate(plan):
        headings = (all_cameras[camera].heading, all_cameras[camera].oncoming)
        ahead = [np.cos(np.radians(heading)) > 0 for heading in headings]
        wanted = balance < 0 if balance else rng.random() < 0.5
        lane = headings[ahead.index(wanted)] if wanted in ahead and rng.random() < 0.85 else headings[rng.integers(2)]
        balance += 1 if np.cos(np.radians(lane)) > 0 else -1
        middle = lane + rng.normal(0, 6)
        sweep = rng.choice([-1, 1]) * rng.uniform(4, 24)
        query = int(rng.integers(frames))
        for frame in range(frames):
            azimuth = middle + sweep * ((frame + 0.5) / frames - 0.5) + rng.normal(0, 2)
            if ends_only:
                azimuth = (0 if np.cos(np.radians(lane)) > 0 else 180) + np.clip(rng.normal(0, 18), -55, 55)
            shot = renderer.Shot(float(azimuth % 360), (seed, SHOTS, identity.number, track, frame))
            pictures.append(Picture(identity.number, camera, track, frame, shot, frame == query))
    return pictures


def build_mesh(identity: Identity) -> tuple[Mesh, tuple[float, float]]:
    """Return (mesh.Mesh, (length, height) in metres) of an Identity with its marks on."""
    mesh, size, _ = build_marked_mesh(identity)
    return mesh, size


def build_marked_mesh(identity: Identity) -> tuple[Any, ...]:
    """Return what build_mesh does and, for each mark, the range of its polygons in the mesh."""
    vehicle = bodywork.assemble(identity.model)
    builder = vehicle.builder.copy()
    ranges = []
    for mark in identity.marks:
        first = len(builder.polygons)
        mark_painters.put_on(builder, vehicle, mark)
        ranges.append(range(first, len(builder.polygons)))
    height = identity.model.size["height"]
    if vehicle.cargo is not None:
        height = max(height, float(vehicle.cargo.top[0, 1]))
    return vehicle.finish(builder, identity.paint), (identity.model.size["length"], height), ranges
