"""The options that all protocols share, applied to any split of one set of features."""

from dataclasses import dataclass

import torch

from ealn_plugin import toolkit
from ealn_plugin.evaluation.distances import check_metric, normalize_rows
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.ranking import rank_distances, rank_features
from ealn_plugin.evaluation.splits import ProtocolUnavailable

RERANKING_LIMIT = 20000  # query and gallery images together: re-ranking holds about five matrices of that side


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
    device: object

    def __post_init__(self):
        check_metric(self.dist_metric)

    def __call__(self, query, gallery, junk):
        """QueryRanks of row numbers ``query`` against row numbers ``gallery``; junk: as ``rank_features``."""
        pids = self.features.pids[query], self.features.pids[gallery]
        if self.rerank:
            return rank_distances(
                self.distances(query, gallery), *pids, junk=junk, average_precision=self.average_precision
            )
        return rank_features(
            self._embeddings(query),
            self._embeddings(gallery),
            *pids,
            metric=self.dist_metric,
            junk=junk,
            average_precision=self.average_precision,
            device=self.device,
        )

    def distances(self, query, gallery):
        """The whole matrix, numpy [queries, gallery], re-ranked if asked for.

        Raises:
            ProtocolUnavailable: too many images to be re-ranked.
        """
        images = len(query) + len(gallery)
        if self.rerank and images > RERANKING_LIMIT:
            raise ProtocolUnavailable(
                f"re-ranking {images} images needs about {20 * images**2 / 2**30:.0f} GiB, the "
                f"limit is {RERANKING_LIMIT} images; evaluate without re-ranking"
            )
        query, gallery = (self._embeddings(rows).to(self.device or "cpu") for rows in (query, gallery))
        matrix = self._matrix(query, gallery)
        if not self.rerank:
            return matrix
        return toolkit.re_ranking(matrix, self._matrix(query, query), self._matrix(gallery, gallery))

    def _embeddings(self, rows):
        """A tensor of its own, so that nothing but the rows asked for is copied and normalized."""
        embeddings = torch.from_numpy(self.features.embeddings[rows])
        return normalize_rows(embeddings) if self.normalize_feature else embeddings

    def _matrix(self, a, b):
        return toolkit.distance_matrix(a, b, self.dist_metric).cpu().numpy()
