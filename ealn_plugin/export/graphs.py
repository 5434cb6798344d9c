"""What is exported: the embedding network, and the extractor of the fused feature as one graph."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.extraction import fuse
from ealn_plugin.runs.loading import LoadedRun
from ealn_plugin.runs.weights import CLASSIFIER


class FusedExtractor(nn.Module):
    """The fused feature without a branch that depends on the data: both generators see every image, and the views
    choose.

    Args:
        embedding: ``EmbeddingNetwork``. pixels: ``PixelRange``. scheme: ``ViewScheme``.
        fusion: see ``engine.testing.fuse``.

    forward: normalized images [n, 3, h, w] and views [n] (values of ``View``, int64) -> [n, 2 dim], L2-normalised, as
    ``FeatureExtraction.batch`` has it, at the price of a second pass through a generator.
    """

    def __init__(self, embedding: nn.Module, pixels: nn.Module, scheme: Any, fusion: str) -> None:
        super().__init__()
        self.embedding, self.pixels, self.fusion = embedding, pixels, fusion
        # Not the scheme itself: its discriminators are as large as its generators, and they are not deployed.
        self.generators, self.turn = scheme.turning, scheme.turn
        self.weight = scheme.fusion_weight

    def forward(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """The fused feature; see the class."""
        pictures = self.pixels.to_generator(images)
        view = views[:, None, None, None]
        made = torch.where(
            view == View.FRONT,
            self.turn(pictures, "rear"),
            torch.where(view == View.REAR, self.turn(pictures, "front"), pictures),
        )
        other = self.embedding(self.pixels.to_embedding(made))
        return fuse(self.embedding(images), other, views, self.fusion, self.weight)


@dataclass(frozen=True)
class Graph:
    """One graph to be exported.

    Attributes:
        name: 'embedding' or 'fused', also of its files.
        module: nn.Module in evaluation mode. inputs, output: names of its tensors.
        reference: function of the same tensors that computes what the engine's test phase does.
        size: (height, width) of the images. dim: length of the feature.
        metadata: {key: text} that tells a user of the file what goes in and what comes out.
    """

    name: str
    module: nn.Module
    inputs: tuple
    output: str
    reference: Callable
    size: tuple
    dim: int
    metadata: dict


def graphs_of(run: LoadedRun, metadata: Callable[[str, int], dict[str, str]]) -> list[Graph]:
    """The graphs of a run: its embedding network and, where a scheme makes other views, the fused extractor.

    Args:
        run: ``LoadedRun`` on the CPU.
        metadata: function of a graph's name and dim to its metadata.
    Returns:
        list of Graph
    Raises:
        ValueError: the model gives no single feature for images of the run's size.
    """
    dim, embedding = run.dim, without_classifier(run.embedding)
    graphs = [
        Graph(
            "embedding", embedding, ("images",), "embedding", run.embedding, run.size, dim, metadata("embedding", dim)
        )
    ]
    if run.fusing is not None:
        extraction = run.extraction()
        module = FusedExtractor(embedding, run.pixels, run.fusing, run.config.ealn.fusion).eval()
        graphs.append(
            Graph(
                "fused",
                module,
                ("images", "views"),
                "feature",
                lambda images, views: extraction.batch(images, views)[1],
                run.size,
                2 * dim,
                metadata("fused", 2 * dim),
            )
        )
    return graphs


def without_classifier(embedding: nn.Module) -> nn.Module:
    """A copy of an ``EmbeddingNetwork`` without the layer that only training uses; it grows with the identities."""
    embedding = copy.deepcopy(embedding)
    if isinstance(getattr(embedding.backbone, CLASSIFIER, None), nn.Module):
        setattr(embedding.backbone, CLASSIFIER, nn.Identity())
    return embedding
