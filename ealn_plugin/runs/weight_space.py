"""What is done to the weights of a trained network before it is handed on: blended with those it came from, rounded."""

import logging

import torch
from torch import nn

from ealn_plugin.runs import build
from ealn_plugin.runs.loading import LoadedRun
from ealn_plugin.runs.weights import CLASSIFIER
from ealn_plugin.system.randomness import own_randomness

log = logging.getLogger(__name__)


def blend_with_imagenet(run: LoadedRun, share: float) -> None:
    """Replace the weights of the embedding network by ``share * ImageNet's + (1 - share) * its own``, in place.

    Networks trained further from the same weights are joined by a path of low loss, on which some points hold on
    unseen kinds of images better than both ends: Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022).
    Means and variances of batch normalization are blended like weights; the classifier is not.

    Args:
        run: a network that was trained from the ImageNet weights. share: in [0, 1]; 1 is ImageNet's network.
    Raises:
        ValueError: the share is out of range. RuntimeError, FileNotFoundError: there are no ImageNet weights here.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(
            f"the share of the ImageNet weights is {share}, expected 0 to 1; 0 leaves the network as it is"
        )
    config = run.config.clone()
    config.defrost()
    config.model.pretrained, config.model.load_weights, config.model.resume = True, "", ""
    with own_randomness(seed=0):
        there = build.build_embedding_backbone(config, 1).state_dict()
    own = run.embedding.backbone.state_dict()
    for name, value in own.items():
        if value.is_floating_point() and not name.startswith(CLASSIFIER):
            value.copy_(share * there[name].to(value) + (1.0 - share) * value)
    log.info("weights blended: %g of ImageNet's, %g of the trained network's", share, 1.0 - share)


def round_to_half(model: nn.Module) -> None:
    """Round what ``is_halved`` names to 16 bits, in place, so that all that is written of a network is of the same one.

    Raises:
        ValueError: a weight is too large for it.
    """
    for name, value in model.state_dict().items():
        if is_halved(value):
            rounded = value.half().to(value)
            if not torch.isfinite(rounded).all():
                raise ValueError(f"{name} holds weights beyond 65,504, which 16 bits cannot; leave --half out")
            value.copy_(rounded)


def is_halved(value: torch.Tensor) -> bool:
    """Whether 16 bits are enough: kernels and matrices, not the statistics of batch normalization, which are few."""
    return value.is_floating_point() and value.dim() > 1
