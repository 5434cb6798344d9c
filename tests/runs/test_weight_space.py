"""ealn_plugin/runs/weight_space.py: blends by hand, rounding, and what they leave alone."""

import pytest
import torch

from ealn_plugin.runs import build, weight_space
from ealn_plugin.system.randomness import own_randomness
from tests.helpers.networks import make_run
from tests.helpers.standins import TinyBackbone, use_tiny_backbone


@pytest.fixture
def run(monkeypatch):
    """A run whose 'ImageNet' network is what ``build_embedding_backbone`` makes with seed 0, and that network."""
    use_tiny_backbone(monkeypatch, "resnet50")  # the default of model.name
    torch.manual_seed(5)
    run = make_run((), TinyBackbone(3))
    for value in run.embedding.backbone.buffers():
        value.copy_(torch.rand(value.shape) if value.is_floating_point() else value + 4)
    with own_randomness(seed=0):
        return run, build.build_embedding_backbone(run.config, 1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_blend_is_the_weighted_mean_of_every_number(run, share):
    run, there = run
    own = {name: value.clone() for name, value in run.embedding.backbone.state_dict().items()}
    weight_space.blend_with_imagenet(run, share)
    for name, value in run.embedding.backbone.state_dict().items():
        expected = own[name]
        if value.is_floating_point() and not name.startswith("classifier"):
            expected = share * there.state_dict()[name] + (1 - share) * own[name]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range(run, share):
    with pytest.raises(ValueError, match=f"the share of the ImageNet weights is {share}, expected 0 to 1"):
        weight_space.blend_with_imagenet(run[0], share)


def test_rounding_leaves_statistics_and_is_done_once(run):
    model = run[0].embedding
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weight_space.round_to_half(model)
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name].half().to(value) if value.dim() > 1 else before[name])
    assert not torch.equal(model.state_dict()["backbone.conv.weight"], before["backbone.conv.weight"])
    model.state_dict()["backbone.conv.weight"][0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="backbone.conv.weight holds weights beyond 65,504"):
        weight_space.round_to_half(model)
