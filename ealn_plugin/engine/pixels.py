"""From the data manager's normalization to the [-1, 1] of the generators, and back."""

from typing import Any

import torch
from torch import Tensor, nn


class PixelRange(nn.Module):
    """Converts images between the normalization that D_emb was given and the range of generators and discriminators.

    With p in [0, 1] a pixel as stored in a file, D_emb sees (p - mean) / std and the generators see 2 p - 1. Both
    conversions are one multiplication and one addition with constants computed in double precision.

    Args:
        mean, std: three values each, of the data manager's Normalize.
    Raises:
        ValueError: not three positive standard deviations and three means.
    """

    gain: Tensor
    offset: Tensor
    inverse_gain: Tensor
    inverse_offset: Tensor

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or not all(s > 0 for s in std):
            raise ValueError(
                f"norm_mean is {mean} and norm_std is {std}, expected three numbers each and every deviation above 0"
            )
        mean, std = (torch.tensor(list(v), dtype=torch.float64).view(1, 3, 1, 1) for v in (mean, std))
        for name, value in (
            ("gain", 2 * std),
            ("offset", 2 * mean - 1),
            ("inverse_gain", 0.5 / std),
            ("inverse_offset", (0.5 - mean) / std),
        ):
            self.register_buffer(name, value.float(), persistent=False)

    def to_generator(self, images: Tensor) -> Tensor:
        """Normalized images [n, 3, h, w] to [-1, 1]."""
        return images * self.gain + self.offset

    def to_embedding(self, images: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1] to the data manager's normalization."""
        return images * self.inverse_gain + self.inverse_offset
