"""Twins of the training images beside a finished data set: what a perfect generator of other views would make of them.

A twin is the same vehicle in the same camera and light, turned by half a circle. The data set itself holds those of its
test images. They are rendered apart from it and leave its files as they are; the same data set gives the same bytes.
"""

import json
import logging
import os
import pathlib
import shutil
import tempfile
from typing import Any

import tqdm

from ealn_plugin.data.synthetic import layouts, population, presets, renderer, writer
from ealn_plugin.data.synthetic.companions import parameters_of, put
from ealn_plugin.data.synthetic.processes import render_tasks
from ealn_plugin.system.workers import core_count

log = logging.getLogger(__name__)
MARKER = "training_twins.json"
FORMAT = 1  # raise when the same parameters give other pictures
LIST, FOLDER = "train_twins.csv", "image_train_twin"


def add_training_twins(folder: str | os.PathLike[str], processes: int | None = None, progress: bool = True) -> None:
    """Render the twins of the training images into a finished data set, or find them finished.

    image_train_twin/ gets the twin of every training image, train_twins.csv (image,twin) lists them.
    training_twins.json comes last; without it the next call begins anew.

    Args:
        folder: what render_dataset returned.
        processes: how many processes render, >= 1; None takes the cores this process may use.
        progress: show a progress bar.

    Raises:
        ValueError: the folder holds no data set of this version, or an argument is out of its range.
        RuntimeError: a worker process died, or the disk could not be written.
    """
    folder = pathlib.Path(folder)
    if processes is not None and (isinstance(processes, bool) or processes < 1):
        raise ValueError(f"processes is {processes!r}, but it must be an integer of at least 1: give another value.")
    parameters = parameters_of(folder)
    try:
        with writer.only_writer(folder.parent, folder.name):
            if has_training_twins(folder):
                log.info("%s has the twins of its training images already", folder)
                return
            _render_into(folder, parameters, processes or core_count(), progress)
    except OSError as error:
        raise RuntimeError(
            f"cannot write twins into {folder} ({error.strerror or error}): check the folder's permissions and free "
            "space, then run again."
        ) from error


def has_training_twins(folder: str | os.PathLike[str]) -> bool:
    """Return whether a data set has finished twins of its training images, of this version."""
    try:
        content = json.loads((pathlib.Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _render_into(folder, parameters, processes, progress):
    """Render beside the data set, then move everything into it, the marker last."""
    style: Any = layouts.LAYOUTS[parameters["layout"]]
    drawn = population.draw_population(presets.Preset(**parameters["preset"]), parameters["seed"], style.ends_only)
    rows = zip(drawn.identities, drawn.pictures, style.names(drawn))
    tasks = [row for row in rows if row[0].split == "train"]
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        (partial / FOLDER).mkdir()
        arguments = (str(partial), parameters["seed"], drawn.cameras, parameters["image_size"])
        count, lines = sum(len(pictures) for _, pictures, _ in tasks), []
        with tqdm.tqdm(total=count, unit="img", desc=f"twins of {folder.name}", disable=not progress) as bar:
            for index, found in render_tasks(_Worker, arguments, tasks, processes):
                lines += found
                bar.update(len(tasks[index][1]))
        layouts.write_csv(partial / LIST, ("image", "twin"), sorted(lines))
        (partial / MARKER).write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")
        (folder / LIST).unlink(missing_ok=True)  # an older list must not name new files
        for name in (FOLDER, LIST, MARKER):
            put(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("%s has the twins of its %d training images", folder, count)


class _Worker:
    """Renders the twins of one identity's pictures at a time into `folder`."""

    def __init__(self, folder, seed, all_cameras, image_size):
        self.folder = folder
        self.renderer = renderer.Renderer(seed, all_cameras, image_size)

    def render(self, task):
        """Write a task's twins; returns the lines of the list."""
        identity, pictures, names = task
        mesh, size = population.build_mesh(identity)
        found = []
        for picture, paths in zip(pictures, names):
            image = self.renderer.render(mesh, size, picture.camera, picture.shot.turned()).image
            name = f"{FOLDER}/{pathlib.PurePosixPath(paths[0]).name}"
            writer.save_jpeg(image, [f"{self.folder}/{name}"], self.renderer.cameras[picture.camera].quality)
            found.append((paths[0], name))
        return found
