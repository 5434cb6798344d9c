"""models/dcgan.py: images of any multiple of 16 pixels out of noise, and a logit for each image."""

import pytest
import torch

from ealn_plugin.models.dcgan import DCGANDiscriminator, DCGANGenerator, draw_noise


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (224, 224)])
def test_sizes(size):
    images = DCGANGenerator(size, noise=5, filters=2)(torch.rand(2, 5))
    assert images.shape == (2, 3, *size) and images.abs().max() <= 1
    assert DCGANDiscriminator(size, filters=2)(images).shape == (2,)


def test_the_published_widths():
    """Radford et al., Fig. 1: 64 x 64 pixels, 100 numbers, 1024 channels of 4 x 4; here with kernels of 4."""
    parts = dict(DCGANGenerator((64, 64), noise=100, filters=128).named_parameters())
    assert parts["project.weight"].shape == (1024 * 16, 100)
    assert [tuple(p.shape[:2]) for name, p in parts.items() if p.dim() == 4] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 3),
    ]


@pytest.mark.parametrize("size", [(40, 32), (8, 16)])
def test_other_sizes_are_refused(size):
    for network in (DCGANGenerator, DCGANDiscriminator):
        with pytest.raises(ValueError, match="multiples of 16"):
            network(size)


def test_noise_is_in_range_and_comes_out_again():
    drawn = [draw_noise(50, 4, torch.Generator().manual_seed(3), torch.zeros(1, dtype=torch.float64)) for _ in "ab"]
    assert torch.equal(*drawn) and drawn[0].dtype == torch.float64 and drawn[0].shape == (50, 4)
    assert -1 <= drawn[0].min() < -0.8 and 0.8 < drawn[0].max() <= 1
