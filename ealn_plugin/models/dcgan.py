"""DCGAN: images out of noise, and the network that tells them from real ones.

Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, ICLR 2016.
"""

import torch
from torch import Tensor, nn

from ealn_plugin.losses.checks import check_count

STEP = 16
"""Height and width are halved and doubled four times."""


def _places(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if min(size) < STEP or height % STEP or width % STEP:
        raise ValueError(
            f"images of {height}x{width} pixels cannot come out of a DCGAN, which doubles its maps four times; set "
            f"data.height and data.width to multiples of {STEP}"
        )
    return height // STEP, width // STEP


class DCGANGenerator(nn.Module):
    """Noise [n, noise] to images [n, 3, height, width] in [-1, 1].

    A linear layer to maps of a sixteenth of the size, then four transposed convolutions, batch normalization and ReLU
    behind all but the last, which ends in tanh. Weights start from normal(0, 0.02).

    Args:
        size: (height, width) in pixels, multiples of 16. noise: length of the input, 100 in the paper.
        filters: channels before the last convolution, doubled three times towards the input; 128 in the paper.
    """

    def __init__(self, size: tuple[int, int], noise: int = 100, filters: int = 64) -> None:
        super().__init__()
        check_count(noise=noise, filters=filters)
        self.noise, self.places = noise, _places(size)
        widths = [8 * filters, 4 * filters, 2 * filters, filters]
        self.project = nn.Linear(noise, widths[0] * self.places[0] * self.places[1])
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for read, written in zip(widths, widths[1:]):
            layers += [nn.ConvTranspose2d(read, written, 4, 2, 1, bias=False), nn.BatchNorm2d(written), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh())
        _initialize(self)

    def forward(self, noise: Tensor) -> Tensor:
        """See the class."""
        return self.layers(self.project(noise).view(len(noise), -1, *self.places))


class DCGANDiscriminator(nn.Module):
    """Images [n, 3, height, width] to one logit each, [n]: high for real.

    Four convolutions of stride 2 with LeakyReLU 0.2, batch normalization behind all but the first, and a linear layer.

    Args:
        size: (height, width) in pixels, multiples of 16. filters: of the first convolution, doubled by each other.
    """

    def __init__(self, size: tuple[int, int], filters: int = 64) -> None:
        super().__init__()
        check_count(filters=filters)
        places = _places(size)
        layers: list[nn.Module] = [nn.Conv2d(3, filters, 4, 2, 1), nn.LeakyReLU(0.2)]
        for read in (filters, 2 * filters, 4 * filters):
            layers += [nn.Conv2d(read, 2 * read, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * read), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8 * filters * places[0] * places[1], 1)
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.layers(images).flatten(1)).squeeze(1)


def _initialize(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


def draw_noise(count: int, length: int, random: torch.Generator | None, like: Tensor) -> Tensor:
    """Uniform noise [count, length] in [-1, 1], drawn on the CPU; on the device of ``like``, and of its type."""
    return (2 * torch.rand(count, length, generator=random) - 1).to(like)
