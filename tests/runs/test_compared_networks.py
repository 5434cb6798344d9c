"""ealn_plugin/runs/compared_networks.py: names with a prefix, built by torchreid, refused where they make no sense."""

import pytest

from ealn_plugin import config, toolkit
from ealn_plugin.models.cascade import CascadedNetwork
from ealn_plugin.models.two_branch import MixedDifferenceNetwork
from ealn_plugin.runs import build
from ealn_plugin.runs.compared_networks import network_options, register_families, split_name


def test_torchreid_builds_them_around_its_own():
    register_families()  # a second time changes nothing
    network = toolkit.torchreid.models.build_model("hdc:resnet_small", 5, loss="triplet", pretrained=False)
    assert isinstance(network, CascadedNetwork) and network.classifier.out_features == 5
    network = toolkit.build_model("mixed:osnet_x0_25", 5, use_gpu=False)
    assert isinstance(network, MixedDifferenceNetwork)
    assert split_name("hdc:resnet50") == ("hdc:", "resnet50") and split_name("resnet50") == ("", "resnet50")


def test_a_cascade_has_as_many_levels_as_shares():
    options = ["model.name", "hdc:resnet_small", "model.pretrained", False, "ealn.hdc.shares", [1.0, 0.5]]
    settings = config.load_config(options=options)
    assert len(build.build_embedding_backbone(settings, 5).heads) == 2
    assert network_options(config.load_config()) == {}


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("hdc:resnet_smal", {}, "did you mean resnet_small"),
        ("hdc:shufflenet", {}, "ShuffleNet has no stages"),
        ("hdc:resnet_small", {"loss": "softmax"}, "build it with loss='triplet'"),
    ],
)
def test_what_cannot_be_built(name, options, message):
    with pytest.raises(ValueError, match=message):
        toolkit.build_model(name, 5, use_gpu=False, **options)
