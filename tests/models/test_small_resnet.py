"""ealn_plugin/models/small_resnet.py: torchreid's contract, and half a million parameters."""

import pytest
import torch

import ealn_plugin  # noqa: F401  registers the network
from ealn_plugin import toolkit
from ealn_plugin.models.embedding import check_backbone
from ealn_plugin.models.small_resnet import SmallResNet, resnet_small


def test_it_keeps_torchreids_contract():
    model = toolkit.build_model("resnet_small", 300, loss="triplet", pretrained=False, use_gpu=False)
    assert check_backbone(model, 48, 48) == 128
    assert 0.5e6 < sum(parameter.numel() for parameter in model.parameters()) < 0.6e6
    assert resnet_small(7, loss="softmax", width=4).train()(torch.rand(2, 3, 32, 20)).shape == (2, 7)


def test_the_feature_is_the_same_in_both_modes_but_for_the_statistics():
    model, images = SmallResNet(5, width=4, dim=6), torch.rand(4, 3, 32, 32)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    logits, features = model(images)
    assert logits.shape == (4, 5)
    torch.testing.assert_close(model.eval()(images), features)


def test_refusals(caplog):
    resnet_small(pretrained=True)
    assert "no weights of resnet_small" in caplog.text
    for options, message in ((dict(width=0), "width 0"), (dict(loss="arc"), "loss 'arc'")):
        with pytest.raises(ValueError, match=message):
            SmallResNet(5, **options)
    with pytest.raises(ValueError, match="8x40 pixels are too small"):
        SmallResNet(5)(torch.rand(1, 3, 8, 40))
