"""ealn_plugin/losses/reduction.py: means over the valid entries."""

import math

import pytest
import torch

from ealn_plugin.losses import hinges
from ealn_plugin.losses.reduction import masked_mean


def test_invalid_entries_do_not_reach_the_gradient_even_if_infinite():
    fake = torch.tensor([0.1, math.inf], requires_grad=True)
    value = hinges.view_generator_loss(fake, torch.tensor([1.0, 0.0]), 1.0, torch.tensor([True, False]))
    assert value.item() == pytest.approx(0.1)
    assert torch.equal(torch.autograd.grad(value, fake)[0], torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize(
    "values, valid, mean",
    [([], None, 0.0), ([1, 3], None, 2.0), ([1, 3, 8], [True, False, True], 4.5), ([1, 3], [False, False], 0.0)],
)
def test_the_mean_is_over_the_valid_entries(values, valid, mean):
    values = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    result = masked_mean(values, None if valid is None else torch.tensor(valid))
    assert result.item() == mean
    (gradient,) = torch.autograd.grad(result, values)
    kept = [True] * len(values) if valid is None else valid
    assert gradient.tolist() == [flag / max(sum(kept), 1) for flag in kept]
