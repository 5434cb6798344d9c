"""ealn_plugin/models/editing_generator.py: nothing but the regions changes, and nothing inside them is seen."""

import math

import pytest
import torch
from torch import nn

from ealn_plugin.models.editing_generator import EditingGenerator, draw_regions, seams


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def example():
    torch.manual_seed(0)
    images = torch.rand(5, 3, 24, 20, generator=seeded()) * 2 - 1
    return EditingGenerator(4), images, draw_regions(5, 24, 20, radii=(0.1, 0.3), generator=seeded())


def test_pixels_outside_the_regions_are_the_same_bit_for_bit(example):
    network, images, regions = example
    edited = network(images, regions)
    outside = ~regions.expand_as(images)
    assert torch.equal(edited[outside], images[outside])
    assert (edited[~outside] != images[~outside]).float().mean() > 0.99 and edited.abs().max() <= 1


def test_what_lies_inside_the_regions_is_not_seen(example):
    network, images, regions = example
    other = torch.where(regions, torch.rand_like(images), images)
    assert torch.equal(
        network(images, regions)[regions.expand_as(images)], network(other, regions)[regions.expand_as(images)]
    )


def test_regions_may_be_numbers(example):
    network, images, regions = example
    assert torch.equal(network(images, regions.float()), network(images, regions))


def test_gradients_reach_every_parameter_from_the_regions_alone(example):
    network, images, regions = example
    edited = network(images, regions)
    (edited * ~regions).sum().backward()
    assert all(not parameter.grad.any() for parameter in network.parameters())
    network(images, regions).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in network.named_parameters() if "bias" not in name)


def test_no_transposed_convolutions():
    assert not [layer for layer in EditingGenerator(2).modules() if isinstance(layer, nn.ConvTranspose2d)]


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (48, 48)])
def test_any_size_from_16_pixels(size):
    images = torch.rand(1, 3, *size)
    assert EditingGenerator(2)(images, torch.ones(1, 1, *size)).shape == images.shape


def test_no_images_leave_a_gradient():
    network = EditingGenerator(2)
    network(torch.empty(0, 3, 16, 16), torch.empty(0, 1, 16, 16)).sum().backward()
    assert network.last.bias.grad is not None


def test_what_cannot_be_built_or_edited():
    with pytest.raises(ValueError, match="with 0 filters"):
        EditingGenerator(0)
    with pytest.raises(ValueError, match="12x40 pixels are too small.*raise data.height"):
        EditingGenerator(2)(torch.rand(1, 3, 12, 40), torch.ones(1, 1, 12, 40))


# ---------------------------------------------------------------------------------------------- regions
def test_one_ellipse_against_its_formula():
    drawn = torch.rand(3, 1, 4, generator=seeded(5), dtype=torch.float64)
    regions = draw_regions(3, 30, 40, number=(1, 1), radii=(0.05, 0.2), generator=seeded(5))
    for row in range(3):
        y, x, a, b = drawn[row, 0].tolist()
        y, x = math.floor((0.125 + 0.75 * y) * 30), math.floor((0.125 + 0.75 * x) * 40)
        a, b = (0.05 + 0.15 * a) * 30, (0.05 + 0.15 * b) * 40
        for i in range(30):
            for j in range(40):
                assert bool(regions[row, 0, i, j]) == (((i - y) / a) ** 2 + ((j - x) / b) ** 2 < 1)


def test_number_of_regions_lies_between_its_bounds():
    areas = draw_regions(400, 64, 64, number=(1, 3), radii=(1e-4, 1e-4), generator=seeded()).sum((1, 2, 3))
    assert {1, 2, 3} == set(areas.tolist())  # single pixels; two of them seldom coincide
    assert all(100 < (areas == number).sum() < 170 for number in (1, 2, 3))


def test_regions_repeat_with_their_seed_and_scale_with_the_image():
    first, again, other = (draw_regions(4, 32, 32, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    small, large = (draw_regions(50, size, size, generator=seeded()).float().mean() for size in (32, 128))
    assert abs(small - large) < 0.1 * large
    assert draw_regions(0, 8, 8).shape == (0, 1, 8, 8)


def test_seams_against_a_naive_loop():
    regions = draw_regions(2, 20, 20, radii=(0.1, 0.3), generator=seeded(3))
    border = seams(regions, 2)
    for row in range(2):
        for i in range(20):
            for j in range(20):
                near = regions[row, 0, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
                assert bool(border[row, 0, i, j]) == bool(near.any() and not near.all())
