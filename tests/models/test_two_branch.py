"""models/two_branch.py: the branch of the models and that of identities, and the feature on both."""

import pytest
import torch

from ealn_plugin.models import SmallResNet, probe_backbone
from ealn_plugin.models.two_branch import MixedDifferenceNetwork


def test_the_feature_comes_from_both_branches_and_the_models_from_one():
    torch.manual_seed(0)
    network, images = MixedDifferenceNetwork(SmallResNet(5), 5, dim=6, hidden=7, models=9), torch.rand(4, 3, 32, 32)
    logits, features, outputs = network.train()(images)
    assert logits.shape == (4, 5) and features.shape == (4, 6) and outputs["models"].shape == (4, 9)
    assert probe_backbone(network, 32, 32) == (5, 6, ("models",))
    branches = network.model_branch, network.identity_branch
    for output, expected in ((features, [True, True]), (outputs["models"], [True, False])):
        network.zero_grad()
        output.sum().backward(retain_graph=True)
        taught = [any(p.grad is not None and p.grad.any() for p in branch.parameters()) for branch in branches]
        assert taught == expected
    assert network.eval()(images).shape == (4, 6)


def test_widths_are_checked():
    with pytest.raises(ValueError, match="hidden is 0, expected 1 or more"):
        MixedDifferenceNetwork(SmallResNet(5), 5, hidden=0)
