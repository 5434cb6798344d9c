"""What evaluation asks of the objects that it is handed by the rooms above it, and the functions that it takes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

JunkRule = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""(query_indices [pairs], gallery_indices [pairs]) -> bool [pairs]: which pairs of one vehicle are left out."""

ViewsOf = Callable[[Sequence[str]], Tensor]
"""Image paths to values of ``View`` [n], int64 on the CPU."""

Embedding = Callable[[Tensor], Any]
"""Normalized images [n, 3, h, w] to L2-normalised embeddings [n, dim]: an ``EmbeddingNetwork`` in evaluation mode."""


class Pixels(Protocol):
    """The two ways between the data manager's normalisation and the [-1, 1] of the generators."""

    def to_generator(self, images: Tensor) -> Tensor:
        """Normalized images [n, 3, h, w] in [-1, 1]."""
        ...

    def to_embedding(self, images: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1], normalized as the data manager does."""
        ...
