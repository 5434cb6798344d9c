"""StarGAN's two networks: one generator for all directions, and a critic that also names the domain.

Source: Choi et al., StarGAN, CVPR 2018, and the network tables of its appendix.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ealn_plugin.models.generators import ResnetGenerator, bounded_change, check_image_size


def _check_domains(domains):
    if domains < 2:
        raise ValueError(f"{domains} domains are nothing to translate between; give at least 2")


class StarGANGenerator(ResnetGenerator):
    """One generator for every pair of domains: the wanted domain enters as one-hot planes beside the image.

    It is the generator of the paper, so that a comparison is between methods and not between sizes, with the
    planes as further input channels. Convolutions pad with zeros, never by reflection: a constant plane padded
    with itself stays constant and the instance normalization behind the first convolution removes it without a
    trace; only the border of zeros carries the label on. StarGAN's own generator has six blocks, 4x4 kernels
    where it changes the size, and instance normalization with affine parameters.

    Args:
        domains (int): labels 0 to domains - 1.
        filters, blocks, residual, max_change: those of ResnetGenerator.

    forward: images [batch, 3, h, w] in [-1, 1] and labels [batch] of the wanted domains -> images of the same
    shape and range. Raises ValueError for options out of range and images that cannot be halved twice.
    """

    def __init__(self, domains=2, filters=64, blocks=6, residual=False, max_change=1.0):
        _check_domains(domains)
        super().__init__(3 + domains, 3, filters, blocks, padding="zero", max_change=max_change)
        self.domains, self.residual = domains, residual
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, images, labels):
        check_image_size(*images.shape[-2:])
        if images.shape[0] == 0:
            return images + self._no_images()
        planes = F.one_hot(labels, self.domains).to(images.dtype)[:, :, None, None]
        planes = planes.expand(-1, -1, *images.shape[-2:])
        step = torch.tanh(self.last(self.body(torch.cat([images, planes], dim=1))).to(images.dtype))
        return bounded_change(images, step, self.max_change) if self.residual else step


class StarGANDiscriminator(nn.Module):
    """StarGAN's critic: convolutions that halve the image, then one head that scores and one that names the domain.

    Args:
        image_size ((height, width)): pixels; the second head covers the whole of the last map.
        domains (int): as for the generator.
        filters (int): channels after the first layer, doubled by every further one.
        layers (int or None): halvings, 6 in the source for 128x128 pixels; None: as many as leave a last map of
            two or three pixels, at most 6, which is the source's network at its size.

    forward: images [batch, 3, height, width] in [-1, 1] -> (scores [batch, 1, rows, columns], unbounded, higher
    for real; logits [batch, domains]). Kernels of 4x4 with stride 2, LeakyReLU 0.01, no normalization, since the
    gradient penalty looks at each image alone; heads without biases. 44,737,472 parameters for 128x128 and two
    domains. Raises ValueError for options out of range and images of another size.
    """

    def __init__(self, image_size=(224, 224), domains=2, filters=64, layers=None):
        super().__init__()
        _check_domains(domains)
        self.image_size = tuple(int(side) for side in image_size)
        if layers is None:
            layers = max(1, min(6, min(self.image_size).bit_length() - 2))
        last = [side // 2**layers for side in self.image_size]
        if min(filters, layers, *last) < 1:
            raise ValueError(
                f"a StarGAN discriminator with {filters} filters and {layers} halvings of images of "
                f"{self.image_size[0]}x{self.image_size[1]} pixels cannot be built; give positive numbers, fewer "
                f"layers or larger images"
            )
        widths = [3] + [filters * 2**depth for depth in range(layers)]
        modules = []
        for below, above in zip(widths, widths[1:]):
            modules += [nn.Conv2d(below, above, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*modules)
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1, bias=False)
        self.domain = nn.Conv2d(widths[-1], domains, tuple(last), bias=False)

    def forward(self, images):
        if tuple(images.shape[-2:]) != self.image_size:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels reached a StarGAN discriminator built for "
                f"{self.image_size[0]}x{self.image_size[1]}; build it with image_size set to the image size"
            )
        features = self.body(images)
        return self.score(features).to(images.dtype), self.domain(features).flatten(1).to(images.dtype)
