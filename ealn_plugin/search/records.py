"""What an index knows of its images beside their features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ealn_plugin.data.viewpoints import View

UNKNOWN = -1
"""The number of a vehicle, camera or view that is not known."""

_NUMBERS = ("ids", "pids", "camids", "views")


@dataclass(frozen=True, eq=False)
class Records:
    """Images in columns of equal length.

    Attributes:
        paths: list of absolute file names.
        pids, camids: int64 [n], vehicle and camera numbers, -1 where unknown.
        views: int64 [n], values of ``View``.
        ids: int64 [n], numbers that an index gave its images, none of them twice; -1 before it did.

    Raises:
        ValueError: columns of different lengths, or numbers that are none.
    """

    paths: list
    pids: np.ndarray = None
    camids: np.ndarray = None
    views: np.ndarray = None
    ids: np.ndarray = None

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            given = getattr(self, name)
            values = np.full(len(self.paths), UNKNOWN) if given is None else np.asarray(given)
            if values.shape != (len(self.paths),) or (values.size and values.dtype.kind not in "iu"):
                raise ValueError(
                    f"{name} is {values.dtype} of shape {values.shape}, expected whole numbers, one for "
                    f"each of {len(self.paths)} paths"
                )
            object.__setattr__(self, name, values.astype(np.int64))
        if not np.isin(self.views, [int(view) for view in View]).all():
            raise ValueError(f"views holds {sorted(set(self.views.tolist()))}, expected values of View")

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Any) -> "Records":
        """The Records of an int array of row numbers or a mask [n]."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return Records(
            [self.paths[row] for row in rows],
            *(getattr(self, name)[rows] for name in ("pids", "camids", "views", "ids")),
        )

    @classmethod
    def joined(cls, parts: Iterable["Records"]) -> "Records":
        """Several Records, one after the other."""
        parts = list(parts)
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) if parts else None for name in _NUMBERS
        }
        return cls([path for part in parts for path in part.paths], **columns)

    def to_json(self) -> dict[str, Any]:
        """JSON values that ``from_json`` reads."""
        return {"paths": self.paths, **{name: getattr(self, name).tolist() for name in _NUMBERS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Records":
        """The Records of ``to_json``.

        Raises:
            ValueError, TypeError, KeyError: something else.
        """
        if not all(isinstance(path, str) for path in values["paths"]):
            raise ValueError("paths are not all text")
        return cls(values["paths"], **{name: np.array(values[name], dtype=np.int64) for name in _NUMBERS})
