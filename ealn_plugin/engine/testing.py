"""From a trained network to the numbers of a protocol: features once per image, then every protocol from them."""
import logging
import os

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.engine.parallel import shared_features
from ealn_plugin.engine.sampling import own_randomness
from ealn_plugin.engine.step import evaluating
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import evaluate_protocols
from ealn_plugin.evaluation.streaming import RowFile

log = logging.getLogger(__name__)

DEFAULT_PROTOCOLS = ("image",)


def fuse(own, other, views, fusion="by_view"):
    """The feature of an image beside that of its generated other view (section III-D of the paper).

    Args:
        own, other: [n, dim] L2-normalised embeddings of the images and of their other views.
        views: [n] values of ``View``.
        fusion: 'by_view': front half first, rear half second, whichever of the two is real; 'own_first': the image's
            own half first. Side and unknown images have their own feature twice.
    Returns:
        [n, 2 dim], L2-normalised.
    """
    seen = ((views == View.FRONT) | (views == View.REAR)).to(own.device)[:, None]
    other = torch.where(seen, other, own)
    if fusion == "own_first":
        halves = (own, other)
    elif fusion == "by_view":
        rear = (views == View.REAR).to(own.device)[:, None]
        halves = (torch.where(rear, other, own), torch.where(rear, own, other))
    else:
        raise ValueError(f"fusion is {fusion!r}, expected 'by_view' or 'own_first'")
    return functional.normalize(torch.cat(halves, dim=1), dim=1)


class FeatureExtraction:
    """Features of torchreid's test loaders, fused with the generated other view where a scheme makes one.

    Args:
        embedding: ``EmbeddingNetwork``; pixels: ``PixelRange``; schemes: list of ``Scheme``.
        views_of: list of paths to [n] values of ``View``.
        device: where the networks are.
        fusion: see ``fuse``.
        folder: where features grow in a file without a name; None: the system's folder for temporary files.
    """

    def __init__(self, embedding, pixels, schemes, views_of, device, fusion="by_view", folder=None):
        self.embedding, self.pixels, self.views_of, self.device = embedding, pixels, views_of, device
        self.fusion, self.folder = fusion, folder
        self.fusing = next((scheme for scheme in schemes if scheme.makes_other_view), None)

    def batch(self, images, views):
        """Own embeddings [n, dim] and fused features [n, 2 dim] (or None) of normalized images [n, 3, h, w]."""
        own = self.embedding(images)
        if self.fusing is None:
            return own, None
        made = self.fusing.other_view(self.pixels.to_generator(images), views)
        other = self.embedding(self.pixels.to_embedding(made))
        return own, fuse(own, other, views, self.fusion)

    def dataset(self, loaders, name, progress=True):
        """All test images of one dataset; in memory there is never more than a batch of embeddings.

        Args:
            loaders: {'query': DataLoader, 'gallery': DataLoader} as torchreid's data manager keeps them.
        Returns:
            (Features, Features or None): of the embedding network alone, and fused; their embeddings are mapped from
            a file that is gone with them.
        Raises:
            NoRoomError: the disk has no room for them.
        """
        expected = sum(len(loader.dataset) for loader in loaders.values())
        own, fused = RowFile(expected, self.folder), RowFile(expected, self.folder)
        labels = {key: [] for key in ("pids", "camids", "views", "is_query", "paths")}
        total = sum(len(loader) for loader in loaders.values())
        with tqdm(total=total, desc=f"features of {name}", unit="batch", disable=not progress, leave=False,
                  dynamic_ncols=True) as bar:
            for split, loader in loaders.items():
                for data in loader:
                    views = self.views_of(data["impath"])
                    images = data["img"].to(self.device, non_blocking=True)
                    for kept, features in zip((own, fused), self.batch(images, views)):
                        if features is not None:
                            kept.append(features.float().cpu().numpy())
                    labels["pids"].append(data["pid"].numpy())
                    labels["camids"].append(data["camid"].numpy())
                    labels["views"].append(views.numpy())
                    labels["is_query"].append(np.full(len(images), split == "query"))
                    labels["paths"].extend(data["impath"])
                    bar.update()
        paths = labels.pop("paths")
        labels = {key: np.concatenate(parts) for key, parts in labels.items()}
        return tuple(Features(embeddings=kept.array(), paths=paths, **labels) if len(kept) else None
                     for kept in (own, fused))


def protocols_of(loaders, wanted=()):
    """Names of the protocols to run on a dataset: ``wanted``, else those of its class, else torchreid's own rule."""
    return tuple(wanted) or getattr(loaders["query"].dataset, "protocols", DEFAULT_PROTOCOLS)


def evaluate(features, names, **options):
    """{protocol: {metric: float}} for the protocols that the features support."""
    return {name: {key: float(value) for key, value in metrics.items()}
            for name, metrics in evaluate_protocols(features, names, **options).items()}


def evaluate_both(own, fused, names, options):
    """``evaluate`` of the features that count, and of the embedding network's own where those are fused, or None.

    Args:
        own, fused: what ``FeatureExtraction.dataset`` returns. names, options: as ``evaluate``.
    """
    if fused is None:
        return evaluate(own, names, **options), None
    return evaluate(fused, names, **options), evaluate(own, names, **options)


def show_ranking(datamanager, name, own, fused, dist_metric, save_dir, topk):
    """Leave the ``topk`` gallery images nearest to each query of a dataset in ``save_dir/visrank_<name>``."""
    features = own if fused is None else fused
    query, gallery = torch.from_numpy(features.query.embeddings), torch.from_numpy(features.gallery.embeddings)
    distances = toolkit.distance_matrix(query, gallery, dist_metric).numpy()
    toolkit.show_ranked_lists(distances, datamanager, name, os.path.join(save_dir, f"visrank_{name}"), topk)


class EvaluatingEngine(toolkit.Engine):
    """The half of an engine that tests. The other half sets ``embedding``, ``schemes``, ``extraction`` (a
    ``FeatureExtraction``) and ``world``, and counts ``epoch``.

    Attributes:
        results, own_results, untrained: {dataset name: {protocol: {metric: value in [0, 1]}}} of the last test, of the
            embedding network's own features where those are fused, and of the test before training.
        best: {"mAP", "rank1", "epoch"} of the best test so far, or None.
    """

    def __init__(self, datamanager, use_gpu=True):
        super().__init__(datamanager, use_gpu)
        self.results, self.own_results, self.untrained, self.best = {}, {}, {}, None

    def test(self, dist_metric="euclidean", normalize_feature=False, visrank=False, visrank_topk=10, save_dir="",
             use_metric_cuhk03=False, ranks=(1, 5, 10, 20), rerank=False, *, protocols=(), progress=True):
        """Features once per image, then every protocol of every target; fused features where a scheme makes views.

        The embedding network's own features are ranked as well in that case and kept in ``self.own_results``.

        Returns:
            {dataset name: {protocol: {metric: value in [0, 1]}}}
        """
        options = dict(dist_metric=dist_metric, normalize_feature=normalize_feature, rerank=rerank,
                       use_metric_cuhk03=use_metric_cuhk03, ranks=sorted({1, 5, 10, *ranks}))
        results, self.own_results = {}, {}
        self.extraction.folder = save_dir if os.path.isdir(save_dir) else None
        with own_randomness(), evaluating(self.embedding, *self.schemes):
            for name, loaders in self.test_loader.items():
                features = shared_features(self.extraction, loaders, name, self.world, progress)
                if visrank:
                    self.world.on_main(show_ranking, self.datamanager, name, *features, dist_metric, save_dir,
                                       visrank_topk)
                results[name], alone = self.world.on_main(evaluate_both, *features, protocols_of(loaders, protocols),
                                                          options)
                if alone is not None:
                    self.own_results[name] = alone
        if not any(results.values()):
            raise ValueError(f"none of the protocols {', '.join(protocols) or '(those of the datasets)'} can be run on "
                             f"{', '.join(results)}, see the warnings above; choose others with ealn.protocols")
        return results

    def _primary(self):
        """The first protocol that could be run: (dataset name, protocol, metrics)."""
        return next((name, protocol, metrics) for name, found in self.results.items()
                    for protocol, metrics in found.items())

    def _summary(self):
        name, protocol, _ = self._primary()
        return {"primary": f"{name}/{protocol}", "datasets": self.results, "untrained": self.untrained}

    def _update_best(self):
        metrics = self._primary()[2]
        if self.best is not None and metrics["mAP"] <= self.best["mAP"]:
            return False
        self.best = {"mAP": metrics["mAP"], "rank1": metrics["rank1"], "epoch": self.epoch + 1}
        return True
