"""The image generator of the paper: Johnson et al.'s network with nine residual blocks.

Sources: Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer", ECCV 2016
(architecture); Zhu et al., CycleGAN, ICCV 2017 (reflection padding, instance normalization, initialization).
"""

import logging

import torch
from torch import nn

from ealn_plugin.models.normalization import InstanceNorm

logger = logging.getLogger(__name__)

_PADDING_MODES = {"reflect": "reflect", "zero": "zeros"}


def _norm_relu(channels):
    return [InstanceNorm(channels), nn.ReLU(inplace=True)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalization, added to their input [batch, channels, h, w]."""

    def __init__(self, channels, padding_mode):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode),
            *_norm_relu(channels),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode),
            InstanceNorm(channels),
        )

    def forward(self, x):
        return x + self.body(x)


class ResnetGenerator(nn.Module):
    """Image to image: 7x7 convolution, two halvings, residual blocks, two doublings, 7x7 convolution, tanh.

    Args:
        in_channels, out_channels (int): 3 and 3 for colour images.
        filters (int): channels after the first layer; the blocks work on four times as many.
        blocks (int): residual blocks, 9 in the paper.
        padding ('reflect' | 'zero'): how the convolutions see beyond the border. StarGAN-like label planes
            need 'zero', because instance normalization cancels a constant plane that is padded with itself.
        residual (bool): the output is the input plus a bounded change, see `bounded_change`. The last
            convolution starts at zero, so that the untrained generator returns its input exactly.
        max_change (float in (0, 2]): the most that a residual generator may change a value; images span 2.
            Not from the paper: at 1.0 a grey value reaches black and white.

    forward: images in [-1, 1], [batch, in_channels, height, width] -> the same size and type, within [-1, 1],
    also in mixed precision, where the last rounding would otherwise cost grey levels.
    11,378,179 parameters at the defaults. Convolutions start from normal(0, 0.02) with zero biases,
    CycleGAN's convention. Raises ValueError for options out of range and for images that it cannot halve
    twice.
    """

    def __init__(
        self, in_channels=3, out_channels=3, filters=64, blocks=9, padding="reflect", residual=False, max_change=1.0
    ):
        super().__init__()
        _check_options(in_channels, out_channels, filters, blocks, padding, residual, max_change)
        self.residual, self.max_change = residual, float(max_change)
        mode = _PADDING_MODES[padding]
        layers = [nn.Conv2d(in_channels, filters, 7, padding=3, padding_mode=mode), *_norm_relu(filters)]
        for channels in (filters, 2 * filters):
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), *_norm_relu(2 * channels)]
        layers += [ResidualBlock(4 * filters, mode) for _ in range(blocks)]
        for channels in (4 * filters, 2 * filters):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1),
                *_norm_relu(channels // 2),
            ]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(filters, out_channels, 7, padding=3, padding_mode=mode)
        self._initialize()

    def _initialize(self):
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)
        if self.residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, images):
        check_image_size(*images.shape[-2:])
        if images.shape[0] == 0:
            return images.new_zeros(0, self.last.out_channels, *images.shape[-2:]) + self._no_images()
        return self._picture(images, self.last(self.body(images)))

    def _picture(self, images, output):
        step = torch.tanh(output.to(images.dtype))
        return bounded_change(images, step, self.max_change) if self.residual else step

    def _no_images(self):
        """A zero joined to the parameters, so that losses of an empty batch can be differentiated."""
        return self.last.bias.sum() * 0.0


def bounded_change(images, step, max_change):
    """images + a change of at most max_change, within [-1, 1] without cutting gradients off.

    images, step: the same shape, both in [-1, 1]. A pixel x has the room up = min(max_change, 1 - x) above
    and down = min(max_change, 1 + x) below; step 1 uses up all of the room above, -1 all of that below:
        y = x + step * up if step > 0, y = x + step * down otherwise.
    A clamp would stop the gradient of every pixel pushed beyond the range; here the slope in `step` is the
    room itself. Written as mean * step + half * |step|, the slope at step 0 is the mean of both rooms (|.|
    has slope 0 there), so white and black pixels learn from the start as well. Step 0 returns `images`
    exactly. The final clamp removes rounding only.
    """
    up = (1.0 - images).clamp(max=max_change)
    down = (1.0 + images).clamp(max=max_change)
    change = 0.5 * (up + down) * step + 0.5 * (up - down) * step.abs()
    return (images + change).clamp(-1.0, 1.0)


def check_image_size(height, width):
    """Raise ValueError unless both sides are divisible by 4 and at least 8 pixels."""
    if height % 4 or width % 4 or min(height, width) < 8:
        raise ValueError(
            f"image size the generator cannot halve twice: {height}x{width}; "
            f"set data.height and data.width to multiples of 4, at least 8"
        )


def _check_options(in_channels, out_channels, filters, blocks, padding, residual, max_change):
    if padding not in _PADDING_MODES:
        raise ValueError(f"generator padding '{padding}' is unknown; choose 'reflect' or 'zero'")
    if min(in_channels, out_channels, filters) < 1 or blocks < 0:
        raise ValueError(
            f"a generator with {in_channels} input channels, {out_channels} output channels, {filters} "
            f"filters and {blocks} blocks cannot be built; give positive numbers"
        )
    if residual and in_channels != out_channels:
        raise ValueError(
            f"a residual generator adds to its input, so {in_channels} input channels cannot become "
            f"{out_channels}; make them equal or set residual=False"
        )
    if not 0.0 < max_change <= 2.0:
        raise ValueError(f"max_change {max_change} is outside (0, 2]; images span 2, from -1 to 1")


def resnet_generator_9blocks(num_classes=None, loss=None, pretrained=False, use_gpu=True, **kwargs):
    """Build a ResnetGenerator the way torchreid's factory calls its models.

    Keyword arguments go to the class; num_classes, loss and use_gpu have no meaning here.
    pretrained=True only logs a warning.
    """
    if pretrained:
        logger.warning(
            "no weights can be downloaded for resnet_generator_9blocks, it starts from random "
            "ones; training gives it its weights, pass pretrained=False to say so"
        )
    return ResnetGenerator(**kwargs)
