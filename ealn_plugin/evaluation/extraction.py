"""From a trained network to the numbers of a protocol: features once per image, then every protocol from them."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ealn_plugin.data.viewpoints import View
from ealn_plugin.distributed.world import World
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.interfaces import Embedding, Pixels, ViewsOf
from ealn_plugin.evaluation.row_file import RowFile
from ealn_plugin.schemes.base import Scheme
from ealn_plugin.system.workers import leave_requests_to_stop

log = logging.getLogger(__name__)


def fuse(own: Tensor, other: Tensor, views: Tensor, fusion: str = "by_view", weight: float = 1.0) -> Tensor:
    """The feature of an image beside that of its generated other view (section III-D of the paper).

    Args:
        own, other: [n, dim] L2-normalised embeddings of the images and of their other views.
        views: [n] values of ``View``.
        fusion: 'by_view': front half first, rear half second, whichever of the two is real; 'own_first': the image's
            own half first. Side and unknown images have their own feature twice.
        weight: of the other view in its half, in [0, 1]: that half is (1 - weight) own + weight other, scaled to length
            1. 1: the paper's; with 0 both halves are the own feature, and images rank as by it alone.
    Returns:
        [n, 2 dim], L2-normalised.
    """
    if weight != 1.0:
        other = functional.normalize((1.0 - weight) * own + weight * other, dim=1)
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


def fusion_name(fusion: str, weight: float) -> str:
    """What tells fused features of one kind from those of another: the order, and the weight unless it is 1."""
    return fusion if weight == 1.0 else f"{fusion}, weight {weight:g}"


class FeatureExtraction:
    """Features of torchreid's test loaders, fused with the generated other view where a scheme makes one.

    Args:
        embedding: ``EmbeddingNetwork``; pixels: ``PixelRange``; schemes: list of ``Scheme``.
        views_of: list of paths to [n] values of ``View``.
        device: where the networks are.
        fusion: see ``fuse``.
        weight: of the other view, see ``fuse``; None: that of the scheme. With 0 nothing is generated or fused.
        folder: where features grow in a file without a name; None: the system's folder for temporary files.
    """

    def __init__(
        self,
        embedding: Embedding,
        pixels: Pixels,
        schemes: Sequence[Scheme],
        views_of: ViewsOf,
        device: torch.device,
        fusion: str = "by_view",
        folder: str | None = None,
        weight: float | None = None,
    ) -> None:
        self.embedding, self.pixels, self.views_of, self.device = embedding, pixels, views_of, device
        self.fusion, self.folder, self.weight = fusion, folder, weight
        self.fusing = next((scheme for scheme in schemes if scheme.makes_other_view), None)

    def batch(self, images: Tensor, views: Tensor) -> tuple[Tensor, Tensor | None]:
        """Own embeddings [n, dim] and fused features [n, 2 dim] (or None) of normalized images [n, 3, h, w]."""
        own = self.embedding(images)
        if self.fusing is None:
            return own, None
        weight = self.fusing.fusion_weight if self.weight is None else self.weight
        if weight == 0.0:
            return own, None
        made = self.fusing.other_view(self.pixels.to_generator(images), views)
        other = self.embedding(self.pixels.to_embedding(made))
        return own, fuse(own, other, views, self.fusion, weight)

    def dataset(
        self, loaders: Mapping[str, Any], name: str, progress: bool = True
    ) -> tuple[Features | None, Features | None]:
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
        labels: dict[str, list[Any]] = {key: [] for key in ("pids", "camids", "views", "is_query", "paths")}
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
        arrays = {key: np.concatenate(parts) for key, parts in labels.items()}
        found = [
            Features(embeddings=kept.array(), paths=paths, **arrays) if len(kept) else None for kept in (own, fused)
        ]
        return found[0], found[1]


def shared_features(
    extraction: FeatureExtraction, loaders: Mapping[str, Any], name: str, world: World, progress: bool = True
) -> tuple[Features | None, Features | None]:
    """``FeatureExtraction.dataset``, each process extracting its share of the test images.

    Returns:
        (Features, Features or None) of all images in the main process, in the order of the loaders; (None, None) in
        the others.
    """
    if world.size == 1:
        return extraction.dataset(loaders, name, progress)
    shares: dict[str, Any] = {split: _own_images(loader, world) for split, loader in loaders.items()}
    images = sum(len(loader.dataset) for loader in shares.values())
    parts = world.gather_objects(extraction.dataset(shares, name, progress) if images else None)
    if parts is None:
        return None, None
    own, fused = (
        _merged(kept, loaders) if kept[0] is not None else None
        for kept in zip(*(part for part in parts if part is not None))
    )
    return own, fused


def _own_images(loader: Any, world: World) -> DataLoader:
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


def _merged(parts: Sequence[Features], loaders: Mapping[str, Any]) -> Features:
    """Features of several processes in the order of one: split by split, process by process."""
    ordered = [part.subset(part.is_query == (split == "query")) for split in loaders for part in parts]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in ordered])
        for field in dataclasses.fields(parts[0])
        if field.name != "paths"
    }
    return type(parts[0])(paths=[path for part in ordered for path in part.paths], **arrays)
