"""Open an index and find the nearest images in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from ealn_plugin.evaluation.query_expansion import check_expansion, combine
from ealn_plugin.search import neighbours
from ealn_plugin.search.records import Records
from ealn_plugin.search.store import Manifest, SearchIndexError, Store, read_manifest

_ATTEMPTS = 5  # to open an index that others change meanwhile


@dataclass(frozen=True)
class Hit:
    """One of the nearest images.

    Attributes:
        rank: from 1. similarity: cosine of the features' angle, in [-1, 1].
        path: of the image. pid, camid: numbers of vehicle and camera, -1 where unknown. view: value of ``View``.
        id: number that the index gave the image.
    """

    rank: int
    similarity: float
    path: str
    pid: int
    camid: int
    view: int
    id: int


class SearchIndex:
    """An index in memory; see ``open``.

    Attributes:
        manifest: ``Manifest``; records: ``Records`` of all images.
        nlist: inverted lists, 0 for exact search; nprobe: how many of them a query looks through.
    """

    def __init__(self, manifest: Manifest, records: Records, searcher: Any, nprobe: int) -> None:
        self.manifest, self.records, self._neighbours, self.nprobe = manifest, records, searcher, nprobe
        self.nlist = searcher.nlist
        self._rows: dict[str, int] | None = None

    @classmethod
    def open(  # type: ignore[return]
        cls, folder: str | PathLike[str], identity: Mapping[str, Any] | None = None, kind: str = "", nprobe: int = 0
    ) -> "SearchIndex":
        """Read an index, checking every file's checksum.

        Args:
            folder: where it is.
            identity: ``FeatureExtractor.identity`` of the queries' features; None: not compared.
            kind: 'flat' searches exactly even where there are inverted lists; '': as the index was built.
            nprobe: lists that a query looks through; 0: as the index was built.
        Raises:
            SearchIndexError: there is no index, it is damaged, or its features are of another model.
            ValueError: 'ivf' for an index without inverted lists.
            RuntimeError: faiss is not installed.
        """
        neighbours.import_faiss()
        for attempt in range(_ATTEMPTS):
            store = Store(folder)
            if identity is not None:
                check_identity(store, identity)
            try:
                return cls.of(store, kind, nprobe)
            except FileNotFoundError as error:
                if read_manifest(store.folder).generation == store.manifest.generation or attempt == _ATTEMPTS - 1:
                    raise SearchIndexError(
                        f"{error.filename!r} is missing from the index; take the index from a backup or make it anew"
                    ) from error

    @classmethod
    def of(cls, store: Store, kind: str = "", nprobe: int = 0) -> "SearchIndex":
        """The index that a Store holds; see ``open``."""
        ivf, manifest = store.manifest.ivf, store.manifest
        if kind == "ivf" and not ivf:
            raise ValueError(
                f"kind is 'ivf', but the index {store.folder!r} has no inverted lists; build it with --kind ivf"
            )
        if kind == "flat" or not ivf:
            searcher = neighbours.Neighbours(manifest.dim, manifest.images)
            for segment in manifest.segments:
                searcher.add(store.vectors(segment))
            return cls(manifest, store.all_records(), searcher, 0)
        centroids = np.array(store.centroids())
        lists = [store.lists(segment) for segment in manifest.segments]
        lists = [
            neighbours.assign(centroids, store.vectors(segment)) if known is None else known  # added since
            for segment, known in zip(manifest.segments, lists)
        ]
        counts = np.bincount(np.concatenate([np.zeros(0, np.int32), *lists]), minlength=len(centroids))
        searcher = neighbours.Neighbours(manifest.dim, manifest.images, centroids, counts)
        for segment, known in zip(manifest.segments, lists):
            searcher.add(store.vectors(segment), known)
        return cls(manifest, store.all_records(), searcher, nprobe or ivf["nprobe"])

    def __len__(self) -> int:
        return len(self.records)

    def search(self, features: Any, k: int = 10) -> list[list[Hit]]:
        """The ``k`` nearest images of each query.

        Args:
            features: float32 [q, dim], L2-normalised, array or tensor on the CPU; k: at least 1.
        Returns:
            list of q lists of at most k ``Hit``, the nearest first; of equally near ones the older comes first.
        Raises:
            ValueError: features of another length, or k below 1.
        """
        return self._search(features, k, self.nprobe)

    def expanded(self, features: Any, count: int, alpha: float = 0.0) -> np.ndarray:
        """Features to search again with: the ``count`` nearest images of each query are added to it.

        Args:
            features: as ``search``. count: at least 1. alpha: power of the similarity that weighs them; 0: they count
                as much as the query, see ``query_expansion.combine``.
        Returns:
            float32 [q, dim], L2-normalised
        Raises:
            ValueError: as ``search``; a negative alpha.
        """
        check_expansion(count, alpha)
        queries = self._checked(features, count)
        scores, rows = self._neighbours.search(queries, count, self.nprobe)
        if not rows.size:
            return queries
        found = self._neighbours.vectors(np.maximum(rows, 0).ravel()).reshape(*rows.shape, -1)
        scores = np.where(rows < 0, 0.0, scores).astype(np.float32)
        tensors = torch.from_numpy(queries), torch.from_numpy(found), torch.from_numpy(scores)
        return combine(*tensors, alpha).numpy()

    def exact(self, features: Any, k: int = 10) -> list[list[Hit]]:
        """As ``search``, but without approximation: through all inverted lists."""
        return self._search(features, k, 0)

    def _search(self, features: Any, k: int, nprobe: int) -> list[list[Hit]]:
        scores, rows = self._neighbours.search(self._checked(features, k), k, nprobe)
        return [
            [self._hit(rank, float(score), int(row)) for rank, (score, row) in enumerate(zip(*both), 1) if row >= 0]
            for both in zip(scores, rows)
        ]

    def _checked(self, features: Any, k: int) -> np.ndarray:
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.manifest.dim:
            raise ValueError(
                f"features have shape {features.shape}, expected [queries, {self.manifest.dim}]; use the "
                "extractor that the index was built with"
            )
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        return features

    def _hit(self, rank: int, similarity: float, row: int) -> Hit:
        records = self.records
        return Hit(
            rank,
            similarity,
            records.paths[row],
            int(records.pids[row]),
            int(records.camids[row]),
            int(records.views[row]),
            int(records.ids[row]),
        )

    def view_of(self, path: str) -> int:
        """The view that the index knows of one of its images, -1 where it is unknown or not in the index."""
        if self._rows is None:
            self._rows = {path: row for row, path in enumerate(self.records.paths)}
        row = self._rows.get(path)
        return -1 if row is None else int(self.records.views[row])

    def recall_by_nprobe(self, k: int = 10, queries: int = 200) -> Callable[[int], float]:
        """A function of nprobe: the share of the true ``k`` nearest images that is found, in [0, 1].

        Args:
            queries: so many images of the index itself, always the same ones, are searched for.
        """
        rows = np.sort(np.random.default_rng(1).choice(len(self), min(queries, len(self)), replace=False))
        return neighbours.recall_by_nprobe(self._neighbours, self._neighbours.vectors(rows), rows, k)


def check_identity(store: Store, identity: Any) -> None:
    """Refuse features of another model than that of an index.

    Raises:
        SearchIndexError: naming what differs.
    """
    there = store.manifest.identity
    differing = sorted(name for name in {*there, *identity} if there.get(name) != identity.get(name))
    if differing:
        made_with = store.manifest.extractor.get("run") or store.manifest.extractor.get("weights")
        raise SearchIndexError(
            f"the index {store.folder!r} holds features of another model ({', '.join(differing)} differ"
            f"{'s' if len(differing) == 1 else ''}); use the model that it was built with"
            f"{f' ({made_with})' if made_with else ''}, or build another index with this one"
        )
