"""The options that all protocols share, applied to any split of one set of features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ealn_plugin import toolkit
from ealn_plugin.evaluation.distances import check_metric, normalize_rows
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.interfaces import JunkRule
from ealn_plugin.evaluation.query_expansion import check_expansion, expand_queries
from ealn_plugin.evaluation.query_ranks import QueryRanks
from ealn_plugin.evaluation.ranking import rank_distances, rank_features
from ealn_plugin.evaluation.reranking import rerank
from ealn_plugin.evaluation.spatio_temporal import WhereAndWhen
from ealn_plugin.evaluation.splits import ProtocolUnavailable

RERANKING_LIMIT = 2**30  # distances from queries to gallery images: re-ranking holds them all, four bytes each


@dataclass(frozen=True)
class Ranker:
    """Ranks parts of one set of features; all options are those of ``Protocol.evaluate``.

    Raises:
        ValueError: an unknown metric.
    """

    features: Features
    dist_metric: str
    normalize_feature: bool
    rerank: bool
    average_precision: str
    device: torch.device | str | None
    where_and_when: WhereAndWhen | None = None
    query_expansion: int = 0
    expansion_alpha: float = 0.0

    def __post_init__(self) -> None:
        check_metric(self.dist_metric)
        check_expansion(self.query_expansion, self.expansion_alpha)

    def __call__(self, query: NDArray[np.int64], gallery: NDArray[np.int64], junk: JunkRule | str | None) -> QueryRanks:
        """QueryRanks of row numbers ``query`` against row numbers ``gallery``; junk: as ``rank_features``."""
        pids = self.features.pids[query], self.features.pids[gallery]
        if self.rerank or self.where_and_when is not None:
            return rank_distances(
                self.distances(query, gallery), *pids, junk=junk, average_precision=self.average_precision
            )
        return rank_features(
            *self._both(query, gallery),
            *pids,
            metric=self.dist_metric,
            junk=junk,
            average_precision=self.average_precision,
            device=self.device,
        )

    def distances(self, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> NDArray[Any]:
        """The whole matrix, numpy [queries, gallery], re-ranked and with where and when added if asked for.

        Raises:
            ProtocolUnavailable: too many images to be re-ranked.
        """
        found = self._appearance(query, gallery)
        return found if self.where_and_when is None else self.where_and_when.added_to(found, query, gallery)

    def _appearance(self, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> NDArray[Any]:
        whole = self.rerank or self.where_and_when is not None
        if whole and len(query) * len(gallery) > RERANKING_LIMIT:
            raise ProtocolUnavailable(
                f"re-ranking {len(query)} queries and {len(gallery)} gallery images holds "
                f"{len(query) * len(gallery)} distances, the limit is {RERANKING_LIMIT}; evaluate without re-ranking"
            )
        probes, entries = self._both(query, gallery)
        if self.rerank:
            return rerank(probes, entries, self.dist_metric, device=self.device)
        device = self.device or "cpu"
        return toolkit.distance_matrix(probes.to(device), entries.to(device), self.dist_metric).cpu().numpy()

    def _both(self, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Embeddings of the queries, expanded if asked for, and of the gallery."""
        probes, entries = self._embeddings(query), self._embeddings(gallery)
        if not self.query_expansion:
            return probes, entries
        expanded = expand_queries(probes, entries, self.query_expansion, self.expansion_alpha, self.device)
        return expanded, normalize_rows(entries)

    def _embeddings(self, rows: NDArray[np.int64]) -> Tensor:
        """A tensor of its own, so that nothing but the rows asked for is copied and normalized."""
        embeddings = torch.from_numpy(self.features.embeddings[rows])
        return normalize_rows(embeddings) if self.normalize_feature else embeddings
