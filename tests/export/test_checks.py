"""ealn_plugin/export/checks.py: what a file is compared on, and that nothing passes for equal that is not."""

import math

import torch

from ealn_plugin.export.checks import largest_difference, sample_inputs
from tests.helpers.networks import graphs


def test_images_differ_and_every_view_meets_every_place(tiny_run):
    cases = sample_inputs(graphs(tiny_run)["fused"], 3)
    assert [views.tolist() for _, views in cases] == [[0, 1, 2], [1, 2, -1], [2, -1, 0], [-1, 0, 1]]
    (images,) = sample_inputs(graphs(tiny_run)["embedding"], 3)[0]
    assert images.shape == (3, 3, 32, 32) and (images[0] - images[1]).abs().mean() > 0.1
    unit = tiny_run.pixels.to_generator(images)
    assert unit.min() >= -1 - 1e-5 and unit.max() <= 1 + 1e-5 and unit.std() > 0.3


def test_the_largest_difference():
    def plus(amount):
        return lambda x: x + torch.tensor([0.0, amount])

    inputs = (torch.zeros(3, 2),)
    assert largest_difference(plus(0), plus(0), inputs) == 0
    assert math.isclose(largest_difference(plus(0), plus(-0.25), inputs), 0.25)
    assert largest_difference(plus(0), plus(math.nan), inputs) == math.inf
    assert largest_difference(plus(0), lambda x: x[:1], inputs) == math.inf
