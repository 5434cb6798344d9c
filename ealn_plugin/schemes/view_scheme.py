"""The base of schemes that turn vehicles round, and give the other half of the fused feature."""

import abc
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.data.viewpoints import View
from ealn_plugin.schemes.base import Batch, Fakes, Scheme, where

DIRECTIONS = (("rear", View.FRONT), ("front", View.REAR))  # view of the generated image, view of its input


class ViewScheme(Scheme):
    """Base of the schemes that turn front into rear images and back; at test time they make the other half of the
    fused feature.

    Side images and images of unknown view take no part in it. Fakes are named after the view that they show.
    """

    makes_other_view = True
    uses = ("view",)
    chosen_weight: Tensor
    added = ("chosen_weight",)

    def __init__(self, *networks: Any, **options: Any) -> None:
        super().__init__(*networks, **options)
        self._weight: float | None = 1.0
        self.register_buffer("chosen_weight", torch.ones((), dtype=torch.float64))

    def weigh(self, weight: float | None) -> None:
        """Set the weight of the other view in the fused feature.

        Args:
            weight: in [0, 1], the paper's is 1; None: what ``chosen_weight`` holds, which the engine chooses on
                training vehicles before each test, and which checkpoints keep.
        Raises:
            ValueError: out of range.
        """
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise ValueError(f"the weight of the other view is {weight}, expected a value in [0, 1], or None")
        self._weight = weight

    @property
    def chooses_weight(self) -> bool:  # type: ignore[override]
        """Whether the weight is to be chosen on training vehicles."""
        return self._weight is None

    @property
    def fusion_weight(self) -> float:  # type: ignore[override]
        """Weight of the other view in the fused feature, in [0, 1]."""
        return float(self.chosen_weight) if self._weight is None else self._weight

    @property
    def turning(self) -> nn.ModuleDict:
        """The networks that ``turn`` needs, which an exported extractor holds."""
        return self.generators

    @abc.abstractmethod
    def turn(self, images: Tensor, view: str) -> Tensor:
        """Images [n, 3, h, w] of the opposite view to images of ``view``, 'front' or 'rear'."""

    def check(self, views: Tensor, height: int, width: int) -> None:
        """Also refuses a training set without labelled front and rear images."""
        super().check(views, height, width)
        front, rear = int((views == View.FRONT).sum()), int((views == View.REAR).sum())
        if not front or not rear:
            raise ValueError(
                f"the cross-view scheme needs training images labelled front and rear, but of {len(views)} images "
                f"{front} are front and {rear} are rear; put a viewpoints.csv or the key-point files into the dataset "
                "folder (see datasets.md), or train with ealn.scheme hard"
            )

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """A rear image of every front image ('rear') and a front image of every rear image ('front')."""
        fakes = {}
        for target, source in DIRECTIONS:
            index = where(batch.views == source, batch.images.device)
            images = self.turn(batch.images[index], target) if len(index) else batch.images[:0]
            fakes[target] = Fakes(images, index)
        return fakes

    def other_view(self, images: Tensor, views: Tensor) -> Tensor:
        """The opposite view of front and rear images; side and unknown images come back as they are."""
        result = images.clone()
        for target, source in DIRECTIONS:
            chosen = where(views == source, images.device)
            if len(chosen):
                result[chosen] = self.turn(images[chosen], target).to(images.dtype)
        return result

    def pictures(self, images: Tensor, views: Tensor) -> dict[str, Tensor]:
        """The other view of each image."""
        return {"other_view": self.other_view(images, views)}
