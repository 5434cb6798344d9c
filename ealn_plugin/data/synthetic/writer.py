"""Renders a whole data set into a folder, in several processes, and puts the folder in place when it is finished."""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tqdm

from ealn_plugin.data.files import RENDERED
from ealn_plugin.data.synthetic import journeys, layouts, population, presets, renderer
from ealn_plugin.data.synthetic.processes import render_tasks
from ealn_plugin.data.times import TIME_LIST
from ealn_plugin.system.locks import wait_for_lock
from ealn_plugin.system.workers import core_count

log = logging.getLogger(__name__)
MARKER = RENDERED
FORMAT = 1  # raise when the same parameters give other pictures
SMALLEST = 32


@dataclasses.dataclass(frozen=True)
class Record:
    """A written picture: its identity, its population.Picture, its paths in the folder, key points int [20, 2]."""

    identity: population.Identity
    picture: population.Picture
    paths: list
    key_points: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Task:
    """One identity's pictures for a worker."""

    identity: population.Identity
    pictures: list
    paths: list


def render_dataset(
    root: str | PathLike[str],
    layout: str = "veri776",
    preset: Any = "tiny",
    seed: int = 0,
    image_size: int | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> Path:
    """Render a data set of vehicles, or find it finished.

    The same arguments give the same bytes whatever the number of processes. The folder appears under its final name
    only when it is complete; a killed run leaves a hidden folder that the next run removes.

    Args:
        root: folder in which the data set's own folder is made.
        layout: 'veri776' (root/VeRi) or 'vehicleid' (root/VehicleID_V1.0, front and rear views only).
        preset: a name in presets.PRESETS or a presets.Preset.
        seed: integer >= 0.
        image_size: width and height in pixels, >= 32; None takes the preset's.
        processes: how many processes render; None takes the cores this process may use.
        progress: show a progress bar.

    Returns:
        pathlib.Path of the data set's folder.

    Raises:
        ValueError: an argument is out of its range.
        FileExistsError: the folder exists and is not the one asked for.
        RuntimeError: a worker process died, or the disk could not be written.
    """
    preset = _check_arguments(layout, preset, seed, image_size, processes)
    image_size = preset.image_size if image_size is None else image_size
    style = layouts.LAYOUTS[layout]
    parameters = {
        "format": FORMAT,
        "layout": layout,
        "preset": dataclasses.asdict(preset),
        "seed": seed,
        "image_size": image_size,
    }
    root = pathlib.Path(root)
    target = root / style.folder  # type: ignore[attr-defined]
    try:
        if _finished(target, parameters):
            log.info("%s is complete already: %s", target, _describe(read_marker(target)["counts"]))  # type: ignore[index]
            _add_times(target, style, preset, seed)
            return target
        root.mkdir(parents=True, exist_ok=True)
        with only_writer(root, style.folder):  # type: ignore[attr-defined]
            if _finished(target, parameters):  # another process has finished it meanwhile
                return target
            _render_into(target, style, parameters, preset, processes or core_count(), progress)
    except OSError as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise
        raise RuntimeError(
            f"cannot write the rendered data set to {target} ({error.strerror or error}): check the "
            f"folder's permissions and free space, then run again."
        ) from error
    return target


def is_complete(folder: str | PathLike[str]) -> bool:
    """Return whether `folder` is a finished data set that render_dataset made."""
    return read_marker(folder) is not None


def read_marker(folder: str | PathLike[str]) -> dict[str, Any] | None:
    """Return the parameters and counts (dict) of a finished rendered data set, or None if `folder` is none."""
    try:
        content = json.loads((pathlib.Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "parameters" in content else None


def _check_arguments(layout: str, preset: Any, seed: int, image_size: int | None, processes: int | None):
    if layout not in layouts.LAYOUTS:
        raise ValueError(f"layout {layout!r} is unknown: choose one of {', '.join(layouts.LAYOUTS)}.")
    if not isinstance(preset, presets.Preset):
        if preset not in presets.PRESETS:
            raise ValueError(f"preset {preset!r} is unknown: choose one of {', '.join(presets.PRESETS)}.")
        preset = presets.PRESETS[preset]
    for name, value, low in (("seed", seed, 0), ("image_size", image_size, SMALLEST), ("processes", processes, 1)):
        if value is None and name != "seed":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise ValueError(f"{name} is {value!r}, but it must be an integer of at least {low}: give another value.")
    return preset


def _finished(target, parameters):
    if not target.exists():
        return False
    marker = read_marker(target)
    if marker is None:
        raise FileExistsError(
            f"{target} exists and was not rendered by this program: choose another root folder, or move it away."
        )
    if marker["parameters"] != parameters:
        changed = [name for name in parameters if marker["parameters"].get(name) != parameters[name]]
        raise FileExistsError(
            f"{target} was rendered with another {' and '.join(changed)}: choose another root "
            f"folder, or delete it to render it anew."
        )
    return True


def _add_times(target: Path, style: Any, preset: Any, seed: int) -> None:
    """Give a data set that was rendered before there were times its times.csv."""
    if style.knows_cameras and not (target / TIME_LIST).exists():
        drawn = population.draw_population(preset, seed, style.ends_only)
        journeys.write_times(target, drawn, style.names(drawn), seed)


@contextlib.contextmanager
def only_writer(root: Any, name: str) -> Iterator[None]:
    """Let one process at a time render into `root`, and remove what killed runs left there."""
    with open(root / f".{name}.lock", "w", encoding="ascii") as file:
        if not wait_for_lock(file, lambda: log.info("waiting for another process that renders into %s", root)):
            log.debug("no file locks in %s: two runs at once would both render", root)
        for leftover in root.glob(f".{name}.partial-*"):
            log.info("removing %s, left by a run that was stopped", leftover)
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _render_into(target, style, parameters, preset: Any, processes: int | None, progress: bool) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        os.chmod(folder, 0o755)
        for name in style.image_folders:
            (folder / name).mkdir()
        drawn = population.draw_population(preset, parameters["seed"], style.ends_only)
        tasks = [_Task(*row) for row in zip(drawn.identities, drawn.pictures, style.names(drawn))]
        started = time.perf_counter()
        arguments = (str(folder), parameters["seed"], drawn.cameras, parameters["image_size"])
        records = _run(tasks, arguments, processes, progress, target)
        style.write(folder, records, drawn)
        layouts.write_annotations(folder, records, drawn)
        if style.knows_cameras:
            journeys.write_times(folder, drawn, style.names(drawn), parameters["seed"])
        counts = _count(records)
        marker = json.dumps({"parameters": parameters, "counts": counts}, indent=1, sort_keys=True)
        (folder / MARKER).write_text(marker + "\n", encoding="utf-8")
        os.replace(folder, target)
        seconds = time.perf_counter() - started
        speed = counts["rendered"] / seconds / min(processes, core_count())
        log.info("%s is complete: %s", target, _describe(counts))
        log.info(
            "rendered %d images of %d px in %.1f s with %d processes: %.0f images/s per core",
            counts["rendered"],
            parameters["image_size"],
            seconds,
            processes,
            speed,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _count(records: Sequence[Any]):
    train = [r for r in records if r.identity.split == "train"]
    test = [r for r in records if r.identity.split == "test"]
    return {
        "train_images": len(train),
        "train_vehicles": len({r.identity.number for r in train}),
        "test_images": len(test),
        "test_vehicles": len({r.identity.number for r in test}),
        "tracks": sum(r.picture.query for r in test),
        "twins": len(test),
        "rendered": len(records) + len(test),
    }


def _describe(counts):
    return (
        "{train_images} images of {train_vehicles} vehicles for training; {test_images} images of {test_vehicles} "
        "vehicles for testing, in {tracks} tracks, with {twins} twins".format(**counts)
    )


def _picture_count(task):
    return len(task.pictures) * (2 if task.identity.split == "test" else 1)


def _run(tasks, arguments, processes: int | None, progress: bool, target):
    """Render all tasks; returns the Records in the order of the tasks."""
    results = render_tasks(_Worker, arguments, tasks, processes or core_count())
    records = [None] * len(tasks)
    with tqdm.tqdm(
        total=sum(map(_picture_count, tasks)), unit="img", desc=f"rendering {target.name}", disable=not progress
    ) as bar:
        for index, key_points in results:
            task = tasks[index]
            records[index] = [Record(task.identity, *row) for row in zip(task.pictures, task.paths, key_points)]
            bar.update(_picture_count(task))
    return [record for rows in records for record in rows]  # type: ignore[attr-defined]


class _Worker:
    """Renders one identity's pictures at a time into `folder`."""

    def __init__(self, folder: str, seed: int, all_cameras: Any, image_size: int | None) -> None:
        self.folder = folder
        self.renderer = renderer.Renderer(seed, all_cameras, image_size)  # type: ignore[arg-type]

    def render(self, task: "_Task") -> list[np.ndarray]:
        """Write the pictures and twins of a task; returns the key points of each picture, int [20, 2]."""
        identity = task.identity
        mesh, size = population.build_mesh(identity)
        found = []
        for picture, paths in zip(task.pictures, task.paths):
            quality = self.renderer.cameras[picture.camera].quality
            rendering = self.renderer.render(mesh, size, picture.camera, picture.shot)
            self._save(rendering.image, paths, quality)
            if identity.split == "test":
                twin = self.renderer.render(mesh, size, picture.camera, picture.shot.turned())
                self._save(twin.image, [layouts.twin_path(paths[0])], quality)
            found.append(renderer.visible_key_points(mesh, rendering))
        return found

    def _save(self, image, paths, quality) -> None:
        save_jpeg(image, [f"{self.folder}/{path}" for path in paths], quality)


def save_jpeg(image: np.ndarray, paths: list[str], quality: int) -> None:
    """Write an image, uint8 [height, width, 3] (BGR), as one JPEG file of a quality in [0, 100] under all the paths."""
    data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()
    for path in paths:
        with open(path, "wb") as file:
            file.write(data)
