"""A mild degradation of everything that D_emb sees while training, real or generated.

What gives a generated image away is mostly fine: missing noise, checkerboards of transposed convolutions. Light blur,
noise and JPEG on both sides cover these traces. Sources: Zhao et al., Differentiable Augmentation for Data-Efficient
GAN Training, NeurIPS 2020 (the same random transformation of real and generated images, through which the generator
still learns); Wang et al., CNN-generated images are surprisingly easy to spot... for now, CVPR 2020 (blur and JPEG are
what a detector of generated images has to withstand).
"""

import torch
from torch import Tensor
from torch.nn import functional

BLUR = 1.0  # largest share of the 3x3 binomial blur (deviation 0.7 pixels)
NOISE = 0.04  # largest deviation of the noise, 2% of the range of pixels
COARSENESS = 0.5  # largest factor on JPEG's table; 0.5 is its quality 75

# Quantization of luminance in the JPEG standard (ITU-T T.81, annex K.1).
_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


class Degradation:
    """Blur, noise and JPEG-like rounding, each of its own random strength for every image.

    Works where the images are. The rounding passes gradients on as if it were not there, everything else is smooth.
    Values may leave [-1, 1] a little: cutting them off would stop the gradient of black and white pixels.

    Args:
        strength: share of the largest strengths that is drawn from, in (0, 1].
    Raises:
        ValueError: the strength is out of range.
    """

    def __init__(self, strength: float = 1.0) -> None:
        if not 0.0 < strength <= 1.0:
            raise ValueError(
                f"degrade is {strength}, expected a value above 0 and up to 1; leave it at 0 to switch "
                "the degradation off"
            )
        self.strength = strength

    def __call__(self, images: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Degrade images [n, 3, h, w] in [-1, 1].

        Args:
            random: torch.Generator on the CPU, from which everything is derived; None: torch's global state.
        Returns:
            Images of the same shape.
        """
        share = self.strength * torch.rand(3, len(images), generator=random, dtype=torch.float64)
        share = share.to(images).view(3, -1, 1, 1, 1)
        seed = int(torch.randint(2**62, (1,), generator=random))
        images = images + BLUR * share[0] * (blurred(images) - images)
        own = torch.Generator(device=images.device).manual_seed(seed)
        noise = torch.randn(images.shape, generator=own, device=images.device, dtype=images.dtype)
        return rounded(images + NOISE * share[1] * noise, COARSENESS * share[2])


def blurred(images: Tensor) -> Tensor:
    """3x3 binomial blur of images [n, 3, h, w]; at the border over the pixels that are there."""
    row = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    there = functional.conv2d(torch.ones_like(images[:1]), kernel, padding=1, groups=3)
    return functional.conv2d(images, kernel, padding=1, groups=3) / there


def rounded(images: Tensor, coarseness: Tensor) -> Tensor:
    """JPEG's rounding of 8x8 blocks of cosine coefficients, applied to each colour channel.

    Args:
        images: [n, 3, h, w] in [-1, 1]; any size, incomplete blocks are filled with zeros.
        coarseness: [n, 1, 1, 1] factor on the table of the standard; steps are never below one grey level.
    Returns:
        Images of the same shape; the slope with respect to ``images`` is 1.
    """
    count, channels, height, width = images.shape
    with torch.no_grad():
        padded = functional.pad(127.5 * images, (0, -width % 8, 0, -height % 8))
        blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # [n, 3, rows, 8, columns, 8]
        cosines = _cosines().to(images)
        coefficients = torch.einsum("ui,ncribj,vj->ncrubv", cosines, blocks, cosines)
        steps = (coarseness.view(-1, 1, 1) * torch.tensor(_TABLE, device=images.device)).clamp(min=1.0)
        steps = steps.to(images)[:, None, None, :, None, :]
        coefficients = (coefficients / steps).round() * steps
        blocks = torch.einsum("ui,ncrubv,vj->ncribj", cosines, coefficients, cosines)
        result = blocks.flatten(4, 5).flatten(2, 3)[:, :, :height, :width] / 127.5
        change = result - images
    return images + change


def _cosines() -> Tensor:
    """[8, 8] orthonormal cosine transform: row u holds frequency u."""
    position = torch.arange(8, dtype=torch.float64)
    rows = torch.cos(torch.pi / 8 * (position + 0.5) * position[:, None]) * 0.5
    rows[0] /= 2**0.5
    return rows
