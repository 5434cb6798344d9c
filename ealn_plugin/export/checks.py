"""Images to compare an exported file with PyTorch on, and the comparison."""

import json
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from ealn_plugin.data.viewpoints import View
from ealn_plugin.export.graphs import Graph


def sample_inputs(graph: Graph, batch: int, seed: int = 0) -> list[tuple[torch.Tensor, ...]]:
    """Inputs of a graph: coarse patches with noise, as varied as photographs are, in every view.

    Args:
        graph: Graph. batch: number of images. seed: of the images.
    Returns:
        list of tuples of tensors; a graph that takes views gets the images once for each view at every place.
    """
    random = torch.Generator().manual_seed(seed + batch)
    height, width = graph.size
    coarse = functional.interpolate(torch.rand(batch, 3, 4, 4, generator=random), size=(height, width), mode="bilinear")
    pixels = (coarse + 0.2 * torch.randn(batch, 3, height, width, generator=random)).clamp(0, 1)
    mean, std = (torch.tensor(json.loads(graph.metadata[name])).view(1, 3, 1, 1) for name in ("mean", "std"))
    images = ((pixels - mean) / std).contiguous()
    if "views" not in graph.inputs:
        return [(images,)]
    every = torch.tensor([int(view) for view in View])
    return [(images, every[(torch.arange(batch) + first) % len(every)]) for first in range(len(every))]


def largest_difference(
    reference: Callable[..., torch.Tensor], run: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]
) -> float:
    """The largest absolute difference between two functions of the same tensors; infinite for other shapes or NaN."""
    with torch.no_grad():
        expected, computed = reference(*inputs), run(*inputs)
    if expected.shape != computed.shape:
        return float("inf")
    difference = (expected.double() - computed.double()).abs().max()
    return float(torch.nan_to_num(difference, nan=float("inf"), posinf=float("inf")))
