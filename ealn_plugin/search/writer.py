"""Build an index, add images to it and remove some, a segment at a time."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from ealn_plugin.search import neighbours
from ealn_plugin.search.index import SearchIndex, check_identity
from ealn_plugin.search.records import Records
from ealn_plugin.search.store import MANIFEST, Manifest, Segment, Store, locked

log = logging.getLogger(__name__)

SEGMENT = 2048
"""Images of a segment: so many are lost, at most, when a build is killed."""

KINDS = ("auto", "flat", "ivf")
TARGET_RECALL, RECALL_AT, RECALL_QUERIES = 0.99, 10, 200
"""An automatic nprobe is the smallest power of two with this recall at 10, on 200 images of the index itself."""

_RETRAIN = 4  # times as many images as the lists were learned from: learn them again
_LENGTH = 1e-3  # how far a feature may be longer than 1: half-precision features are


class IndexWriter:
    """The one process that changes an index; use it in a ``with`` statement, which holds the index's lock.

    Args:
        folder: of the index; created if needed.
        dim: length of a feature. identity, extractor: see ``Manifest``.
        kind: 'flat' (exact), 'ivf', or 'auto': IVF beyond ``neighbours.FLAT_UP_TO`` images.
        nlist: inverted lists of IVF; 0: 4 sqrt(images). nprobe: lists that a query looks through; 0: as few as find
            99% of the true neighbours.
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
        self.folder, self._segment = os.fspath(folder), segment
        self._wanted: dict[str, Any] = {"kind": kind, "nlist": nlist, "nprobe": nprobe}
        self._fresh = Manifest(dim, identity, extractor or {}, self._wanted)
        self._lock: Any = None
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
            os.makedirs(self.folder, exist_ok=True)
            self._lock = locked(self.folder)
            self._lock.__enter__()
        except OSError as error:
            raise OSError(f"the index {self.folder!r} cannot be written ({error}); choose another folder") from error
        try:
            if os.path.exists(os.path.join(self.folder, MANIFEST)):
                self.store = Store(self.folder)
                check_identity(self.store, self._fresh.identity)
                self.store.remove_leftovers()
            else:
                self.store = Store(self.folder, self._fresh)
                self.store.commit({})
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)

    @property
    def manifest(self) -> Manifest:
        """The Manifest as of the last change."""
        return self.store.manifest

    def absent(self, paths: Sequence[str]) -> list[int]:
        """Row numbers of the paths that are not in the index, each path once."""
        seen, rows = set(self.store.all_records().paths), []
        for row, path in enumerate(paths):
            if path not in seen:
                seen.add(path)
                rows.append(row)
        return rows

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
        before, next_id = self.manifest.images, self.manifest.next_id
        kept, waiting = list(self.manifest.segments), []
        if kept and kept[-1].images < self._segment:
            # it is filled up, so that many small additions do not leave many small files
            last = kept.pop()
            waiting = [(self.store.records(last), np.array(self.store.vectors(last)))]
        for records, features in batches:
            numbered = replace(records, ids=np.arange(next_id, next_id + len(records)))
            next_id += len(records)
            waiting.append((numbered, self._checked(records, features)))
            while sum(len(part) for part, _ in waiting) >= self._segment:
                waiting = self._flush(kept, waiting)
        if next_id > self.manifest.next_id:
            self._flush(kept, waiting)
        return self.manifest.images - before

    def _flush(self, kept, waiting):
        """Commit one segment of what is waiting, appending it to ``kept``; returns what still waits."""
        records, features = Records.joined(part for part, _ in waiting), np.concatenate([part for _, part in waiting])
        count = min(self._segment, len(records))
        segment, files = self._write(records.take(np.arange(count)), features[:count])
        kept.append(segment)
        self.store.commit(files, segments=tuple(kept), next_id=int(records.ids[count - 1]) + 1)
        return [(records.take(np.arange(count, len(records))), features[count:])]

    def _write(self, records: Records, features: Any, lists=None):
        """Write the files of one segment; returns it and their states."""
        vectors, files = self.store.write("vectors", features)
        names, state = self.store.write("images", records)
        files.update(state)
        segment = Segment(len(records), vectors, names)
        if lists is not None:
            name, state = self.store.write("lists", lists)
            files.update(state)
            segment = replace(segment, lists=name)
        return segment, files

    def _checked(self, records: Records, features: Any):
        features = np.asarray(features, dtype=np.float32)
        if features.shape != (len(records), self.manifest.dim):
            raise ValueError(
                f"features have shape {features.shape}, expected ({len(records)}, {self.manifest.dim}) in "
                f"the index {self.folder!r}"
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

    def remove(self, chosen: Callable[[Records], np.ndarray]) -> int:
        """Remove images in one go, their features included.

        Args:
            chosen: function of Records to a mask bool [n] of those to remove.
        Returns:
            int: how many were removed.
        """
        before, segments, files = self.manifest.images, [], {}
        for segment in self.manifest.segments:
            records = self.store.records(segment)
            keep = np.flatnonzero(~np.asarray(chosen(records), dtype=bool))
            if len(keep) == len(records):
                segments.append(segment)
            elif len(keep):
                lists = self.store.lists(segment)
                segment, state = self._write(
                    records.take(keep), self.store.vectors(segment)[keep], None if lists is None else lists[keep]
                )
                segments.append(segment)
                files.update(state)
        if tuple(segments) != self.manifest.segments:
            self.store.commit(files, segments=tuple(segments))
        return before - self.manifest.images

    # ------------------------------------------------------------------------------------------ inverted lists
    def finish(self) -> None:
        """Bring the inverted lists up to date with the images, or drop them, and call the index complete."""
        images, wanted = self.manifest.images, self._wanted
        if neighbours.kind_for(images, wanted["kind"]) == "flat":
            segments = tuple(replace(segment, lists="") for segment in self.manifest.segments)
            self.store.commit({}, segments=segments, ivf={}, wanted=wanted, complete=True)
            return
        ivf, files = self.manifest.ivf, {}
        nlist = wanted["nlist"] or neighbours.default_nlist(images)
        fits = ivf and (
            ivf["nlist"] == wanted["nlist"]
            or not wanted["nlist"]
            and ivf["images"] / _RETRAIN < images < ivf["images"] * _RETRAIN
        )
        if fits:
            centroids = self.store.centroids()
        else:
            log.info("learning %d inverted lists from %d images", nlist, images)
            centroids = neighbours.train_centroids(self._sample(nlist * neighbours.POINTS_PER_LIST), nlist)
            name, files = self.store.write("centroids", centroids)
            ivf = {"centroids": name, "nlist": nlist, "nprobe": 0, "images": images, "recall": None}
        segments = []
        for segment in self.manifest.segments:
            if not (fits and segment.lists):
                name, state = self.store.write("lists", neighbours.assign(centroids, self.store.vectors(segment)))
                segment = replace(segment, lists=name)
                files.update(state)
            segments.append(segment)  # type: ignore[attr-defined]
        measured = ivf["recall"] is not None and wanted["nprobe"] in (0, ivf["nprobe"])
        self.store.commit(files, segments=tuple(segments), ivf=ivf, wanted=wanted, complete=measured)
        if not measured:
            self._measure(wanted["nprobe"])

    def _sample(self, count):
        """At most ``count`` vectors drawn from the whole index, always the same ones; float32 [n, dim]."""
        images = self.manifest.images
        drawn = np.sort(np.random.default_rng(0).choice(images, min(count, images), replace=False))
        parts, first = [], 0
        for segment in self.manifest.segments:
            rows = drawn[(drawn >= first) & (drawn < first + segment.images)] - first
            parts.append(self.store.vectors(segment)[rows])
            first += segment.images
        return np.concatenate(parts)

    def _measure(self, nprobe: int) -> None:
        """Choose nprobe, unless it is given, and note the recall that it has."""
        index = SearchIndex.of(self.store)
        recall = index.recall_by_nprobe(RECALL_AT, RECALL_QUERIES)
        chosen = nprobe or 1
        measured = recall(chosen)
        while not nprobe and measured < TARGET_RECALL and chosen < index.nlist:
            chosen = min(2 * chosen, index.nlist)
            measured = recall(chosen)
        self.store.commit({}, ivf={**self.manifest.ivf, "nprobe": chosen, "recall": measured}, complete=True)
