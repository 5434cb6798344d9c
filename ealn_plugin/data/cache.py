"""Decoded and resized images of a dataset, kept on disk between runs.

Decoding and resizing are most of what a loader does, and they give the same pixels in every epoch and run. What is
kept is checked before it is used: each image by its file's name, size and time of change and by a checksum of its
pixels, all of them by the resize and the versions of the libraries that decode. What does not hold is made again.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil

import numpy as np
import PIL
import torch
from PIL import features
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.data import pixel_file
from ealn_plugin.data.pixel_file import BrokenPixelFile, PixelFile, Stamp
from ealn_plugin.system.files import UNFINISHED, replacing
from ealn_plugin.system.locks import unlock, wait_for_lock

log = logging.getLogger(__name__)

_PIXELS, _LOCK = "pixels", "lock"
_BATCH = 16
_MIB = 2**20


class ImageCache:
    """The images of one dataset, decoded and resized.

    Args:
        file: PixelFile. rows: {path as the dataset has it: row of the file}.
    """

    def __init__(self, file, rows):
        self._file, self._rows = file, rows

    def get(self, path):
        """uint8 [height, width, 3], read-only, or None for an image that is not here."""
        row = self._rows.get(path)
        return None if row is None else self._file.pixels[row]


def open_cache(folder, name, paths, resize, workers=0, progress=True):
    """The cache of a dataset's images, after making whatever of it is missing, outdated or damaged.

    Safe against being killed and against other processes that do the same: a file appears when it is whole, and
    while one process decodes the others wait for what it makes.

    Args:
        folder: of all caches; made if needed.
        name: of the dataset, for messages and for its folder's name.
        paths: of the images, as the dataset has them.
        resize: torchvision's Resize to a fixed (height, width).
        workers: processes that decode; 0: this one.
        progress: show progress bars.
    Returns:
        ImageCache; None, after a warning, where the disk is full or cannot be written.
    Raises:
        FileNotFoundError, UnreadableImageError: naming the image, as when it is read without a cache.
    """
    paths = list(dict.fromkeys(paths))
    stamps = _stamps(paths)
    place = os.path.join(os.path.expanduser(folder), _folder_name(name, resize.size, stamps))
    made_by = _made_by(resize)
    try:
        os.makedirs(place, exist_ok=True)
        file, rows = _usable(place, made_by, stamps, name, progress)
        if None in rows:
            with _only_builder(place, name):
                file, rows = _usable(place, made_by, stamps, name, progress)  # by now another process may have made it
                if None in rows:
                    file = _make(
                        place,
                        name,
                        file,
                        rows,
                        made_by,
                        stamps,
                        _decoded(paths, rows, resize, workers),
                        resize.size,
                        progress,
                    )
                    rows = range(len(paths))
    except OSError as error:
        log.warning("going on without an image cache of %s, as it cannot be kept in %s: %s", name, folder, error)
        return None
    log.info("image cache: %d images of %s from %s", len(paths), name, place)
    return ImageCache(file, dict(zip(paths, rows)))


# ---------------------------------------------------------------------------------------------- what belongs to what
def _stamps(paths):
    """[Stamp] of image files; their names are relative to the folder that holds them all."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    stamps = []
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:
            toolkit.read_image(path)  # says so as it does without a cache
            raise
        name = os.path.relpath(os.path.abspath(path), root).replace(os.sep, "/")
        stamps.append(Stamp(name, state.st_size, state.st_mtime_ns))
    return stamps


def _folder_name(name, size, stamps):
    """Different lists of images have different folders; where the dataset lies plays no part."""
    listed = hashlib.sha256("\0".join(stamp.name for stamp in stamps).encode(errors="surrogateescape")).hexdigest()
    return f"{re.sub(r'[^0-9A-Za-z.+_-]+', '_', name)}_{size[0]}x{size[1]}_{listed[:8]}"


def _made_by(resize):
    """What pixels depend on besides the image file; other versions may decode or resize a little differently."""
    return {"resize": repr(resize), "pillow": PIL.__version__, "jpeg": str(features.version("jpg"))}


# ---------------------------------------------------------------------------------------------- what is there already
def _usable(place, made_by, stamps, name, progress):
    """The file in ``place`` and, for each wanted image, its row there, or None where it has to be made again.

    Returns:
        (PixelFile or None, [int or None])
    """
    nothing = None, [None] * len(stamps)
    try:
        file = PixelFile(os.path.join(place, _PIXELS))
    except FileNotFoundError:
        return nothing
    except BrokenPixelFile as error:
        log.warning("image cache of %s: making it again, as %s", name, error)
        return nothing
    if file.made_by != made_by:
        changed = ", ".join(key for key in made_by if file.made_by.get(key) != made_by[key])
        log.info("image cache of %s: making it again, changed since: %s", name, changed)
        return nothing
    rows = {stamp: row for row, stamp in enumerate(file.stamps)}
    rows = [rows.get(stamp) for stamp in stamps]
    damaged = 0
    for number in tqdm(
        range(len(rows)),
        desc=f"checking the image cache of {name}",
        unit="img",
        leave=False,
        disable=not progress,
        dynamic_ncols=True,
    ):
        if rows[number] is not None and not file.is_intact(rows[number]):
            rows[number] = None
            damaged += 1
    if damaged:
        log.warning("image cache of %s: %d images are damaged in %s and are made again", name, damaged, file.path)
    return file, rows


# ---------------------------------------------------------------------------------------------- making it
@contextlib.contextmanager
def _only_builder(place, name):
    """Within it no other process is here, where the file system knows locks; what killed ones left is removed.

    Without locks two builders do the same work, and the file of the last one stays.
    """
    with open(os.path.join(place, _LOCK), "w", encoding="ascii") as file:
        locked = wait_for_lock(
            file, lambda: log.info("image cache of %s: waiting for another process that is making it", name)
        )
        if locked:
            for leftover in os.listdir(place):
                if leftover.startswith(UNFINISHED):
                    os.unlink(os.path.join(place, leftover))
        try:
            yield
        finally:
            if locked:  # closing would not do: processes that were started meanwhile have the file open, too
                unlock(file)


def _make(place, name, old, rows, made_by, stamps, decoded, size, progress):
    """Write the whole file: what the old one has, and for the rest the images that ``decoded`` yields."""
    needed = len(stamps) * size[0] * size[1] * 3
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OSError(
            f"it takes {needed / _MIB:,.0f} MiB and {free / _MIB:,.0f} MiB are free; free some space or "
            "choose another ealn.cache_dir"
        )
    log.info("image cache: decoding %d images of %s, then %.0f MiB in %s", rows.count(None), name, needed / _MIB, place)
    with tqdm(
        total=rows.count(None),
        desc=f"caching the images of {name}",
        unit="img",
        leave=False,
        disable=not progress,
        dynamic_ncols=True,
    ) as bar:

        def images():
            for row in rows:
                if row is None:
                    yield next(decoded)
                    bar.update()
                else:
                    yield old.pixels[row]

        path = os.path.join(place, _PIXELS)
        with replacing(path) as unfinished:
            pixel_file.write(unfinished, size, made_by, stamps, images())
    return PixelFile(path)


class _Resized(Dataset):
    """Images as they come out of ``resize``: uint8 tensors [height, width, 3]."""

    def __init__(self, paths, resize):
        self.paths, self.resize = paths, resize

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return torch.from_numpy(np.array(self.resize(toolkit.read_image(self.paths[index]))))


def _decoded(paths, rows, resize, workers):
    """Yield uint8 [height, width, 3] of the images that have no row, in their order, decoded by several processes."""
    missing = [path for path, row in zip(paths, rows) if row is None]
    loader = DataLoader(
        _Resized(missing, resize),
        batch_size=_BATCH,
        num_workers=min(workers, len(missing)),
        generator=torch.Generator(),
    )  # its own, as a run must draw the same numbers with and without
    for batch in loader:
        yield from batch.numpy()
