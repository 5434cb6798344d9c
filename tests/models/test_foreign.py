"""ealn_plugin/models/foreign.py: parts of other projects' networks against naive code."""

import pytest
import torch

from ealn_plugin.models.foreign import GeneralizedMean, NonLocal, patch_grid


def test_generalized_mean():
    maps = torch.rand(2, 3, 4, 5) + 0.1
    torch.testing.assert_close(GeneralizedMean(1.0)(maps), maps.mean((2, 3), keepdim=True))
    expected = torch.zeros(2, 3, 1, 1)
    for image in range(2):
        for channel in range(3):
            values = [float(value) ** 3.5 for value in maps[image, channel].flatten()]
            expected[image, channel] = (sum(values) / len(values)) ** (1 / 3.5)
    torch.testing.assert_close(GeneralizedMean(3.5)(maps), expected)


@pytest.mark.parametrize("inner", [1, 2])
def test_non_local_block_against_loops(inner):
    torch.manual_seed(0)
    block, x = NonLocal(4, inner).eval(), torch.randn(2, 4, 2, 3)
    with torch.no_grad():
        block.W[1].running_mean.normal_()
        theta, phi, g = (layer(x).flatten(2) for layer in (block.theta, block.phi, block.g))
        seen = torch.zeros(2, inner, 6)
        for image in range(2):
            for here in range(6):
                for there in range(6):
                    likeness = (theta[image, :, here] * phi[image, :, there]).sum() / 6
                    seen[image, :, here] += likeness * g[image, :, there]
        torch.testing.assert_close(block(x), x + block.W(seen.view(2, inner, 2, 3)))


def test_grids_of_transreids_configs():
    assert patch_grid((256, 256), (16, 16), 16) == (16, 16)
    assert patch_grid((256, 256), (16, 16), 12) == (21, 21)
    assert patch_grid((256, 128), (16, 16), 12) == (21, 10)
