"""A small residual network for small pictures: half a million parameters that train in minutes on one processor core.

torchreid's smallest networks are made for 256 x 128 pixels and many layers deep; on pictures of 48 pixels most of
their time on a CPU goes into starting layers. This one is for experiments on rendered vehicles, not for deployment.
Blocks: He et al., Deep Residual Learning, CVPR 2016. The normalized copy of the feature that the classifier sees:
Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019.
"""

import logging
from typing import Any

from torch import Tensor, nn

logger = logging.getLogger(__name__)

_LEAST = 16


class SmallResNet(nn.Module):
    """Stem of stride 2, four residual blocks, global average, a linear feature; a classifier on its normalized copy.

    Args:
        num_classes (int): training identities.
        loss ('softmax' | 'triplet'): as torchreid's models: what train mode returns.
        width (int): channels of the stem, doubled by each of the last three blocks.
        dim (int): length of the feature.

    forward: images [batch, 3, height, width] of 16 pixels or more -> train mode (logits [batch, num_classes],
    features [batch, dim]), or logits alone with 'softmax'; eval mode: features. 0.5 million parameters at the
    defaults. Raises ValueError for options out of range.
    """

    def __init__(self, num_classes: Any, loss: str = "triplet", width: int = 20, dim: int = 128) -> None:
        super().__init__()
        if min(num_classes, width, dim) < 1:
            raise ValueError(
                f"a network with {num_classes} classes, width {width} and features of {dim} cannot be built; give "
                "positive numbers"
            )
        if loss not in ("softmax", "triplet"):
            raise ValueError(f"loss '{loss}' is unknown to SmallResNet; choose 'softmax' or 'triplet'")
        self.loss, self.feature_dim = loss, dim
        self.features = nn.Sequential(
            *_convolution(3, width, 2),
            _Block(width, width, 1),
            _Block(width, 2 * width, 2),
            _Block(2 * width, 4 * width, 2),
            _Block(4 * width, 8 * width, 2),
        )
        self.embedding = nn.Linear(8 * width, dim)
        self.neck = nn.BatchNorm1d(dim)
        self.classifier = nn.Linear(dim, num_classes, bias=False)

    def forward(self, images: Tensor) -> Any:
        """See the class."""
        if min(images.shape[-2:]) < _LEAST:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels are too small, expected {_LEAST} or more; "
                "raise data.height and data.width"
            )
        features = self.embedding(self.features(images).mean((2, 3)))
        if not self.training:
            return features
        logits = self.classifier(self.neck(features))
        return logits if self.loss == "softmax" else (logits, features)


class _Block(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one."""

    def __init__(self, channels: int, out: int, stride: Any) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, out, stride), nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        )
        self.shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)

    def forward(self, x: Any) -> Any:
        return nn.functional.relu(self.body(x) + self.shortcut(x))


def _convolution(channels: int, out: int, stride: Any) -> Any:
    return (
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


def resnet_small(
    num_classes: int = 1000, loss: str = "softmax", pretrained: bool = False, use_gpu: bool = True, **kwargs: Any
) -> Any:
    """Build a SmallResNet the way torchreid's factory calls its models.

    pretrained=True only logs a warning: there is nothing to download. Other keyword arguments go to SmallResNet.
    """
    if pretrained:
        logger.warning(
            "there are no weights of resnet_small, it starts from random ones; pass pretrained=False to say so"
        )
    return SmallResNet(num_classes, loss=loss, **kwargs)
