"""ealn_plugin/models/normalization.py: instance normalization by another kernel."""

import pytest
import torch
from torch import nn

from ealn_plugin.models.normalization import InstanceNorm


def test_values_and_gradients_are_those_of_torch():
    x = (torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(0)) * 4 + 2).requires_grad_()
    weight = torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(1))
    found = []
    for layer in (InstanceNorm(5), nn.InstanceNorm2d(5)):
        y = layer(x)
        found.append((y, *torch.autograd.grad((y * weight).sum(), x)))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    by_hand = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(found[0][0], by_hand, rtol=1e-5, atol=1e-5)


def test_mixed_precision_keeps_the_type_and_computes_in_float32():
    x = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 100).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = InstanceNorm(3)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), nn.InstanceNorm2d(3)(x.float()), rtol=0.01, atol=0.01)


def test_there_is_nothing_to_save_and_one_value_is_refused():
    layer = InstanceNorm(3)
    assert not layer.state_dict() and isinstance(layer, nn.InstanceNorm2d)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        layer(torch.ones(2, 3, 1, 1))
