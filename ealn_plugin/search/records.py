"""What an index knows of its images beside their features."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ealn_plugin.data.viewpoints import View

UNKNOWN = -1
"""The number of a vehicle, camera or view that is not known."""

NUMBERS = ("pids", "camids", "views", "ids")
TEXTS = ("vehicles", "cameras", "colours", "types", "sources", "tracks")


@dataclass(frozen=True, eq=False)
class Records:
    """Images in columns of equal length.

    Attributes:
        paths: list of absolute file names.
        pids, camids: int64 [n], vehicle and camera numbers as torchreid counts them, -1 where unknown.
        views: int64 [n], values of ``View``.
        ids: int64 [n], numbers that an index gave its images, none of them twice; -1 before it did.
        times: float64 [n], NaN where unknown: seconds since 1970 of a date, or a number as the images' own names have
            it (VeRI-776: frames); dated: bool [n], which of the two.
        vehicles, cameras: text [n], what the data calls them, '' where unknown; None: the numbers, cameras from 1.
        colours, types, sources, tracks: text [n], '' where unknown. A source is the dataset or folder of an image, a
            track the images of one vehicle that one camera took in one go.

    Raises:
        ValueError: columns of different lengths, or numbers that are none.
    """

    paths: list
    pids: Any = None
    camids: Any = None
    views: Any = None
    ids: Any = None
    times: Any = None
    dated: Any = None
    vehicles: Any = None
    cameras: Any = None
    colours: Any = None
    types: Any = None
    sources: Any = None
    tracks: Any = None

    def __post_init__(self) -> None:
        count = len(self.paths)
        for name in NUMBERS:
            given = getattr(self, name)
            values = np.full(count, UNKNOWN) if given is None else np.asarray(given)
            if values.shape != (count,) or (values.size and values.dtype.kind not in "iu"):
                raise ValueError(
                    f"{name} is {values.dtype} of shape {values.shape}, expected whole numbers, one for "
                    f"each of {count} paths"
                )
            object.__setattr__(self, name, values.astype(np.int64))
        if not np.isin(self.views, [int(view) for view in View]).all():
            raise ValueError(f"views holds {sorted(set(self.views.tolist()))}, expected values of View")
        self._set("times", np.full(count, math.nan), np.float64)
        self._set("dated", np.zeros(count, dtype=bool), bool)
        object.__setattr__(self, "dated", self.dated & ~np.isnan(self.times))
        self._set("vehicles", np.array([str(pid) if pid >= 0 else "" for pid in self.pids.tolist()], object), object)
        self._set("cameras", np.array([str(c + 1) if c >= 0 else "" for c in self.camids.tolist()], object), object)
        for name in ("colours", "types", "sources", "tracks"):
            self._set(name, np.full(count, "", dtype=object), object)

    def _set(self, name: str, unknown: np.ndarray, kind: Any) -> None:
        given = getattr(self, name)
        values = unknown if given is None else np.asarray(given, dtype=kind)
        if values.shape != (len(self.paths),):
            raise ValueError(f"{name} has shape {values.shape}, expected one for each of {len(self.paths)} paths")
        object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Any) -> "Records":
        """The Records of an int array of row numbers or a mask [n]."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return Records([self.paths[row] for row in rows], **{name: getattr(self, name)[rows] for name in COLUMNS})

    @classmethod
    def joined(cls, parts: Iterable["Records"]) -> "Records":
        """Several Records, one after the other."""
        parts = list(parts)
        if not parts:
            return cls([])
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        return cls([path for part in parts for path in part.paths], **columns)


COLUMNS = tuple(field.name for field in fields(Records) if field.name != "paths")


def natural(text: str) -> tuple:
    """A sorting key by which '2' comes before '10'."""
    return (0, int(text), "") if text.isascii() and text.isdigit() else (1, 0, text)
