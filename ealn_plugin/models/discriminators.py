"""The real-fake discriminator of the paper: a PatchGAN that judges patches of 70x70 pixels.

Sources: Isola et al., pix2pix, CVPR 2017 (architecture); Zhu et al., CycleGAN, ICCV 2017 (instance
normalization, initialization).
"""

import logging

from torch import nn

from ealn_plugin.models.normalization import InstanceNorm

logger = logging.getLogger(__name__)

_NORMS = {"instance": InstanceNorm, "none": nn.Identity}


class PatchGAN(nn.Module):
    """A fully convolutional discriminator: one logit per overlapping patch.

    Args:
        in_channels (int): 3 for colour images.
        filters (int): channels after the first layer, doubled per layer up to eight times as many.
        layers (int): convolutions of stride 2. 3 sees patches of 70 pixels, 2 of 34 and 1 of 16: small images
            want fewer.
        norm ('instance' | 'none'): after every convolution but the first and the last.

    forward: images in [-1, 1], [batch, in_channels, height, width] -> logits [batch, 1, rows, columns],
    without a sigmoid; positive means real. 2,764,737 parameters at the defaults, 26x26 logits for 224x224.
    Convolutions (4x4, padding 1, with biases) start from normal(0, 0.02), CycleGAN's convention; LeakyReLU
    0.2. Raises ValueError for options out of range and for images too small to leave one logit.
    """

    def __init__(self, in_channels=3, filters=64, layers=3, norm="instance"):
        super().__init__()
        if norm not in _NORMS:
            raise ValueError(f"discriminator norm '{norm}' is unknown; choose 'instance' or 'none'")
        if min(in_channels, filters, layers) < 1:
            raise ValueError(
                f"a discriminator with {in_channels} input channels, {filters} filters and {layers} "
                f"layers cannot be built; give positive numbers"
            )
        self.layers = layers
        widths = [filters * min(2**depth, 8) for depth in range(layers + 1)]
        modules = [nn.Conv2d(in_channels, filters, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for depth in range(1, layers + 1):
            stride = 2 if depth < layers else 1
            modules += [
                nn.Conv2d(widths[depth - 1], widths[depth], 4, stride=stride, padding=1),
                _NORMS[norm](widths[depth]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        modules.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.body = nn.Sequential(*modules)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def logits_size(self, height, width):
        """(rows, columns) of the logits for images of height x width pixels; ValueError if there are none."""
        rows, columns = (size // 2**self.layers - 2 for size in (height, width))
        if min(rows, columns) < 1:
            least = 3 * 2**self.layers
            raise ValueError(
                f"images of {height}x{width} pixels leave no logits of a discriminator with {self.layers} "
                f"layers of stride 2; give it fewer layers or images of at least {least}x{least} pixels"
            )
        return rows, columns

    def forward(self, images):
        size = self.logits_size(*images.shape[-2:])
        if images.shape[0] == 0:
            return images.new_zeros(0, 1, *size) + self.body[-1].bias.sum() * 0.0
        return self.body(images).to(images.dtype)  # logits of mixed precision too


def patchgan_70(num_classes=None, loss=None, pretrained=False, use_gpu=True, **kwargs):
    """Build a PatchGAN the way torchreid's factory calls its models.

    Keyword arguments go to the class; num_classes, loss and use_gpu have no meaning here.
    pretrained=True only logs a warning.
    """
    if pretrained:
        logger.warning(
            "no weights can be downloaded for patchgan_70, it starts from random ones; "
            "training gives it its weights, pass pretrained=False to say so"
        )
    return PatchGAN(**kwargs)
