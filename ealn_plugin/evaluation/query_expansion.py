"""Query expansion: search again with what a first search has found.

Average query expansion (Chum et al., Total Recall: Automatic Query Expansion with a Generative Feature Model for Object
Retrieval, ICCV 2007) and alpha query expansion (Radenovic et al., Fine-tuning CNN Image Retrieval with No Human
Annotation, TPAMI 2018), which weighs what was found by its similarity.
"""

from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_ROWS_AT_A_TIME = 256


def check_expansion(count: int, alpha: float) -> None:
    """Refuse what is no query expansion.

    Raises:
        ValueError: with one sentence.
    """
    if count < 0 or not alpha >= 0:
        raise ValueError(
            f"query expansion with {count} images and alpha {alpha} is not defined, expected 0 images (none) or more, "
            "and an alpha of 0 (average) or more, such as 3"
        )


def expand_queries(
    queries: NDArray[Any] | Tensor,
    gallery: NDArray[Any] | Tensor,
    count: int,
    alpha: float = 0.0,
    device: torch.device | str | None = None,
) -> Tensor:
    """The features with which to search again.

    Args:
        queries: [queries, dim]. gallery: [gallery, dim]; both are scaled to length 1 first.
        count: so many nearest gallery images are added to each query; 0: none.
        alpha: power of the similarity that weighs them, see ``combine``.
        device: of the similarities; None: the CPU.
    Returns:
        float32 tensor [queries, dim] on the CPU, of length 1.
    Raises:
        ValueError: see ``check_expansion``.
    """
    check_expansion(count, alpha)
    own, entries = (
        F.normalize(torch.as_tensor(each).float().to(device or "cpu"), dim=1) for each in (queries, gallery)
    )
    count = min(count, len(entries))
    if not count:
        return own.cpu()
    expanded = []
    for part in own.split(_ROWS_AT_A_TIME):
        similarity, rows = (part @ entries.T).topk(count, dim=1)
        expanded.append(combine(part, entries[rows], similarity, alpha).cpu())
    return torch.cat(expanded) if expanded else own.cpu()


def combine(queries: Tensor, found: Tensor, similarity: Tensor, alpha: float) -> Tensor:
    """q + sum of s^alpha f over what was found, scaled to length 1.

    Args:
        queries: [q, dim] and found: [q, k, dim], of length 1. similarity: [q, k], cosines; what is not above 0 counts
            nothing, whatever alpha. alpha: 0, all count as much as the query itself (average query expansion).
    Returns:
        [q, dim]
    """
    weights = torch.where(similarity > 0, similarity.clamp(min=0).pow(alpha), torch.zeros_like(similarity))
    return F.normalize(queries + (weights[:, :, None] * found).sum(dim=1), dim=1)
