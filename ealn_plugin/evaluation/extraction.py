"""From a trained network to the numbers of a protocol: features once per image, then every protocol from them."""

import dataclasses
import logging

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.row_file import RowFile

log = logging.getLogger(__name__)


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


def shared_features(extraction, loaders, name, world, progress=True):
    """``FeatureExtraction.dataset``, each process extracting its share of the test images.

    Returns:
        (Features, Features or None) of all images in the main process, in the order of the loaders; (None, None) in
        the others.
    """
    if world.size == 1:
        return extraction.dataset(loaders, name, progress)
    shares = {split: _own_images(loader, world) for split, loader in loaders.items()}
    images = sum(len(loader.dataset) for loader in shares.values())
    parts = world.gather_objects(extraction.dataset(shares, name, progress) if images else None)
    if parts is None:
        return None, None
    return tuple(
        _merged(kept, loaders) if kept[0] is not None else None
        for kept in zip(*(part for part in parts if part is not None))
    )


def _own_images(loader, world):
    """A loader over one contiguous share of a test set."""
    count = len(loader.dataset)
    rows = range(count * world.rank // world.size, count * (world.rank + 1) // world.size)
    return DataLoader(
        Subset(loader.dataset, rows),
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        collate_fn=loader.collate_fn,
    )


def _merged(parts, loaders):
    """Features of several processes in the order of one: split by split, process by process."""
    ordered = [part.subset(part.is_query == (split == "query")) for split in loaders for part in parts]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in ordered])
        for field in dataclasses.fields(parts[0])
        if field.name != "paths"
    }
    return type(parts[0])(paths=[path for part in ordered for path in part.paths], **arrays)
