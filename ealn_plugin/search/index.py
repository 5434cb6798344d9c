"""Open an index and find the nearest images in it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.calibration import Calibration
from ealn_plugin.evaluation.query_expansion import check_expansion, combine
from ealn_plugin.search import neighbours
from ealn_plugin.search.errors import SearchIndexError, is_missing
from ealn_plugin.search.filters import Filter
from ealn_plugin.search.hits import Hit, firsts, hits_of
from ealn_plugin.search.places import CANDIDATES, Fits, Whereabouts
from ealn_plugin.search.records import Records, natural
from ealn_plugin.search.store import Store, check_identity
from ealn_plugin.search.table import KNOWN, to_records

GROUPS = ("vehicle", "camera", "track")
FILTERED = ("camera", "vehicle", "view", "colour", "type", "source")
REFINE = 10
"""So many times k candidates of the inverted lists are compared exactly."""
_ATTEMPTS = 5  # to open an index that others change meanwhile
_DEEPER, _DEEPEST = 4, 20_000  # candidates for groups: first so many times k, then so many times more, up to this


class SearchIndex:
    """An open index; see ``open``. Only what a query needs is read from the disk.

    Args:
        store: ``Store``. kind, nprobe: see ``open``.

    Attributes:
        store: ``Store`` at the version that is open.
        nlist: inverted lists, 0 for exact search; nprobe: how many of them a query looks through.
        calibration: what a similarity means, None where nobody has fitted it.
    """

    def __init__(self, store: Store, kind: str = "", nprobe: int = 0) -> None:
        ivf = store.manifest.ivf
        if kind == "ivf" and not ivf:
            raise ValueError(
                f"kind is 'ivf', but the index {store.folder!r} has no inverted lists; build it with --kind ivf"
            )
        self.store, self._kind, self._wanted = store, kind, nprobe
        self.nlist = 0 if kind == "flat" or not ivf else ivf["nlist"]
        self.nprobe = (nprobe or ivf["nprobe"]) if self.nlist else 0
        fitted = store.manifest.calibration
        self.calibration = Calibration(**fitted) if fitted else None
        self._records: Records | None = None
        self._spans: dict[bool, float] = {}

    @classmethod
    def open(  # type: ignore[return]
        cls, folder: str | PathLike[str], identity: Mapping[str, Any] | None = None, kind: str = "", nprobe: int = 0
    ) -> "SearchIndex":
        """Open an index, checking its files: all of them up to ``CHECKED_AT_OPENING`` bytes, else their sizes.

        Args:
            folder: where it is; a URI for object storage.
            identity: ``FeatureExtractor.identity`` of the queries' features; None: not compared.
            kind: 'flat' searches exactly even where there are inverted lists; '': as the index was built.
            nprobe: lists that a query looks through; 0: as the index was built.
        Raises:
            SearchIndexError: there is no index, it is damaged, or its features are of another model.
            ValueError: 'ivf' for an index without inverted lists.
            RuntimeError: pylance is not installed.
        """
        for attempt in range(_ATTEMPTS):
            try:
                store = Store(folder)
            except SearchIndexError as error:
                if not is_missing(error) or attempt == _ATTEMPTS - 1:
                    raise
                continue
            if identity is not None:
                check_identity(store, identity)
            return cls(store, kind, nprobe)

    @property
    def manifest(self) -> Any:
        """``Manifest`` of the index."""
        return self.store.manifest

    @property
    def records(self) -> Records:
        """``Records`` of all images; the first use reads them."""
        if self._records is None:
            with self.store.reading():
                self._records = Records.joined(to_records(piece) for piece in self.store.table.scan())
        return self._records

    def __len__(self) -> int:
        return self.manifest.images

    def refresh(self) -> bool:
        """Go on with the index as it is now; returns whether it had changed.

        Raises:
            SearchIndexError: as ``open``, also where it holds features of another model now.
        """
        fresh = SearchIndex.open(self.store.folder, self.manifest.identity, self._kind, self._wanted)
        changed = fresh.store.table.version != self.store.table.version
        self.__dict__.update(fresh.__dict__)
        return changed

    # ------------------------------------------------------------------------------------------ asking
    def search(
        self,
        features: Any,
        k: int = 10,
        where: Filter | None = None,
        group_by: str = "",
        whereabouts: Whereabouts | None = None,
    ) -> list[list[Hit]]:
        """The ``k`` nearest images of each query.

        Args:
            features: float32 [q, dim], L2-normalised, array or tensor on the CPU; k: at least 1.
            where: which images may be found; None: all.
            group_by: 'vehicle', 'camera' or 'track': the nearest image of each of the k nearest groups; an image of
                which it is not known is a group of its own. '': every image.
            whereabouts: of the queries: the ``CANDIDATES`` most similar images, or 4 k, are ordered by their similarity
                and by how well they fit where and when, see ``Fits``. None: by similarity alone.
        Returns:
            list of q lists of at most k ``Hit``, the best first; of equally good ones the older comes first.
        Raises:
            ValueError: features of another length, k below 1, no group, or what the index does not know of its cameras.
            SearchIndexError: an answer is damaged.
        """
        return self._current(lambda: self._grouped(features, k, self.nprobe, where, group_by, whereabouts))

    def exact(self, features: Any, k: int = 10, where: Filter | None = None) -> list[list[Hit]]:
        """As ``search``, but without approximation: through all images."""
        return self._current(lambda: self._grouped(features, k, 0, where, ""))

    def _current(self, ask: Callable[[], Any]) -> Any:
        """What ``ask`` returns, asked again where another process has changed the index meanwhile."""
        try:
            return ask()
        except SearchIndexError as error:
            if not is_missing(error) or not self.refresh():
                raise
            return ask()

    def _grouped(
        self,
        features: Any,
        k: int,
        nprobe: int,
        where: Filter | None,
        group_by: str,
        whereabouts: Whereabouts | None = None,
    ) -> list[list[Hit]]:
        features, fits = self._checked(features), None
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        if group_by and group_by not in GROUPS:
            raise ValueError(f"group_by is {group_by!r}, expected one of {', '.join(GROUPS)}, or '' for none")
        if whereabouts is not None:
            if len(whereabouts) != len(features):
                raise ValueError(f"whereabouts are of {len(whereabouts)} queries, expected {len(features)}")
            fits = Fits(self.manifest.places, whereabouts, self._span)
        if not len(features):
            return []
        if not group_by:
            return self._hits(features, k, nprobe, where, fits)
        deep = min(_DEEPER * k, len(self))
        while True:
            found = self._hits(features, max(deep, 1), nprobe, where, fits)
            grouped = [firsts(hits, group_by) for hits in found]
            done = all(len(groups) >= k or len(hits) < deep for groups, hits in zip(grouped, found))
            if done or deep >= min(len(self), _DEEPEST):
                return [groups[:k] for groups in grouped]
            deep = min(_DEEPER * deep, len(self), _DEEPEST)

    def expanded(self, features: Any, count: int, alpha: float = 0.0, where: Filter | None = None) -> np.ndarray:
        """Features to search again with: the ``count`` nearest images of each query are added to it.

        Args:
            features, where: as ``search``. count: at least 1. alpha: power of the similarity that weighs them; 0: they
                count as much as the query, see ``query_expansion.combine``.
        Returns:
            float32 [q, dim], L2-normalised
        Raises:
            ValueError: as ``search``; a negative alpha.
        """
        check_expansion(count, alpha)
        queries = self._checked(features)
        result = queries.copy()
        for row, hits in enumerate(self.search(queries, count, where)):
            if hits:
                found = torch.from_numpy(self.features([hit.id for hit in hits]))[None]
                scores = torch.tensor([[hit.similarity for hit in hits]], dtype=torch.float32)
                result[row] = combine(torch.from_numpy(queries[row : row + 1]), found, scores, alpha)[0].numpy()
        return result

    def _checked(self, features: Any) -> np.ndarray:
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.manifest.dim:
            raise ValueError(
                f"features have shape {features.shape}, expected [queries, {self.manifest.dim}]; use the "
                "extractor that the index was built with"
            )
        if not np.isfinite(features).all():
            raise ValueError("features hold values that are not finite, expected numbers; extract them again")
        return features

    def _hits(
        self, features: np.ndarray, k: int, nprobe: int, where: Filter | None, fits: Fits | None = None
    ) -> list[list[Hit]]:
        if not len(self):
            return [[] for _ in features]
        count, refine = min(k, len(self)), REFINE
        if fits is not None:
            count, refine = min(max(CANDIDATES, _DEEPER * k), len(self)), 1
            if nprobe:  # lists with several times as many images as are asked for
                nprobe = max(nprobe, min(math.ceil(_DEEPER * count * self.nlist / len(self)), self.nlist))
        with self.store.reading():
            answers = self.store.table.nearest(features, count, where.sql() if where else "", nprobe, refine)
        found = []
        for row, (query, (records, vectors, damaged)) in enumerate(zip(features, answers)):
            if damaged:
                raise self.store.damaged_images(damaged)
            similarity, placed = vectors @ query, None
            if fits is not None:
                fitting = fits.of(row, records)
                placed = fitting, fits.scores(similarity, fitting)
            order = np.lexsort((records.ids, -(placed[1] if placed else similarity)))[:k]
            found.append(hits_of(records, order, similarity, self.calibration, placed))
        return found

    def _span(self, dated: bool) -> float:
        """The time between the first and the last image whose time is a date, or is a number; 0 where none is."""
        if dated not in self._spans:
            with self.store.reading():
                self._spans[dated] = self.store.table.span("moment" if dated else "clock")
        return self._spans[dated]

    # ------------------------------------------------------------------------------------------ single images
    def facts(self, ids: Sequence[int]) -> Records:
        """What is known of some images, in the order of their ids.

        Raises:
            KeyError: an id that the index does not have.
        """
        where = _by_id(ids)
        with self.store.reading():
            found = Records.joined(to_records(piece) for piece in self.store.table.scan(KNOWN, where))
        rows = {number: row for row, number in enumerate(found.ids.tolist())}
        return found.take(np.array([rows[int(number)] for number in ids], dtype=np.int64))

    def features(self, ids: Sequence[int]) -> np.ndarray:
        """float32 [n, dim]: the features of some images, in the order of their ids, to search from them.

        Raises:
            KeyError: an id that the index does not have.
        """
        with self.store.reading():
            pieces = list(self.store.table.vectors(_by_id(ids)))
        found = {int(number): vector for numbers, vectors in pieces for number, vector in zip(numbers, vectors)}
        vectors = [found[int(number)] for number in ids]
        return np.stack(vectors) if vectors else np.empty((0, self.manifest.dim), np.float32)

    def image(self, number: int) -> bytes:
        """The file of an image, by its id: nothing but images of the index can be had.

        Raises:
            KeyError: an id that the index does not have. OSError: the file is gone.
        """
        with open(self.facts([number]).paths[0], "rb") as file:
            return file.read()

    def values(self, column: str) -> dict[str, int]:
        """{value: images} of what can be filtered by, sorted; what is unknown is left out.

        Args:
            column: 'camera', 'vehicle', 'view', 'colour', 'type' or 'source'.
        """
        if column not in FILTERED:
            raise ValueError(f"column is {column!r}, expected one of {', '.join(FILTERED)}")
        counts: Counter[Any] = Counter()
        with self.store.reading():
            for piece in self.store.table.scan((column,)):
                counts.update(piece[column].to_pylist())
        if column == "view":
            return {View(value).name.lower(): counts[value] for value in sorted(counts) if value != View.UNKNOWN}
        return {value: counts[value] for value in sorted(counts, key=natural) if value}

    def view_of(self, path: str) -> int:
        """The view that the index knows of one of its images, -1 where it is unknown or not in the index."""
        return self.views_of([path])[0]

    def views_of(self, paths: Sequence[str]) -> list[int]:
        """``view_of`` for several, in one go."""
        records = self.named(paths)
        known = dict(zip(records.paths, records.views.tolist()))
        return [known.get(path, int(View.UNKNOWN)) for path in paths]

    def named(self, paths: Sequence[str]) -> Records:
        """What is known of those of some paths that are in the index, in no order."""
        known = self.store.table
        with self.store.reading():
            return Records.joined(to_records(piece) for piece in known.scan(KNOWN, known.named(paths)))

    # ------------------------------------------------------------------------------------------ checks
    def verify(self) -> int:
        """Compare every file and every image with its checksum; returns how many images.

        Raises:
            SearchIndexError: something is damaged; one sentence.
        """
        return self.store.verify()

    def sample(self, count: int) -> np.ndarray:
        """float32 [n, dim]: features of so many images, always the same ones; of all where there are fewer."""
        with self.store.reading():
            ids = np.concatenate(
                [np.empty(0, np.int64), *(piece["id"].to_numpy() for piece in self.store.table.scan(("id",)))]
            )
        return self.features(
            np.sort(np.random.default_rng(1).choice(ids, min(count, len(ids)), replace=False)).tolist()
        )

    def recall_by_nprobe(self, k: int = 10, queries: int = 200) -> Callable[[int], float]:
        """A function of nprobe: the share of the true ``k`` nearest images that is found, in [0, 1].

        Args:
            queries: so many images of the index itself, always the same ones, are searched for.
        """
        asked = self.sample(queries)
        with self.store.reading():
            exact = neighbours.exact_scores(self.store.table.vectors(), asked, k + 1)

        def search(queries: np.ndarray, k: int, nprobe: int) -> list[list[float]]:
            return [[hit.similarity for hit in hits] for hits in self._hits(queries, k, nprobe, None)]

        return neighbours.recall_by_nprobe(search, exact, asked)


def _by_id(ids: Sequence[int]) -> str:
    return f"id IN ({', '.join(str(int(number)) for number in ids) or -1})"
