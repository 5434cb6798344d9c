"""An image generator that may change small regions only: G(x, m) = x outside the regions m, R(x (1 - m), m) inside.

R repaints what it cannot see from what lies around it (Pathak et al., Context Encoders, CVPR 2016). It is an encoder
and decoder with skips (Ronneberger et al., U-Net, 2015) whose decoder enlarges by interpolation before it convolves: no
transposed convolutions, whose checkerboard a discriminator and D_emb see at once (Odena et al., Deconvolution and
Checkerboard Artifacts, Distill 2016).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HALVINGS, _LEAST = 4, 16


class EditingGenerator(nn.Module):
    """R of the module's docstring, and what lies around it unchanged.

    Args:
        filters (int): channels at half the size; doubled by each of the three halvings that follow.

    forward: images [n, 3, height, width] in [-1, 1] and regions [n, 1, height, width], 1 inside and 0 outside (bool or
    float) -> images of the same shape and type, equal to the input outside the regions bit for bit. What the input
    shows inside the regions has no influence. Any size of 16 pixels or more. Raises ValueError for smaller ones and
    for options out of range.
    """

    def __init__(self, filters: int = 16) -> None:
        super().__init__()
        if filters < 1:
            raise ValueError(f"an editing generator with {filters} filters cannot be built; give a positive number")
        widths = [4, *(filters * 2**depth for depth in range(_HALVINGS))]
        self.down = nn.ModuleList(
            _layer(widths[depth], widths[depth + 1], stride=2, norm=0 < depth < _HALVINGS - 1)
            for depth in range(_HALVINGS)  # the last one may leave a single pixel, which has no statistics
        )
        outputs = [filters, *widths[1:]]
        self.up = nn.ModuleList(
            _layer(outputs[depth + 1] + widths[depth], outputs[depth], norm=depth > 1)
            for depth in reversed(range(_HALVINGS))
        )
        self.last = nn.Conv2d(filters, 3, 3, padding=1)

    def forward(self, images: Tensor, regions: Tensor) -> Any:
        """See the class."""
        inside = regions > 0.5
        return torch.where(inside, self._painted(images, inside), images)

    def _painted(self, images: Tensor, inside: Any) -> Any:
        if min(images.shape[-2:]) < _LEAST:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels are too small for the editing generator, "
                f"expected {_LEAST} or more; raise data.height and data.width"
            )
        if not len(images):
            return images + self.last.bias.sum() * 0.0  # type: ignore[union-attr]
        levels = [torch.cat([images.masked_fill(inside, 0.0), inside.to(images.dtype)], dim=1)]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        x = levels.pop()
        for layer in self.up:
            skip = levels.pop().to(x.dtype)
            larger = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = layer(torch.cat([larger, skip], dim=1))
        return self.last(x).to(images.dtype).tanh()


def _layer(channels: int, out: int, stride: int = 1, norm: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 3, stride=stride, padding=1)]
    if norm:
        layers.append(nn.GroupNorm(out, out))  # instance normalization with a scale and a shift
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))


@torch.no_grad()
def draw_regions(
    count: int,
    height: int,
    width: int,
    number: tuple[int, ...] = (1, 3),
    radii: tuple[float, ...] = (0.04, 0.125),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Random regions: unions of ellipses -> [count, 1, height, width] bool, on the CPU.

    Args:
        count: images. height, width: of them, in pixels.
        number: fewest and most ellipses of an image, drawn uniformly.
        radii: smallest and largest half axis as a share of the height (vertical) and of the width (horizontal), each
            drawn uniformly on its own. Centres lie anywhere but in the outer eighth of the image.
        generator: torch.Generator on the CPU, None for torch's global state.
    Every ellipse has at least one pixel, its centre's.
    """
    fewest, most = number
    drawn = torch.rand(count, most, 4, generator=generator, dtype=torch.float64)
    wanted = torch.randint(fewest, most + 1, (count, 1), generator=generator)
    used = torch.arange(most)[None] < wanted
    distance: Any = 0.0
    for axis, size in enumerate((height, width)):
        centre = ((0.125 + 0.75 * drawn[:, :, axis]) * size).floor()[..., None]
        radius = ((radii[0] + (radii[1] - radii[0]) * drawn[:, :, 2 + axis]) * size)[..., None]
        along = ((torch.arange(size, dtype=torch.float64) - centre) / radius.clamp(min=1e-6)).square()
        distance = distance + (along[..., :, None] if axis == 0 else along[..., None, :])
    inside = (distance < 1.0) & used[..., None, None]
    return inside.any(dim=1, keepdim=True)


@torch.no_grad()
def seams(regions: Tensor, width: Any) -> Any:
    """The border of regions [n, 1, h, w] bool, ``width`` pixels to each side of it -> the same shape, bool."""
    values, size = regions.float(), 2 * width + 1
    grown = F.max_pool2d(values, size, stride=1, padding=width)
    shrunk = 1.0 - F.max_pool2d(1.0 - values, size, stride=1, padding=width)
    return (grown > 0.5) & (shrunk < 0.5)
