"""models/stages.py: the stages of torchreid's networks, one after the other, compute what the networks compute."""

import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.models.modes import evaluating
from ealn_plugin.models.stages import last_stages, stages_of

NETWORKS = {"resnet18": 4, "osnet_x0_25": 4, "osnet_ain_x0_25": 4, "mobilenetv2_x1_0": 8}


def build(name):
    return toolkit.build_model(name, 5, use_gpu=False)


def through(stages, images):
    for stage in stages:
        images = stage(images)
    return images


@pytest.mark.parametrize("name", NETWORKS)
def test_all_stages_give_the_maps_that_the_network_averages(name):
    model, images = build(name), torch.rand(2, 3, 64, 64)
    with evaluating(model):
        stages = stages_of(model)
        torch.testing.assert_close(through(stages, images), model.featuremaps(images), rtol=0, atol=0)
    assert len(stages) == NETWORKS[name]


@pytest.mark.parametrize("name, count", [("resnet_small", 4), ("squeezenet1_1", 8), ("vgg_cnn_m_1024", 5)])
def test_one_sequence_is_cut_between_its_stages(name, count):
    options = {"width": 0.05} if name.startswith("vgg") else {}
    model, images = toolkit.build_model(name, 5, use_gpu=False, **options), torch.rand(1, 3, 64, 64)
    with evaluating(model):
        stages = stages_of(model)
        torch.testing.assert_close(through(stages, images), model.features(images), rtol=0, atol=0)
    assert len(stages) == count


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_last_stages_one_by_one(count):
    model, images = build("resnet_small"), torch.rand(2, 3, 32, 32)
    parts, channels = last_stages(model, count)
    with evaluating(model):
        torch.testing.assert_close(through(parts, images), model.features(images), rtol=0, atol=0)
    assert len(parts) == len(channels) == count and channels[-1] == 160 and channels == sorted(channels)
    assert set(map(id, parts.parameters())) == set(map(id, model.features.parameters()))


def test_what_has_no_known_stages_is_refused():
    with pytest.raises(ValueError, match="ShuffleNetV2 has no stages that are known here, expected one of torchreid's"):
        stages_of(build("shufflenet_v2_x1_0"))
    with pytest.raises(ValueError, match="Xception has no stages"):  # its numbered convolutions are not all of it
        last_stages(build("xception"), 2)
    with pytest.raises(ValueError, match="5 parts are asked of SmallResNet, expected 1 to 4"):
        last_stages(build("resnet_small"), 5)
