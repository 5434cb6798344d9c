"""From a run folder to its trained networks, for inference: no dataset is needed, nothing is trained."""

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import nn

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.evaluation.extraction import FeatureExtraction, fusion_name
from ealn_plugin.models.embedding import EmbeddingNetwork
from ealn_plugin.models.modes import evaluating
from ealn_plugin.runs import build
from ealn_plugin.runs.build_schemes import build_schemes
from ealn_plugin.runs.described_file import SUFFIX
from ealn_plugin.runs.folder import files_of_run
from ealn_plugin.runs.references import NOTICE, SHIPPED, described_network, is_reference, local_file, recorded_options
from ealn_plugin.runs.weights import load_weights, number_of_classes
from ealn_plugin.system.randomness import own_randomness

log = logging.getLogger(__name__)


@dataclass
class LoadedRun:
    """The trained networks of a run, in eval mode and without gradients, and what they expect of an image.

    Attributes:
        config: the run's configuration (yacs tree, frozen).
        embedding: ``EmbeddingNetwork``: normalized images [n, 3, height, width] to L2-normalised embeddings [n, dim].
        schemes: list of ``Scheme`` with their generators and discriminators, [] for a run of EN.
        pixels: ``PixelRange`` between the normalization of ``embedding`` and the [-1, 1] of the generators.
        device: torch.device that all of them are on.
        source: path of the file that the weights came from.
    """

    config: Any
    embedding: EmbeddingNetwork
    schemes: list
    pixels: PixelRange
    device: torch.device
    source: str

    def __post_init__(self) -> None:
        for network in (self.embedding, *self.schemes):
            network.to(self.device).eval().requires_grad_(False)
        self.pixels.to(self.device)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return self.config.data.height, self.config.data.width

    @property
    def normalization(self) -> tuple[list[float], list[float]]:
        """(mean, std) for pixels in [0, 1], a list of three values each."""
        return list(self.config.data.norm_mean), list(self.config.data.norm_std)

    @property
    def fusing(self) -> Any:
        """The scheme whose generators make the other view, or None; also where that view has no weight."""
        makers = (scheme for scheme in self.schemes if scheme.makes_other_view and scheme.fusion_weight)
        return next(makers, None)

    @property
    def fusion(self) -> str:
        """Order and weight of the fused feature, '' where there is none."""
        return "" if self.fusing is None else fusion_name(self.config.ealn.fusion, self.fusing.fusion_weight)

    @functools.cached_property
    def transform(self) -> Callable[[Any], torch.Tensor]:
        """torchreid's test transform: RGB ``PIL.Image`` to a normalized tensor [3, height, width]."""
        return toolkit.test_transform(*self.size, *self.normalization)

    @functools.cached_property
    def dim(self) -> int:
        """Length of an embedding; a ValueError where the model gives no single feature for images of this size."""
        return check_features(self.embedding.backbone, *self.size, self.device)

    def extraction(self, views_of: Any = None) -> FeatureExtraction:
        """The engine's ``FeatureExtraction`` around these networks; ``views_of``: list of paths to [n] views."""
        return FeatureExtraction(
            self.embedding, self.pixels, self.schemes, views_of, self.device, self.config.ealn.fusion
        )


def load_run(path: str | PathLike[str] | None, device: str | torch.device = "cpu") -> LoadedRun:
    """The networks of a run of ``ealn train``; its dataset need not be there.

    No code in its files is run, but the modules that its ``ealn.imports`` names are imported.

    Args:
        path: run folder, meaning its last checkpoint, or one of the checkpoint_*.pth.tar in it; or weights that say
            which network they belong to: a file of safetensors of ``ealn export``, 'hf:OWNER/NAME', or 'shipped', which
            come with the package. None: 'shipped', with a warning that says what they are.
        device: where to put the networks.
    Returns:
        LoadedRun
    Raises:
        FileNotFoundError: not a run that has saved a checkpoint.
        CheckpointError, ValueError: broken files, or a checkpoint that does not fit its configuration.
    """
    if path is None:
        log.warning("%s", NOTICE)
        path = SHIPPED
    if is_reference(path) or (os.fspath(path).endswith(SUFFIX) and not os.path.isdir(path)):
        return load_model(**described_network(path, "the run"), weights=path, device=device, flag="the run")
    config_file, checkpoint_file = files_of_run(path)
    config = configuration.load_config(config_file, ["model.pretrained", False, "model.load_weights", ""])
    content = state.read(checkpoint_file)
    with own_randomness():  # the initial weights are drawn, then overwritten
        classes = number_of_classes(content["model"])
        model = build.build_embedding_backbone(config, classes)
        schemes = build_schemes(config, classes)
    state.check_schemes(schemes, content, checkpoint_file)
    state.fit_networks(model, schemes, content, checkpoint_file)
    pixels = PixelRange(config.data.norm_mean, config.data.norm_std)
    return LoadedRun(config, EmbeddingNetwork(model), schemes, pixels, torch.device(device), checkpoint_file)


def load_model(
    model: str,
    weights: str | PathLike[str],
    height: int | None = None,
    width: int | None = None,
    norm_mean: Sequence[float] | None = None,
    norm_std: Sequence[float] | None = None,
    device: str | torch.device = "cpu",
    flag: str = "weights",
) -> LoadedRun:
    """Any model with weights of its own architecture, as a LoadedRun without schemes.

    Args:
        model: name, such as 'resnet50' or 'timm:convnext_atto'.
        weights: file in torchreid's format, such as model/model-last.pth.tar of a run, a plain state dict, a
            checkpoint of FastReID or TransReID, a file of safetensors, 'hf:OWNER/NAME' or 'shipped'. One of ``ealn
            export`` also says with which neck and strides the network is built.
        height, width: of the images in pixels; norm_mean, norm_std: of their normalization, for pixels in [0, 1]. None:
            what a timm model's own config says, and 224 pixels and ImageNet's normalization for all others.
        device: where to put the network; flag: what the user calls the file of weights in messages.
    Raises:
        FileNotFoundError, ValueError: no such file or model, weights of another model, or a size out of range.
    """
    given = {
        "data.height": height,
        "data.width": width,
        "data.norm_mean": None if norm_mean is None else list(norm_mean),
        "data.norm_std": None if norm_std is None else list(norm_std),
    }
    options = ["ealn.scheme", "en", "model.name", model, "model.pretrained", False]
    options += [item for key, value in given.items() if value is not None for item in (key, value)]
    options += recorded_options(weights, model, flag)
    config = configuration.load_config("", options)
    with own_randomness(seed=0):  # a classifier that does not fit stays as drawn, and belongs to the identity
        network = build.build_embedding_backbone(config, 1)
    network = load_weights(network, weights, flag, (config.data.height, config.data.width))
    source = local_file(weights, flag)
    pixels = PixelRange(config.data.norm_mean, config.data.norm_std)
    return LoadedRun(config, EmbeddingNetwork(network), [], pixels, torch.device(device), source)


def check_features(model: nn.Module, height: int, width: int, device: str | torch.device) -> int:
    """Try whether a network gives one feature per image, and return its length.

    Raises:
        ValueError: it does not, or not for images of that size.
    """
    name = type(model).__name__
    try:
        with evaluating(model):
            features = model(torch.zeros(2, 3, height, width, device=device))
    except Exception as error:  # whatever a model raises for a size that it cannot take
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise ValueError(
            f"{name} cannot process images of {height} x {width} pixels ({type(error).__name__}: {reason}); where the "
            "reason is a size, choose another with --height and --width, else another model"
        ) from error
    shape = tuple(features.shape) if torch.is_tensor(features) else type(features).__name__
    if not torch.is_tensor(features) or features.dim() != 2 or len(features) != 2:
        raise ValueError(
            f"{name} returns {shape} for two images in evaluation mode, expected one tensor [2, dim]; "
            "choose a model that gives one feature per image"
        )
    return features.shape[1]
