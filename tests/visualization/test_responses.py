"""ealn_plugin/visualization/responses.py: the last feature map of any backbone."""

import pytest
import torch
from torch import nn

from ealn_plugin import toolkit
from ealn_plugin.models import NeckedBackbone
from ealn_plugin.visualization.responses import last_response, overlay
from tests.helpers.standins import TinyBackbone


def test_the_last_feature_map_and_no_hook_stays():
    torch.manual_seed(0)
    network, images = TinyBackbone(4).eval(), torch.randn(2, 3, 32, 32)
    found = last_response(network, images)
    with torch.no_grad():
        expected = network.norm(network.conv(images)).pow(2).sum(dim=1).sqrt()
    torch.testing.assert_close(found, expected)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name, size", [("osnet_x0_25", 4), ("resnet18", 2)])
def test_torchreids_backbones(name, size):
    network = toolkit.build_model(name, 4, loss="triplet", pretrained=False, use_gpu=False).eval()
    found = last_response(network, torch.randn(2, 3, 64, 64))
    assert found.shape == (2, size, size) and (found >= 0).all() and found.std() > 0


def test_a_transformer_tells_its_maps_itself_also_below_a_neck():
    pytest.importorskip("timm")
    network = toolkit.build_model("timm:vit_tiny_patch16_224", 4, use_gpu=False, height=32, width=48).eval()
    images = torch.randn(2, 3, 32, 48)
    expected = network.feature_maps(images).pow(2).sum(dim=1).sqrt()
    torch.testing.assert_close(last_response(network, images), expected)
    torch.testing.assert_close(last_response(NeckedBackbone(network, 192, 4).eval(), images), expected)
    assert expected.shape == (2, 2, 3)


def test_a_network_without_feature_maps():
    with pytest.raises(ValueError, match="Sequential has no layer that makes feature maps"):
        last_response(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.zeros(1, 3, 4, 4))


def test_the_strongest_response_is_the_brightest_place():
    response = torch.zeros(4, 4)
    response[1, 2] = 3.0
    picture = overlay(torch.zeros(3, 16, 16), response, 3.0)
    assert picture.shape == (16, 16, 3) and picture.min() >= 0 and picture.max() <= 1
    brightness = picture.sum(axis=2)
    y, x = divmod(int(brightness.argmax()), 16)
    assert 4 <= y < 8 and 8 <= x < 12
