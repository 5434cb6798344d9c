"""Hard negatives without a network: regions of other vehicles pasted into an image (``en_paste``)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ealn_plugin.schemes.base import Batch, Fakes, Loss
from ealn_plugin.schemes.editing import RegionScheme


class PastedRegionsScheme(RegionScheme):
    """Regions of other vehicles of the batch, of the same view where it is known, pasted at the same place: hard
    negatives without any network (Yun et al., CutMix, ICCV 2019, with the small part as what makes it another vehicle).

    Args: as in ``RegionScheme``.
    """

    name = "paste"
    pastes = True

    def __init__(self, **options: Any) -> None:
        super().__init__({}, {}, **options)
        self.uses_embeddings = self.chosen_by_embedding

    def edit(self, images: Tensor, partners: Tensor | None, regions: Tensor) -> tuple[Tensor, Tensor]:
        """See ``RegionScheme``."""
        return torch.where(regions, images if partners is None else partners, images), regions

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """Nothing to train."""
        return batch.images.new_zeros(()), {}

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """Nothing to train."""
        return batch.images.new_zeros(()), {}
