"""Pictures beside a finished data set: lookalikes of its training images, and twins without marks of its test images.

They are rendered apart from the data set, whose files they leave as they are, and the same data set gives the same
bytes. Both are answers to questions that no real data set can answer: what would perfect hard negatives give, and how
much of the other view can be known to somebody who has not seen its marks.
"""

import dataclasses
import errno
import functools
import json
import logging
import math
import os
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
import tqdm

from ealn_plugin.data.synthetic import layouts, population, presets, renderer, writer
from ealn_plugin.data.synthetic.lookalikes import KINDS, LOOKALIKES, draw_lookalike, without_marks
from ealn_plugin.data.synthetic.processes import render_tasks
from ealn_plugin.system.entrances import command
from ealn_plugin.system.workers import core_count

log = logging.getLogger(__name__)
MARKER = "companions.json"
FORMAT = 1  # raise when the same parameters give other pictures
LOOKALIKE_LIST, LOOKALIKE_FOLDER = "lookalikes.csv", "image_lookalike"
UNMARKED_LIST, UNMARKED_FOLDER = "unmarked_twins.csv", "image_twin_unmarked"
VEHICLES = 4  # at least so many lookalikes of each kind share the shots of a vehicle
VISIBLE = 0.002  # share of the pixels that must change; a quarter of the picture without any marks changes less than 1%
STEP = 24  # change of a pixel's channel, of 255, from which on it is seen


@dataclasses.dataclass(frozen=True)
class _Task:
    """One identity's pictures for a worker; paths: of each picture, as in the data set."""

    identity: population.Identity
    pictures: list
    paths: list


def add_companions(
    folder: str | os.PathLike, lookalikes: int, processes: int | None = None, progress: bool = True
) -> None:
    """Render lookalikes and unmarked twins into a finished data set, or find them finished.

    image_lookalike/ gets `lookalikes` pictures of every training image, lookalikes.csv (image,lookalike,kind) lists
    them; image_twin_unmarked/ gets the twin of every test image without any marks, unmarked_twins.csv (image,twin)
    lists them. companions.json comes last; without it the next call begins anew.

    Args:
        folder: what render_dataset returned.
        lookalikes: pictures per training image, >= 1; their kinds alternate, see lookalikes.draw_lookalike.
        processes: how many processes render; None takes the cores this process may use.
        progress: show a progress bar.

    Raises:
        ValueError: an argument is out of its range, or the folder holds no data set of this version.
        FileExistsError: it has companions already, another number of them.
        RuntimeError: a worker process died, or the disk could not be written.
    """
    folder = pathlib.Path(folder)
    for name, value in (("lookalikes", lookalikes), ("processes", 1 if processes is None else processes)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}, but it must be an integer of at least 1: give another value.")
    parameters = parameters_of(folder)
    try:
        with writer.only_writer(folder.parent, folder.name):
            if _finished(folder, lookalikes):
                log.info("%s has its %d lookalikes of every training image already", folder, lookalikes)
                return
            _render_into(folder, parameters, int(lookalikes), processes or core_count(), progress)
    except OSError as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise
        raise RuntimeError(
            f"cannot write lookalikes into {folder} ({error.strerror or error}): check the folder's permissions and "
            "free space, then run again."
        ) from error


def has_companions(folder: str | os.PathLike) -> bool:
    """Return whether a data set has finished companions of this version, however many lookalikes."""
    return (_marker(pathlib.Path(folder)) or {}).get("format") == FORMAT


def _marker(folder):
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def parameters_of(folder: pathlib.Path) -> dict[str, Any]:
    """Return what a finished rendered data set was rendered with.

    Raises:
        ValueError: the folder holds none of this version.
    """
    marker = writer.read_marker(folder)
    if marker is None:
        raise ValueError(f"{folder} is no finished rendered data set: render it first with {command('make-synthetic')}")
    if marker["parameters"].get("format") != writer.FORMAT:
        raise ValueError(f"{folder} was rendered by another version of this program: delete it to render it anew.")
    return marker["parameters"]


def _finished(folder, lookalikes):
    found = _marker(folder)
    if found is None:
        return False
    if found.get("format") != FORMAT or found.get("lookalikes") != lookalikes:
        raise FileExistsError(
            f"{folder} has {found.get('lookalikes')} lookalikes of every training image (format "
            f"{found.get('format')}), not {lookalikes} (format {FORMAT}): ask for as many, or delete {folder / MARKER} "
            "to render them anew."
        )
    return True


def _render_into(folder, parameters, lookalikes, processes, progress):
    """Render beside the data set, then move everything into it, the marker last."""
    style: Any = layouts.LAYOUTS[parameters["layout"]]
    seed = parameters["seed"]
    drawn = population.draw_population(presets.Preset(**parameters["preset"]), seed, style.ends_only)
    tasks = [_Task(*row) for row in zip(drawn.identities, drawn.pictures, style.names(drawn))]
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        for name in (LOOKALIKE_FOLDER, UNMARKED_FOLDER):
            (partial / name).mkdir()
        arguments = (str(partial), seed, drawn.cameras, parameters["image_size"], lookalikes)
        alike, twins = [], []
        counts = [len(task.pictures) * (lookalikes if task.identity.split == "train" else 1) for task in tasks]
        bar = tqdm.tqdm(total=sum(counts), unit="img", desc=f"lookalikes of {folder.name}", disable=not progress)
        with bar:
            for index, (some_alike, some_twins) in render_tasks(_Worker, arguments, tasks, processes):
                alike += some_alike
                twins += some_twins
                bar.update(counts[index])
        layouts.write_csv(partial / LOOKALIKE_LIST, ("image", "lookalike", "kind"), sorted(alike))
        layouts.write_csv(partial / UNMARKED_LIST, ("image", "twin"), sorted(twins))
        content = {"format": FORMAT, "lookalikes": lookalikes}
        (partial / MARKER).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for name in (UNMARKED_LIST, LOOKALIKE_LIST):  # an older list must not name new files
            (folder / name).unlink(missing_ok=True)
        for name in (UNMARKED_FOLDER, LOOKALIKE_FOLDER, UNMARKED_LIST, LOOKALIKE_LIST, MARKER):
            put(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info(
        "%s has %d lookalikes of its training images and %d unmarked twins",
        folder,
        len(alike),
        len({twin for _, twin in twins}),
    )


def put(source: pathlib.Path, target: pathlib.Path) -> None:
    """Move a file or folder to its place; a folder that a stopped run left there goes first."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(target)
        os.replace(source, target)


class _Worker:
    """Renders one identity's companions at a time into `folder`."""

    def __init__(self, folder, seed, all_cameras, image_size, count):
        self.folder, self.seed, self.count = folder, seed, count
        self.vehicles = max(VEHICLES, math.ceil(count / len(KINDS)))
        self.renderer = renderer.Renderer(seed, all_cameras, image_size)

    def render(self, task):
        """Write a task's pictures; returns the lines of lookalikes.csv and of unmarked_twins.csv."""
        mesh, size = population.build_mesh(task.identity)
        if task.identity.split == "test":
            return [], list(self._unmarked_twins(task, mesh, size))
        return list(self._lookalikes(task, mesh, size)), []

    def _unmarked_twins(self, task, mesh, size):
        bare, _ = population.build_mesh(without_marks(task.identity))
        for picture, paths in zip(task.pictures, task.paths):
            image = self.renderer.render(bare, size, picture.camera, picture.shot.turned(), framed=mesh).image
            name = f"{UNMARKED_FOLDER}/{pathlib.PurePosixPath(paths[0]).name}"
            self._save(image, name, picture.camera)
            for path in paths:
                yield path, name

    def _lookalikes(self, task, mesh, size):
        others = {
            (kind, number): population.build_mesh(draw_lookalike(task.identity, kind, number, self.seed))[0]
            for kind in KINDS
            for number in range(self.vehicles)
        }
        for index, (picture, paths) in enumerate(zip(task.pictures, task.paths)):
            rng = np.random.default_rng((self.seed, LOOKALIKES, task.identity.number, len(KINDS), index))
            shot = functools.partial(
                self.renderer.render, size=size, camera=picture.camera, shot=picture.shot, framed=mesh
            )
            for number, (kind, image) in enumerate(self._chosen(shot, mesh, others, rng), 1):
                name = f"{LOOKALIKE_FOLDER}/{pathlib.PurePosixPath(paths[0]).stem}_k{number}.jpg"
                self._save(image, name, picture.camera)
                yield paths[0], name, kind

    def _chosen(self, shot, mesh, others, rng):
        """Yield (kind, image) of lookalikes in a shot: random ones, but for those in which no change can be seen."""
        real = shot(mesh).image
        waiting = {kind: rng.permutation(self.vehicles).tolist() for kind in KINDS}
        for number in range(self.count):
            kind = KINDS[number % len(KINDS)]
            images, seen = {}, {}
            for other in waiting[kind]:
                images[other] = shot(others[kind, other]).image
                seen[other] = changed(real, images[other])
                if seen[other] >= VISIBLE:
                    break
            best = max(seen, key=lambda other: seen[other])
            waiting[kind].remove(best)
            yield kind, images[best]

    def _save(self, image, name, camera):
        writer.save_jpeg(image, [f"{self.folder}/{name}"], self.renderer.cameras[camera].quality)


def changed(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share in [0, 1] of the pixels in which two images, uint8 [height, width, 3], visibly differ."""
    return float((np.abs(one.astype(np.int16) - other).max(axis=2) >= STEP).mean())
