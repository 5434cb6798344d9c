"""A picture of the benchmark: every type from every side, and look-alikes with their marks boxed."""

import dataclasses
import pathlib

import cv2
import numpy as np

from ealn_plugin.data.synthetic import population, presets, renderer
from ealn_plugin.system.files import replacing

WIDTH = 896
VIEWS = {
    "front": 0,
    "left-front": 40,
    "left": 85,
    "left-rear": 140,
    "rear": 180,
    "right-rear": 220,
    "right": 275,
    "right-front": 320,
}
CAPTION = 18


def draw_contact_sheet(preset="small", seed=0):
    """Draw the contact sheet of a data set.

    Args:
        preset: a name in presets.PRESETS or a presets.Preset.
        seed: the data set's seed, an integer >= 0.

    Returns:
        uint8 [height, 896, 3], BGR: a row per type with eight views, without the cameras' defects; one vehicle as the
        cameras deliver it; look-alikes (same model and colour) from the front and from behind, marks boxed.
    """
    preset = preset if isinstance(preset, presets.Preset) else presets.PRESETS[preset]
    drawn = population.draw_population(preset, seed)
    clear = [
        dataclasses.replace(camera, blur=0.0, noise=0.0, occlusion=0.0, lift=4.0, roll=0.0) for camera in drawn.cameras
    ]
    rows = [_caption(*VIEWS)]
    rows += _type_rows(drawn, clear, seed)
    rows += [_caption("one vehicle as eight cameras deliver it"), _camera_row(drawn, seed)]
    group = _look_alikes(drawn)
    kind = f"{group[0].model_name}, {group[0].colour}"
    rows.append(_caption(f"same model, same colour ({kind}): only the boxed marks differ"))
    rows += [_marked_row(group, clear, azimuth, seed) for azimuth in (18, 198)]
    return np.vstack(rows)


def write_contact_sheet(path, preset="small", seed=0):
    """Write the contact sheet as a PNG file, atomically; returns its pathlib.Path. Raises OSError."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = draw_contact_sheet(preset, seed) & 0xF8 | 4  # five bits a channel halve the file
    data = cv2.imencode(".png", sheet, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes()
    with replacing(path) as partial:
        pathlib.Path(partial).write_bytes(data)
    return path


def _type_rows(drawn, clear, seed):
    size = WIDTH // len(VIEWS)
    studio = renderer.Renderer(seed, clear, size)
    used = set()
    for kind in population.TYPE_SHARES:
        members = [identity for identity in drawn.identities if identity.model.type == kind]
        if not members:
            continue
        fresh = [identity for identity in members if identity.colour not in used]
        chosen = (fresh or members)[0]
        used.add(chosen.colour)
        mesh, extent = population.build_mesh(chosen)
        cells = [
            studio.render(mesh, extent, k % len(clear), renderer.Shot(float(azimuth), (seed, k))).image
            for k, azimuth in enumerate(VIEWS.values())
        ]
        _label(cells[0], kind)
        yield np.hstack(cells)


def _camera_row(drawn, seed):
    size = WIDTH // len(VIEWS)
    real = renderer.Renderer(seed, drawn.cameras, size)
    identity = max(drawn.identities, key=lambda one: len({p.camera for p in drawn.pictures[one.number - 1]}))
    mesh, extent = population.build_mesh(identity)
    first = {}
    for picture in drawn.pictures[identity.number - 1]:
        first.setdefault(picture.camera, picture)
    shots = (list(first.values()) + drawn.pictures[identity.number - 1])[: len(VIEWS)]
    cells = [real.render(mesh, extent, picture.camera, picture.shot).image for picture in shots]
    cells += [np.zeros_like(cells[0])] * (len(VIEWS) - len(cells))
    return np.hstack(cells)


def _look_alikes(drawn, count=4):
    """Return `count` identities of the same model and colour (fewer if the data set has no such group)."""
    groups = {}
    for identity in drawn.identities:
        groups.setdefault((identity.split, identity.model.number, identity.colour), []).append(identity)
    good = [group for group in groups.values() if group[0].model.type in ("sedan", "hatchback", "suv")]
    return max(good or groups.values(), key=lambda group: min(len(group), count))[:count]


def _marked_row(group, clear, azimuth, seed):
    size = WIDTH // 4
    studio = renderer.Renderer(seed, clear, size)
    cells = []
    for identity in group:
        mesh, extent, ranges = population.build_marked_mesh(identity)
        rendering = studio.render(mesh, extent, 0, renderer.Shot(float(azimuth), (seed, azimuth)))
        image = rendering.image.copy()
        for box in filter(None, (_mark_box(mesh, rendering, numbers) for numbers in ranges)):
            cv2.rectangle(image, box[0], box[1], (40, 240, 255), 1)
        _label(image, f"vehicle {identity.number}")
        cells.append(image)
    cells += [np.zeros_like(cells[0])] * (4 - len(cells))
    return np.hstack(cells)


def _mark_box(mesh, rendering, numbers):
    """Return the corners ((x, y), (x, y)) of a visible mark's box in pixels, or None."""
    facing = rendering.facing(mesh.centres, mesh.normals) > 0.1
    shown = [k for k in numbers if facing[k] and (mesh.clips[k] < 0 or facing[mesh.clips[k]])]
    if not shown:
        return None
    spots = np.concatenate([_clipped_pixels(mesh, rendering, k) for k in shown])
    low, high = np.floor(spots.min(axis=0)) - 3, np.ceil(spots.max(axis=0)) + 3
    return tuple(low.astype(int).tolist()), tuple(high.astype(int).tolist())


def _clipped_pixels(mesh, rendering, number):
    spots = rendering.pixels(mesh.points[slice(*mesh.bounds[number])])
    if mesh.clips[number] >= 0:
        window = rendering.pixels(mesh.points[slice(*mesh.bounds[mesh.clips[number]])])
        spots = np.clip(spots, window.min(axis=0), window.max(axis=0))
    return spots


def _caption(*texts):
    """Return a white strip with texts at equal distances."""
    strip = np.full((CAPTION, WIDTH, 3), 248, dtype=np.uint8)
    for k, text in enumerate(texts):
        place = (6 + k * WIDTH // len(texts), CAPTION - 5)
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def _label(image, text):
    """Write text on a white box in the upper left corner of a cell, in place."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    cv2.rectangle(image, (0, 0), (width + 6, height + 7), (248, 248, 248), -1)
    cv2.putText(image, text, (3, height + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (30, 30, 30), 1, cv2.LINE_AA)
