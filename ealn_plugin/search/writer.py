"""Build an index, add images to it and remove some, a segment at a time."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from ealn_plugin.evaluation.calibration import Calibration
from ealn_plugin.search import neighbours
from ealn_plugin.search.errors import NoIndexError
from ealn_plugin.search.index import SearchIndex
from ealn_plugin.search.index_files import locked
from ealn_plugin.search.places import CameraDistances, FittedTransitions
from ealn_plugin.search.records import Records
from ealn_plugin.search.remote import is_remote
from ealn_plugin.search.store import Manifest, Store, check_identity
from ealn_plugin.search.table import to_records

log = logging.getLogger(__name__)

SEGMENT = 2048
"""Images of a segment: so many are lost, at most, when a build is killed."""

KINDS = ("auto", "flat", "ivf")
TARGET_RECALL, RECALL_AT, RECALL_QUERIES = 0.97, 10, 200
"""An automatic nprobe is the smallest power of two with this recall at 10, on 200 images of the index itself."""

DRAWN = 4_096
"""Images whose mean distance stands for that of all."""

_RETRAIN = 4  # times as many images as the lists were learned from: learn them again
_UNLISTED = 2048  # images that may wait for their place in the lists
_FRAGMENTS = 16  # small files that may lie there
_LENGTH = 1e-3  # how far a feature may be longer than 1: half-precision features are


def checked(records: Records, features: Any, dim: int, folder: str) -> np.ndarray:
    """float32 [n, dim] of features for an index.

    Raises:
        ValueError: features of another length, not finite or not L2-normalised.
    """
    features = np.asarray(features, dtype=np.float32)
    if features.shape != (len(records), dim):
        raise ValueError(
            f"features have shape {features.shape}, expected ({len(records)}, {dim}) in the index {folder!r}"
        )
    lengths = np.linalg.norm(features, axis=1)
    wrong = ~(lengths <= 1 + _LENGTH)  # also true for NaN
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"the feature of {records.paths[row]!r} has length {lengths[row]:g}, expected 1; give "
            "L2-normalised features"
        )
    return features


class IndexWriter:
    """The one process that changes an index; use it in a ``with`` statement, which holds the index's lock.

    Args:
        folder: of the index, created if needed; or a URI of object storage.
        dim: length of a feature. identity, extractor: see ``Manifest``.
        kind: 'flat' (exact), 'ivf', or 'auto': IVF beyond ``neighbours.FLAT_UP_TO`` images.
        nlist: inverted lists of IVF; 0: 2 sqrt(images). nprobe: lists that a query looks through; 0: as few as find
            97% of the true neighbours.
        segment: images of a segment.

    Raises:
        ValueError: an argument out of range.
        SearchIndexError: an index of another model, a damaged one, or one that is being changed already.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        dim: int,
        identity: Any,
        extractor: dict[str, Any] | None = None,
        kind: str = "auto",
        nlist: int = 0,
        nprobe: int = 0,
        segment: int = SEGMENT,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
        for name, value in (("nlist", nlist), ("nprobe", nprobe)):
            if value < 0:
                raise ValueError(f"{name} is {value}, expected 1 or more, or 0 for automatic")
        self.folder, self.segment = os.fspath(folder), segment
        self._wanted: dict[str, Any] = {"kind": kind, "nlist": nlist, "nprobe": nprobe}
        self._fresh = Manifest(dim, identity, extractor or {}, self._wanted)
        self._lock = contextlib.ExitStack()
        self.store: Any = None

    @classmethod
    def open(
        cls, folder: str | PathLike[str], identity: Mapping[str, Any] | None = None, segment: int = SEGMENT
    ) -> "IndexWriter":
        """A writer of an index that exists.

        Args:
            identity: that of the features to come; None where none will.
        Raises:
            SearchIndexError: there is none.
        """
        manifest = Store(folder).manifest
        return cls(
            folder,
            manifest.dim,
            manifest.identity if identity is None else identity,
            manifest.extractor,
            **manifest.wanted,
            segment=segment,
        )

    def __enter__(self) -> "IndexWriter":
        try:
            if not is_remote(self.folder):
                os.makedirs(self.folder, exist_ok=True)
                self._lock.enter_context(locked(self.folder))
        except OSError as error:
            raise OSError(f"the index {self.folder!r} cannot be written ({error}); choose another folder") from error
        try:
            self.store = self._opened()
            check_identity(self.store, self._fresh.identity)
            self._settle()
        except BaseException:
            self._lock.close()
            raise
        return self

    def _opened(self) -> Store:
        try:
            return Store(self.folder)
        except NoIndexError:
            return Store.create(self.folder, self._fresh)

    def _settle(self) -> None:
        """Take back what a killed process has left."""
        if not self.store.remote:
            self.store.undo()
            return
        with self.store.reading():
            largest = max((int(piece["id"].to_numpy().max()) for piece in self.store.table.scan(("id",))), default=-1)
        if largest >= self.manifest.next_id:
            self.store.commit(next_id=largest + 1)

    def __exit__(self, *error: Any) -> None:
        self._lock.close()

    @property
    def manifest(self) -> Manifest:
        """The Manifest as of the last change."""
        return self.store.manifest

    def calibrate(self, calibration: Calibration) -> None:
        """Store what a similarity means; an earlier calibration gives way.

        Raises:
            OSError: the folder cannot be written.
        """
        self.store.commit(calibration=calibration.as_json())

    def place(self, distances: CameraDistances | None = None, transitions: FittedTransitions | None = None) -> None:
        """Store what is known of where and when; an earlier one of its kind gives way.

        Raises:
            OSError: the folder cannot be written.
        """
        given = {"distance": distances, "transitions": transitions}
        known = {form: value.as_json() for form, value in given.items() if value is not None}
        self.store.commit(places=self._measured({**self.manifest.places, **known}))

    def _measured(self, places: Mapping[str, Any]) -> dict[str, Any]:
        """``Manifest.places`` with the mean distance of the images as they are now; {} where nothing is known."""
        if not places:
            return {}
        return {**places, "mean_distance": neighbours.mean_distance(SearchIndex(self.store).sample(DRAWN))}

    def absent(self, paths: Sequence[str]) -> list[int]:
        """Row numbers of the paths that are not in the index, each path once."""
        seen, rows = set(self.records().paths), []
        for row, path in enumerate(paths):
            if path not in seen:
                seen.add(path)
                rows.append(row)
        return rows

    def records(self) -> Records:
        """What the index knows of its images."""
        with self.store.reading():
            return Records.joined(to_records(piece) for piece in self.store.table.scan())

    # ------------------------------------------------------------------------------------------ images
    def add(self, batches: Iterable[tuple[Records, Any]]) -> int:
        """Add images; they count segment by segment. ``finish`` makes the search among them fast.

        Args:
            batches: iterable of (Records, float32 [n, dim]); the index gives the ids.
        Returns:
            int: how many were added.
        Raises:
            ValueError: features of another length, not finite or not L2-normalised.
            OSError: the folder cannot be written.
        """
        before, waiting = self.manifest.images, []
        for records, features in batches:
            waiting.append((records, checked(records, features, self.manifest.dim, self.folder)))
            while sum(len(part) for part, _ in waiting) >= self.segment:
                waiting = self._flush(waiting)
        if sum(len(part) for part, _ in waiting):
            self._flush(waiting)
        return self.manifest.images - before

    def _flush(self, waiting: list) -> list:
        """Commit one segment of what is waiting; returns what still waits."""
        records, features = Records.joined(part for part, _ in waiting), np.concatenate([part for _, part in waiting])
        count, first = min(self.segment, len(records)), self.manifest.next_id
        numbered = replace(records.take(np.arange(count)), ids=np.arange(first, first + count))
        with self._changing():
            self.store.reserve(first + count)
            self.store.table.add(numbered, features[:count])
            self.store.commit(next_id=first + count)
        return [(records.take(np.arange(count, len(records))), features[count:])]

    def adopt(self, written: Sequence[str], count: int) -> None:
        """Make images count that processes have written apart.

        Args:
            written: what ``Table.write_apart`` returned. count: of images, whose ids follow each other from the next.
        Raises:
            OSError: the folder cannot be written.
        """
        following = self.manifest.next_id + count
        with self._changing():
            self.store.reserve(following)
            self.store.table.adopt(written)
            self.store.commit(next_id=following)

    @contextlib.contextmanager
    def _changing(self) -> Any:
        """Within it the engine's errors are one sentence, and what was begun is taken back."""
        try:
            with self.store.writing():
                yield
        except OSError:
            with contextlib.suppress(Exception):
                self.store = Store(self.folder)
                self._settle()
            raise

    def remove(self, chosen: Callable[[Records], np.ndarray]) -> int:
        """Remove images in one go, their features included.

        Args:
            chosen: function of Records to a mask bool [n] of those to remove.
        Returns:
            int: how many were removed.
        """
        before, ids = self.manifest.images, []
        with self.store.reading():
            for piece in self.store.table.scan():
                records = to_records(piece)
                ids += records.ids[np.asarray(chosen(records), dtype=bool)].tolist()
        if ids:
            with self._changing():
                self.store.table.remove(f"id IN ({', '.join(map(str, ids))})")
                self.store.table.tidy()  # files that held them are written anew without them
                self.store.commit()
        return before - self.manifest.images

    # ------------------------------------------------------------------------------------------ inverted lists
    def finish(self) -> None:
        """Bring the inverted lists up to date with the images, or drop them, and call the index complete."""
        images, wanted, table = self.manifest.images, self._wanted, self.store.table
        ivf, flat = self.manifest.ivf, neighbours.kind_for(images, wanted["kind"]) == "flat"
        nlist = wanted["nlist"] or neighbours.default_nlist(images)
        if not flat and images < nlist:
            raise ValueError(f"nlist is {nlist}, but there are only {images} images; lower --nlist or use --kind flat")
        with self._changing():
            if table.fragments() > _FRAGMENTS + images // neighbours.FLAT_UP_TO:
                table.tidy()
            if flat:
                table.forget()
                self.store.commit(ivf={}, wanted=wanted, complete=True, places=self._measured(self.manifest.places))
                return
            if self._fits(images):
                if table.unlisted() > _UNLISTED:
                    table.tidy()
            else:
                log.info("learning %d inverted lists from %d images", nlist, images)
                table.learn(nlist)
                ivf = {"nlist": nlist, "nprobe": 0, "images": images, "recall": None}
            measured = ivf["recall"] is not None and wanted["nprobe"] in (0, ivf["nprobe"])
            places = self._measured(self.manifest.places)
            self.store.commit(ivf=ivf, wanted=wanted, complete=measured, places=places)
        if not measured:
            self._measure(wanted["nprobe"])

    def _fits(self, images: int) -> bool:
        """Whether the lists that there are will do."""
        ivf, nlist = self.manifest.ivf, self._wanted["nlist"]
        if not ivf:
            return False
        grown = ivf["images"] / _RETRAIN < images < ivf["images"] * _RETRAIN
        return ivf["nlist"] == nlist or (not nlist and grown)

    def _measure(self, nprobe: int) -> None:
        """Choose nprobe, unless it is given, and note the recall that it has."""
        index = SearchIndex(self.store)
        recall = index.recall_by_nprobe(RECALL_AT, RECALL_QUERIES)
        chosen = nprobe or 1
        measured = recall(chosen)
        while not nprobe and measured < TARGET_RECALL and chosen < index.nlist:
            chosen = min(2 * chosen, index.nlist)
            measured = recall(chosen)
        self.store.commit(ivf={**self.manifest.ivf, "nprobe": chosen, "recall": measured}, complete=True)
