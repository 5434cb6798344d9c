"""BNNeck: batch normalization between the feature that triplets compare and the one that the classifier sees.

Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019, section 3.5: triplets
want distances, cross-entropy wants angles, and one feature cannot have both. For tests they take the normalized
feature; TransReID (He et al., ICCV 2021) takes the one before it for vehicles.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.losses.checks import check_choice

TESTED = ("before", "after")


class NeckedBackbone(nn.Module):
    """Any backbone that keeps torchreid's contract, with a BNNeck and a classifier without bias behind it.

    Args:
        backbone: built with loss='triplet'. Its own classifier is taken out.
        dim: length of its feature. num_classes: training identities.
        tested: which feature evaluation mode returns, 'before' or 'after' the neck.

    forward: images [batch, 3, height, width] -> train mode (logits [batch, num_classes] of the normalized feature,
    features [batch, dim] before it, which triplets and schemes compare, and the backbone's further outputs where it
    has some); eval mode features [batch, dim]. The neck has a learned scale and no shift. Raises ValueError for another
    ``tested``.
    """

    def __init__(self, backbone: nn.Module, dim: int, num_classes: int, tested: str = "after") -> None:
        super().__init__()
        check_choice("neck", tested, TESTED)
        self.backbone, self.feature_dim, self.tested = backbone, dim, tested
        if isinstance(getattr(backbone, "classifier", None), nn.Module):
            backbone.classifier = nn.Identity()
        self.neck = _without_shift(nn.BatchNorm1d(dim))
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)  # as Luo et al. begin

    def forward(self, images: Tensor) -> Any:
        """See the class."""
        if not self.training:
            found = self.backbone(images)
            features, *named = (found,) if torch.is_tensor(found) else found
            features = self.neck(features) if self.tested == "after" else features
            return (features, *named) if named else features
        _, features, *named = self.backbone(images)
        return self.classifier(self.neck(features)), features, *named


def _without_shift(neck: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """The layer with a bias of zero that nothing trains; as a buffer, since engines open every parameter."""
    bias = neck.bias.detach()
    del neck.bias
    neck.register_buffer("bias", torch.zeros_like(bias))
    return neck


@contextlib.contextmanager
def learned_feature(*modules: nn.Module) -> Iterator[None]:
    """Within it, evaluation mode returns the feature that triplets and schemes compare, before any neck."""
    necks = [(part, part.tested) for module in modules for part in module.modules() if isinstance(part, NeckedBackbone)]
    for part, _ in necks:
        part.tested = "before"
    try:
        yield
    finally:
        for part, tested in necks:
            part.tested = tested
