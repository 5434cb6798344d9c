"""What every protocol of ``evaluation/protocols.py`` does: rank the features of one split, and summarise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.interfaces import JunkRule
from ealn_plugin.evaluation.query_ranks import NoValidQuery, QueryRanks, check_ranks, mean_and_deviation, metrics_of
from ealn_plugin.evaluation.spatio_temporal import WhereAndWhen
from ealn_plugin.evaluation.split_ranker import Ranker
from ealn_plugin.evaluation.splits import ProtocolUnavailable, own_split


@dataclass(frozen=True)
class Protocol:
    """A way of turning features into figures.

    Attributes:
        name: the key in results.json.
        description: one line for a table's caption.
    """

    name: str
    description: str = ""

    def evaluate(
        self,
        features: Features,
        dist_metric: str = "euclidean",
        normalize_feature: bool = False,
        ranks: Sequence[int] = (1, 5, 10),
        rerank: bool = False,
        average_precision: str = "mean",
        device: torch.device | str | None = None,
        use_metric_cuhk03: bool = False,
        where_and_when: WhereAndWhen | None = None,
        query_expansion: int = 0,
        expansion_alpha: float = 0.0,
    ) -> dict[str, float]:
        """Rank and summarise.

        Args:
            features: Features.
            dist_metric: 'euclidean' (squared) or 'cosine'.
            normalize_feature: scale every embedding to length 1 first.
            ranks: the CMC ranks to report, counted from 1.
            rerank: apply torchreid's k-reciprocal re-ranking to the distances.
            average_precision: 'mean' of precisions, or 'trapezoid' as VeRI-776's own script.
            device: torch device for the distances and their order; by default the CPU.
            where_and_when: of these images, added to their distances; None: appearance alone.
            use_metric_cuhk03: CMC over galleries of one image per identity, as for the old CUHK03 split; the protocol
                'image' has it, all others pay no attention to it.
            query_expansion: search again with so many nearest gallery images added to each query, features scaled to
                length 1; 0: not. expansion_alpha: power of the similarity that weighs them, 0: their average.
        Returns:
            dict of floats in [0, 1]: mAP, rank1 ..., mINP; protocols of several draws give means, and the standard
            deviations over the draws as mAP_std and so on.
        Raises:
            ProtocolUnavailable: the features cannot support the protocol.
            ValueError: an option or the features are wrong in themselves.
        """
        ranks = check_ranks(ranks)
        options: dict[str, Any] = dict(
            dist_metric=dist_metric,
            normalize_feature=normalize_feature,
            rerank=rerank,
            average_precision=average_precision,
            device=device,
            where_and_when=where_and_when,
            query_expansion=query_expansion,
            expansion_alpha=expansion_alpha,
        )
        draws = [metrics_of(draw, ranks) for draw in self.rank(features, **options)]
        metrics = mean_and_deviation(draws) if self._draws(features) else draws[0]
        if use_metric_cuhk03:
            metrics.update(self._cmc_cuhk03(features, Ranker(features, **options), ranks))
        return metrics

    def rank(
        self,
        features: Features,
        dist_metric: str = "euclidean",
        normalize_feature: bool = False,
        rerank: bool = False,
        average_precision: str = "mean",
        device: torch.device | str | None = None,
        where_and_when: WhereAndWhen | None = None,
        query_expansion: int = 0,
        expansion_alpha: float = 0.0,
    ) -> list[QueryRanks]:
        """The outcome per query, for CMC curves and further figures; arguments as ``evaluate``.

        Returns:
            list of QueryRanks, one per draw (one for protocols without draws).
        """
        ranker = Ranker(
            features,
            dist_metric,
            normalize_feature,
            rerank,
            average_precision,
            device,
            where_and_when=where_and_when,
            query_expansion=query_expansion,
            expansion_alpha=expansion_alpha,
        )
        try:
            return self._rank(features, ranker)
        except (ProtocolUnavailable, NoValidQuery) as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _rank(self, features: Features, ranker: Ranker) -> list[QueryRanks]:
        query, gallery = own_split(features)
        return [ranker(query, gallery, self._junk(features, query, gallery))]

    def _junk(self, features: Features, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> JunkRule:
        camids = features.camids
        return lambda queries, entries: camids[query[queries]] == camids[gallery[entries]]

    def _draws(self, features: Features) -> bool:
        """Whether ``rank`` gives the outcomes of several draws, to be averaged."""
        return False

    def _cmc_cuhk03(self, features: Features, ranker: Ranker, ranks: Sequence[int]) -> dict[str, float]:
        return {}
