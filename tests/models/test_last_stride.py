"""ealn_plugin/models/last_stride.py: twice as many rows and columns in the last maps, with the same weights."""

import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.models.last_stride import remove_last_stride
from ealn_plugin.visualization.responses import last_response


@pytest.mark.parametrize("name", ["resnet18", "resnet_small", "mobilenetv2_x1_0", "timm:tf_efficientnet_lite0"])
def test_the_last_maps_are_twice_as_large_and_every_layer_stays(name):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    model, images = toolkit.build_model(name, 4, use_gpu=False).eval(), torch.randn(2, 3, 64, 64)
    before, layers = last_response(model, images), {key: tuple(v.shape) for key, v in model.state_dict().items()}
    remove_last_stride(model, 64, 64)
    after = last_response(model, images)
    assert after.shape[1:] == (2 * before.shape[1], 2 * before.shape[2])
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == layers


def test_it_is_what_torchreid_builds_with_its_own_option():
    torch.manual_seed(0)
    ours = toolkit.build_model("resnet50", 4, use_gpu=False).eval()
    remove_last_stride(ours, 64, 64)
    theirs = toolkit.build_model("resnet50_fc512", 4, use_gpu=False).eval()  # has last_stride 1
    theirs.fc = None
    theirs.load_state_dict({**theirs.state_dict(), **{k: v for k, v in ours.state_dict().items() if "class" not in k}})
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(
    "name, what", [("osnet_x0_25", "AvgPool2d"), ("timm:convnext_atto", r"Conv2d of kernel \(2, 2\)")]
)
def test_what_cannot_lose_it_is_refused_and_unchanged(name, what):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    model, images = toolkit.build_model(name, 4, use_gpu=False).eval(), torch.randn(1, 3, 64, 64)
    before = model(images)
    with pytest.raises(ValueError, match=f"ealn.last_stride is 1, but a {what}.*set ealn.last_stride 2"):
        remove_last_stride(model, 64, 64)
    torch.testing.assert_close(model(images), before)
    with pytest.raises(ValueError, match="no layer of Flatten halves its maps"):
        remove_last_stride(torch.nn.Flatten(), 16, 16)
