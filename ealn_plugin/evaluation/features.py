"""What an evaluation needs to know of a set of test images: their embeddings and labels, extracted once."""

import os
from dataclasses import dataclass, field, fields

import numpy as np

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.row_file import NoRoomError, RowFile
from ealn_plugin.system.files import replacing

LARGE, BLOCK = 2**28, 2**24
"""Bytes from which a file's embeddings are not held in memory, and those that are read at a time."""

# Names of the arrays inside an .npz file, where they differ from the attribute's.
_ARRAY_NAMES = {"embeddings": "features"}

# What each array of labels may hold, and what to do about one that does not.
_NUMBER_THEM = "whole numbers", "number them, as numpy.unique(labels, return_inverse=True)[1] does"
_WANTED = {
    "pids": _NUMBER_THEM,
    "camids": _NUMBER_THEM,
    "views": (
        ", ".join(f"{int(view)} ({view.name.lower()})" for view in View),
        "translate the labels with ealn_plugin.data.viewpoints.view_from_name",
    ),
    "is_query": ("True or False", "store booleans"),
}


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings of the query and gallery images of one dataset, in numpy arrays of equal length.

    Attributes:
        embeddings: float32 [n, dim].
        pids: int64 [n], vehicle numbers.
        camids: int64 [n], camera numbers.
        views: int64 [n], values of ``View``; View.UNKNOWN (-1) where no label exists.
        is_query: bool [n], True for queries and False for gallery images.
        paths: list of n strings, or empty where the images are not known.

    Raises:
        ValueError: an array of another length or number of dimensions, or with values that have no place in it. Whole
            numbers may come as floats, and is_query as zeros and ones.
    """

    embeddings: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    views: np.ndarray
    is_query: np.ndarray
    paths: list = field(default_factory=list)

    def __post_init__(self):
        embeddings = _checked_embeddings(self.embeddings)
        object.__setattr__(self, "embeddings", embeddings)
        for name, dtype in (("is_query", bool), ("pids", np.int64), ("camids", np.int64), ("views", np.int64)):
            object.__setattr__(self, name, _checked_labels(name, getattr(self, name), len(embeddings), dtype))
        object.__setattr__(self, "paths", _checked_paths(self.paths, len(embeddings)))

    def __len__(self):
        return len(self.embeddings)

    def subset(self, rows):
        """The images of the given row numbers (int array) or mask (bool [n]), as Features of their own."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        paths = [self.paths[row] for row in rows] if self.paths else []
        return Features(
            self.embeddings[rows], self.pids[rows], self.camids[rows], self.views[rows], self.is_query[rows], paths
        )

    @property
    def query(self):
        """The query images."""
        return self.subset(self.is_query)

    @property
    def gallery(self):
        """The gallery images."""
        return self.subset(~self.is_query)

    def save(self, path):
        """Write an .npz file: arrays features, pids, camids, views, is_query, paths.

        The file appears under its name only when it is complete. A name without a suffix is taken as it is.

        Raises:
            UnwritableError: as ``ealn_plugin.system.files.replacing``.
        """
        path = os.fspath(path)
        arrays = {_ARRAY_NAMES.get(item.name, item.name): getattr(self, item.name) for item in fields(self)}
        arrays["paths"] = np.array(self.paths, dtype=np.str_)
        with replacing(path) as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote, or features made elsewhere.

        ``features`` [n, dim] and ``pids`` [n] must be there. Where ``is_query`` is missing no image is a query;
        where ``camids`` is missing queries get camera 0 and gallery images camera 1, so that none is junk;
        where ``views`` is missing every view is unknown.

        Raises:
            FileNotFoundError: there is no such file.
            NoRoomError: it is large, and the disk has no room to map it from.
            ValueError: not an .npz file, an array missing, or arrays that are not what ``Features`` asks for; the file
                and the array are named.
        """
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"the features file {path!r} does not exist; extract features first or correct the path"
            )
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != "features"}
                if "features" in archive.files:
                    arrays["features"] = _read_rows(archive, "features", os.path.dirname(path))
        except NoRoomError:
            raise
        except Exception as error:  # numpy, zipfile and zlib raise many kinds for a broken file, MemoryError among them
            raise ValueError(
                f"{path!r} cannot be read as an .npz file of plain arrays ({error or type(error).__name__}"
                "); write it with numpy.savez"
            ) from error
        missing = [name for name in ("features", "pids") if name not in arrays]
        if missing:
            raise ValueError(
                f"{path!r} has the arrays {sorted(arrays)}, expected also {' and '.join(missing)}; store "
                "features, pids, camids, views, is_query"
            )
        images = np.shape(arrays["features"])[:1]
        is_query = arrays.get("is_query", np.zeros(images, dtype=bool))
        try:
            return cls(
                arrays["features"],
                arrays["pids"],
                arrays.get("camids", np.where(is_query, 0, 1)),
                arrays.get("views", np.full(images, int(View.UNKNOWN))),
                is_query,
                arrays.get("paths", ()),
            )
        except ValueError as error:
            raise ValueError(f"{path!r}: {error}") from error


def _read_rows(archive, name, folder):
    """An array of an .npz archive; a large one of rows goes block by block into a file and is mapped from there.

    It cannot be mapped where it is: it may be compressed or hold doubles, and would not be checked.

    Args:
        archive: numpy.lib.npyio.NpzFile. folder: tried first as the place of that file.
    """
    size = archive.zip.getinfo(f"{name}.npy").file_size
    if size < LARGE:
        return archive[name]
    with archive.zip.open(f"{name}.npy") as member:
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            np.lib.format.read_magic(member)
        )
        shape, by_columns, dtype = read_header(member) if read_header else (None, None, None)
        if shape is None or len(shape) != 2 or by_columns or dtype.kind not in "fiub" or not shape[1]:
            return archive[name]  # which says what is wrong with it, or turns columns into rows
        rows = RowFile(shape[0], folder if os.access(folder or ".", os.W_OK) else None)
        block = max(1, BLOCK // (shape[1] * dtype.itemsize))
        for start in range(0, shape[0], block):
            values = member.read(min(block, shape[0] - start) * shape[1] * dtype.itemsize)
            rows.append(np.frombuffer(values, dtype).reshape(-1, shape[1]))
        if member.read(1):  # at the end the archive's checksum is compared
            raise ValueError(f"{name} is longer than its header says")
    return rows.array()


def _checked_embeddings(values):
    values = np.asarray(values)
    if values.ndim != 2:
        raise ValueError(
            f"embeddings (the array 'features') have shape {values.shape}, expected [images, dimensions]; "
            "flatten each image's feature to one row"
        )
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"embeddings (the array 'features') hold {values.dtype}, expected real numbers; convert them to float32"
        )
    return values.astype(np.float32, copy=False)


def _checked_labels(name, values, images, dtype):
    """``values`` as an array [images] of ``dtype`` that equals them; nothing is rounded or guessed."""
    values = np.asarray(values)
    if values.shape != (images,):
        raise ValueError(
            f"{name} has shape {values.shape}, expected ({images},) as there are {images} embeddings; "
            "give one value per image"
        )
    wanted, remedy = _WANTED[name]
    if values.dtype.kind not in ("biuf" if dtype is bool else "iuf"):
        raise ValueError(f"{name} holds {values.dtype}, expected {wanted}; {remedy}")
    with np.errstate(invalid="ignore"):
        converted = values.astype(dtype, copy=False)
    wrong = converted != values
    if name == "views":
        wrong |= ~np.isin(converted, [int(view) for view in View])
    if wrong.any():
        image = int(np.argmax(wrong))
        raise ValueError(f"{name}[{image}] is {values[image]}, expected {wanted}; {remedy}")
    return converted


def _checked_paths(paths, images):
    listed = paths.tolist() if isinstance(paths, np.ndarray) else paths
    if isinstance(listed, (str, bytes)) or not hasattr(listed, "__len__"):
        raise ValueError(f"paths is {listed!r}, expected {images} file names or none; give one path per embedding")
    if len(listed) not in (0, images):
        raise ValueError(f"paths has {len(listed)} entries, expected {images} or none; give one path per embedding")
    for path in listed:
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"paths has the entry {path!r}, expected file names; store them as strings")
    return [str(path) for path in listed]
