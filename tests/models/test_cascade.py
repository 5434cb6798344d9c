"""models/cascade.py: a feature behind each stage, all of them in the one that is tested."""

import pytest
import torch
from torch.nn.functional import normalize

from ealn_plugin.models import SmallResNet, probe_backbone
from ealn_plugin.models.cascade import CascadedNetwork


@pytest.mark.parametrize("levels", [1, 3])
def test_the_feature_is_that_of_all_levels_each_of_length_one(levels):
    torch.manual_seed(0)
    backbone, images = SmallResNet(5), torch.rand(4, 3, 32, 32)
    network = CascadedNetwork(backbone, 5, levels=levels, dim=6).eval()
    feature = network(images)
    assert feature.shape == (4, levels * 6) == (4, network.feature_dim)
    torch.testing.assert_close(feature.view(4, levels, 6).norm(dim=2), torch.ones(4, levels))
    maps = backbone.eval().features(images)
    torch.testing.assert_close(feature[:, -6:], normalize(network.heads[-1](maps.mean((2, 3))), dim=1))
    logits, trained, outputs = network.train()(images)
    assert logits.shape == (4, 5) and trained.shape == feature.shape
    torch.testing.assert_close(outputs["levels"].flatten(1), trained, rtol=0, atol=0)
    assert probe_backbone(network, 32, 32) == (5, levels * 6, ("levels",))


def test_a_deeper_level_teaches_the_shared_layers_and_a_shallow_one_no_deeper_ones():
    network = CascadedNetwork(SmallResNet(5), 5, dim=4)
    for level in range(3):
        network.zero_grad()
        network(torch.rand(4, 3, 32, 32))[2]["levels"][:, level].sum().backward()
        taught = [any(p.grad is not None and p.grad.any() for p in stage.parameters()) for stage in network.stages]
        assert taught == [depth <= level for depth in range(3)]
