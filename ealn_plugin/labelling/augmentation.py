"""Augmentation of whole batches for the viewpoint classifier, so that it does not depend on how an image was taken.

None of it changes which side of a vehicle is seen: mirroring turns left into right, never front into rear. The ranges
are chosen for crops from traffic cameras of unknown quality; none is taken from a paper.
"""

import math

import torch
from torch.nn import functional as F

FLIP = 0.5
"""Probability of mirroring."""
ROTATION, SHIFT, ZOOM = 6.0, 0.08, (0.85, 1.2)
"""Largest rotation in degrees, largest shift as a share of the image, range of the zoom of either axis."""
BLUR, LOWEST_RESOLUTION = 0.5, 0.3
"""Probability of a lower resolution, and the lowest as a share of the image's own."""
GAIN, CONTRAST, SATURATION, TINT, GREY = (0.6, 1.4), (0.6, 1.4), (0.0, 1.5), 0.15, 0.1
"""Ranges of brightness, contrast and saturation, largest change of one channel, probability of no colour at all."""
NOISE = 0.04
"""Largest standard deviation of the noise, where pixels lie in [0, 1]."""
ERASE, ERASED = 0.4, (0.15, 0.45)
"""Probability of an erased rectangle (Zhong et al., AAAI 2020), and the range of its sides as shares of the image."""


def augment(images, generator, degraded=1.0):
    """Return new images that show the same views: all are moved, some of them degraded as well.

    Args:
        images: float [n, 3, height, width] in [0, 1]; left as they are.
        generator: torch.Generator on the CPU that every draw comes from.
        degraded: probability in [0, 1] of other colours, less resolution, noise and a covered part.
    Returns:
        float [n, 3, height, width] in [0, 1].
    """
    moved = _move(images, generator)
    changed = moved
    for change in (_blur, _recolour, _add_noise, _erase):
        changed = change(changed, generator)
    return torch.where(_chosen(images, generator, degraded), changed, moved).clamp(0, 1)


def _uniform(images, generator, low, high, *shape):
    shape = shape or (1, 1, 1)
    return low + (high - low) * torch.rand(len(images), *shape, generator=generator)


def _chosen(images, generator, probability):
    return torch.rand(len(images), 1, 1, 1, generator=generator) < probability


def _move(images, generator):
    """Mirror, rotate, shift and zoom; what comes into view from outside repeats the border."""
    mirrored = 1 - 2 * (torch.rand(len(images), generator=generator) < FLIP).float()
    angle = math.radians(ROTATION) * _uniform(images, generator, -1, 1, 1)[:, 0]
    zoom = torch.exp(_uniform(images, generator, -math.log(ZOOM[1]), -math.log(ZOOM[0]), 2))
    shift = 2 * SHIFT * _uniform(images, generator, -1, 1, 2)
    rows = [
        torch.stack([mirrored * angle.cos() * zoom[:, 0], -angle.sin() * zoom[:, 0], shift[:, 0]], dim=1),
        torch.stack([mirrored * angle.sin() * zoom[:, 1], angle.cos() * zoom[:, 1], shift[:, 1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _blur(images, generator):
    """Lower the resolution of some images, all to the same one."""
    share = LOWEST_RESOLUTION + (1 - LOWEST_RESOLUTION) * torch.rand((), generator=generator).item()
    size = images.shape[-2:]
    small = F.interpolate(
        images, [max(1, round(share * side)) for side in size], mode="bilinear", antialias=True, align_corners=False
    )
    blurred = F.interpolate(small, size, mode="bilinear", align_corners=False)
    return torch.where(_chosen(images, generator, BLUR), blurred, images)


def _recolour(images, generator):
    images = images * _uniform(images, generator, *GAIN) * _uniform(images, generator, 1 - TINT, 1 + TINT, 3, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * _uniform(images, generator, *CONTRAST)
    grey = images.mean(1, keepdim=True)
    saturation = _uniform(images, generator, *SATURATION).masked_fill(_chosen(images, generator, GREY), 0.0)
    return grey + (images - grey) * saturation


def _add_noise(images, generator):
    return images + _uniform(images, generator, 0, NOISE) * torch.randn(images.shape, generator=generator)


def _erase(images, generator):
    """Cover a rectangle of some images with one colour each."""
    inside = _chosen(images, generator, ERASE)
    for dim in (2, 3):
        side = _uniform(images, generator, *ERASED)
        start = _uniform(images, generator, 0, 1) * (1 - side)
        shape = [1, 1, 1, 1]
        shape[dim] = images.shape[dim]
        place = (torch.arange(images.shape[dim]).view(shape) + 0.5) / images.shape[dim]
        inside = inside & (place >= start) & (place < start + side)
    return torch.where(inside, _uniform(images, generator, 0, 1, 3, 1, 1), images)
