"""From a trained network to the numbers of a protocol: features once per image, then every protocol from them."""

import logging

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import evaluate_protocols
from ealn_plugin.evaluation.streaming import RowFile
from ealn_plugin.workers import leave_requests_to_stop

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
        with tqdm(
            total=total, desc=f"features of {name}", unit="batch", disable=not progress, leave=False, dynamic_ncols=True
        ) as bar:
            for split, loader in loaders.items():
                leave_requests_to_stop(loader)
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
        return tuple(
            Features(embeddings=kept.array(), paths=paths, **labels) if len(kept) else None for kept in (own, fused)
        )


def protocols_of(loaders, wanted=()):
    """Names of the protocols to run on a dataset: ``wanted``, else those of its class, else torchreid's own rule."""
    return tuple(wanted) or getattr(loaders["query"].dataset, "protocols", DEFAULT_PROTOCOLS)


def evaluate(features, names, **options):
    """{protocol: {metric: float}} for the protocols that the features support."""
    return {
        name: {key: float(value) for key, value in metrics.items()}
        for name, metrics in evaluate_protocols(features, names, **options).items()
    }
