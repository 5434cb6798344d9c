"""What an evaluation needs to know of a set of test images: their embeddings and labels, extracted once."""
import os
import zipfile
from dataclasses import dataclass, field, fields

import numpy as np

from ealn_plugin.data.viewpoints import View
from ealn_plugin.writing import replacing

# Names of the arrays inside an .npz file, where they differ from the attribute's.
_ARRAY_NAMES = {"embeddings": "features"}


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
        ValueError: an array of another length or number of dimensions.
    """

    embeddings: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    views: np.ndarray
    is_query: np.ndarray
    paths: list = field(default_factory=list)

    def __post_init__(self):
        embeddings = np.asarray(self.embeddings, dtype=np.float32)
        if embeddings.ndim != 2:
            raise ValueError(f"embeddings have shape {embeddings.shape}, expected [images, dimensions]; flatten each "
                             "image's feature to one row")
        object.__setattr__(self, "embeddings", embeddings)
        for name, dtype in (("pids", np.int64), ("camids", np.int64), ("views", np.int64), ("is_query", bool)):
            values = np.asarray(getattr(self, name))
            if values.shape != (len(embeddings),):
                raise ValueError(f"{name} has shape {values.shape}, expected ({len(embeddings)},) as there are "
                                 f"{len(embeddings)} embeddings; give one value per image")
            object.__setattr__(self, name, values.astype(dtype, copy=False))
        paths = [str(path) for path in self.paths]
        if paths and len(paths) != len(embeddings):
            raise ValueError(f"paths has {len(paths)} entries, expected {len(embeddings)} or none; give one path per "
                             "embedding")
        object.__setattr__(self, "paths", paths)

    def __len__(self):
        return len(self.embeddings)

    def subset(self, rows):
        """The images of the given row numbers (int array) or mask (bool [n]), as Features of their own."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        paths = [self.paths[row] for row in rows] if self.paths else []
        return Features(self.embeddings[rows], self.pids[rows], self.camids[rows], self.views[rows],
                        self.is_query[rows], paths)

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
        """
        path = os.fspath(path)
        arrays = {_ARRAY_NAMES.get(item.name, item.name): getattr(self, item.name) for item in fields(self)}
        arrays["paths"] = np.array(self.paths, dtype=np.str_)
        try:
            with replacing(path) as unfinished, open(unfinished, "wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise OSError(f"the features cannot be written to {path!r} ({error}); choose a folder that exists and has "
                          f"{self.embeddings.nbytes / 2**20:.0f} MiB free") from error

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote, or features made elsewhere.

        ``features`` [n, dim] and ``pids`` [n] must be there. Where ``is_query`` is missing no image is a query;
        where ``camids`` is missing queries get camera 0 and gallery images camera 1, so that none is junk;
        where ``views`` is missing every view is unknown.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: not an .npz file, an array missing, or arrays that do not fit together.
        """
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"the features file {path!r} does not exist; extract features first or correct "
                                    "the path")
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path!r} cannot be read as an .npz file of plain arrays ({error}); write it with "
                             "numpy.savez") from error
        missing = [name for name in ("features", "pids") if name not in arrays]
        if missing:
            raise ValueError(f"{path!r} has the arrays {sorted(arrays)}, expected also {' and '.join(missing)}; store "
                             "features, pids, camids, views, is_query")
        is_query = arrays.get("is_query", np.zeros(len(arrays["pids"]), dtype=bool))
        return cls(arrays["features"], arrays["pids"],
                   arrays.get("camids", np.where(is_query, 0, 1)),
                   arrays.get("views", np.full(len(arrays["pids"]), int(View.UNKNOWN))),
                   is_query, list(arrays.get("paths", ())))
