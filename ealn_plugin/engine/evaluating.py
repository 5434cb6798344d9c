"""The half of an engine that tests: what torchreid's ``Engine.test`` is, with this plugin's protocols and features."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ealn_plugin import toolkit
from ealn_plugin.evaluation.extraction import shared_features
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import evaluate_protocols, protocols_of
from ealn_plugin.models.modes import evaluating
from ealn_plugin.system.randomness import own_randomness

Results = dict[str, dict[str, dict[str, float]]]  # {dataset: {protocol: {metric: value}}}


class EvaluatingEngine(toolkit.Engine):
    """The half of an engine that tests. The other half sets ``embedding``, ``schemes``, ``extraction`` (a
    ``FeatureExtraction``) and ``world``, and counts ``epoch``.

    Attributes:
        results, own_results, untrained: {dataset name: {protocol: {metric: value in [0, 1]}}} of the last test, of the
            embedding network's own features where those are fused, and of the test before training.
        best: {"mAP", "rank1", "epoch"} of the best test so far, or None.
    """

    def __init__(self, datamanager: Any, use_gpu: bool = True) -> None:
        super().__init__(datamanager, use_gpu)
        self.results: Results = {}
        self.own_results: Results = {}
        self.untrained: Results = {}
        self.best: dict[str, Any] | None = None

    def test(
        self,
        dist_metric: str = "euclidean",
        normalize_feature: bool = False,
        visrank: bool = False,
        visrank_topk: int = 10,
        save_dir: str = "",
        use_metric_cuhk03: bool = False,
        ranks: Sequence[int] = (1, 5, 10, 20),
        rerank: bool = False,
        *,
        query_expansion: int = 0,
        expansion_alpha: float = 0.0,
        protocols: Sequence[str] = (),
        progress: bool = True,
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Features once per image, then every protocol of every target; fused features where a scheme makes views.

        The embedding network's own features are ranked as well in that case and kept in ``self.own_results``.

        Returns:
            {dataset name: {protocol: {metric: value in [0, 1]}}}
        Raises:
            ValueError: none of the protocols can be run.
        """
        options = dict(
            dist_metric=dist_metric,
            normalize_feature=normalize_feature,
            rerank=rerank,
            query_expansion=query_expansion,
            expansion_alpha=expansion_alpha,
            use_metric_cuhk03=use_metric_cuhk03,
            ranks=sorted({1, 5, 10, *ranks}),
        )
        results, self.own_results = {}, {}
        self.extraction.folder = save_dir if os.path.isdir(save_dir) else None
        with own_randomness(), evaluating(self.embedding, *self.schemes):
            for name, loaders in self.test_loader.items():
                features = shared_features(self.extraction, loaders, name, self.world, progress)
                if visrank:
                    self.world.on_main(
                        _show_ranking, self.datamanager, name, *features, dist_metric, save_dir, visrank_topk
                    )
                results[name], alone = self.world.on_main(
                    _evaluate_both, *features, protocols_of(loaders, protocols), options
                )
                if alone is not None:
                    self.own_results[name] = alone
        if not any(results.values()):
            raise ValueError(
                f"none of the protocols {', '.join(protocols) or '(those of the datasets)'} can be run on "
                f"{', '.join(results)}, see the warnings above; choose others with ealn.protocols"
            )
        return results

    def _test(self, tests: Mapping[str, Any]) -> None:
        self.results, self.tested_with = self.test(**tests), self._test_settings(tests)

    def _test_settings(self, tests: Mapping[str, Any]) -> dict[str, Any]:
        """What the results depend on besides the networks, as plain values, to be kept with them."""
        names = (
            "dist_metric",
            "normalize_feature",
            "use_metric_cuhk03",
            "rerank",
            "query_expansion",
            "expansion_alpha",
        )
        lists = {"ranks": sorted(tests["ranks"]), "protocols": list(tests["protocols"])}
        return {
            **{name: tests[name] for name in names},
            **lists,
            "targets": list(self.test_loader),
            "fusion": self.extraction.fusion,
        }

    def _primary(self) -> tuple[str, str, dict[str, float]]:
        """The first protocol that could be run: (dataset name, protocol, metrics)."""
        return next(
            (name, protocol, metrics) for name, found in self.results.items() for protocol, metrics in found.items()
        )

    def _summary(self) -> dict[str, Any]:
        name, protocol, _ = self._primary()
        return {"primary": f"{name}/{protocol}", "datasets": self.results, "untrained": self.untrained}

    def _update_best(self) -> bool:
        metrics = self._primary()[2]
        if self.best is not None and metrics["mAP"] <= self.best["mAP"]:
            return False
        self.best = {"mAP": metrics["mAP"], "rank1": metrics["rank1"], "epoch": self.epoch + 1}
        return True


def _evaluate_both(
    own: Features, fused: Features | None, names: Sequence[str], options: Mapping[str, Any]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]] | None]:
    """Results of the features that count, and of the embedding network alone where those are fused, or None."""
    if fused is None:
        return evaluate_protocols(own, names, **options), None
    return evaluate_protocols(fused, names, **options), evaluate_protocols(own, names, **options)


def _show_ranking(
    datamanager: Any, name: str, own: Features, fused: Features | None, dist_metric: str, save_dir: str, topk: int
) -> None:
    """Leave the ``topk`` gallery images nearest to each query of a dataset in ``save_dir/visrank_<name>``."""
    features = own if fused is None else fused
    query, gallery = torch.from_numpy(features.query.embeddings), torch.from_numpy(features.gallery.embeddings)
    distances = toolkit.distance_matrix(query, gallery, dist_metric).numpy()
    toolkit.show_ranked_lists(distances, datamanager, name, os.path.join(save_dir, f"visrank_{name}"), topk)
