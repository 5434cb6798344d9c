"""ealn_plugin/models/timm_backbone.py: timm's models by the contract of torchreid's factory."""

import pytest
import torch

import ealn_plugin  # noqa: F401 - registers the names
from ealn_plugin import toolkit
from ealn_plugin.models import timm_backbone
from ealn_plugin.models.timm_backbone import BODY, TimmBackbone, build_timm, timm_input

timm = pytest.importorskip("timm", reason='pip install -c constraints.txt -e ".[timm]"')
CONVNEXT, VIT, DINO = "timm:convnext_atto", "timm:vit_tiny_patch16_224", "timm:vit_small_patch14_reg4_dinov2"


def test_torchreids_factory_takes_the_names_and_the_contract_holds():
    build = toolkit.torchreid.models.build_model
    model, images = build(CONVNEXT, 5, loss="triplet", pretrained=False), torch.randn(2, 3, 32, 32)
    logits, features = model.train()(images)
    assert logits.shape == (2, 5) and features.shape == (2, model.feature_dim) == (2, 320)
    assert model.eval()(images).shape == (2, 320)
    assert build(CONVNEXT, 5, pretrained=False).train()(images).shape == (2, 5)  # softmax
    with pytest.raises(KeyError, match="Unknown model: resnet5"):
        build("resnet5", 5)
    assert build("osnet_x0_25", 5, pretrained=False).classifier.out_features == 5


def test_the_feature_is_that_of_timm():
    model, plain = build_timm(CONVNEXT, 3, pretrained=False).eval(), timm.create_model("convnext_atto", num_classes=0)
    plain.load_state_dict(
        {name.removeprefix(BODY): value for name, value in model.state_dict().items() if BODY in name}
    )
    images = torch.randn(2, 3, 48, 32)
    torch.testing.assert_close(model(images), plain.eval()(images))


@pytest.mark.parametrize(
    "name, expected",
    [
        (CONVNEXT, (224, 224, 0.485, 0.229, 1)),
        (VIT, (224, 224, 0.5, 0.5, 16)),
        (DINO, (518, 518, 0.485, 0.229, 14)),
        ("timm:tf_efficientnet_lite0", (224, 224, 0.5, 0.5, 1)),
    ],
)
def test_what_images_a_model_was_made_for(name, expected):
    state = torch.random.get_rng_state()
    found = timm_input(name)
    assert (found["height"], found["width"], found["mean"][0], found["std"][0], found["multiple"]) == expected
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_transformer_is_built_for_the_size_and_its_maps_are_its_patches():
    torch.manual_seed(0)
    model, images = build_timm(VIT, 3, pretrained=False, height=32, width=48).eval(), torch.randn(2, 3, 32, 48)
    maps = model(images, return_featuremaps=True)
    tokens = model.body.forward_features(images)
    assert maps.shape == (2, 192, 2, 3) and model(images).shape == (2, 192)
    for place in range(6):  # behind the class token, row by row
        torch.testing.assert_close(maps[:, :, place // 3, place % 3], tokens[:, 1 + place])
    swin = build_timm("timm:swin_tiny_patch4_window7_224", 3, pretrained=False, height=32, width=32).eval()
    assert swin.feature_maps(images[..., :32]).shape == (2, 768, 1, 1)  # its channels come last


def test_sentences(monkeypatch):
    for name, match in (
        ("timm:vit_tini_patch16_224", r"one of timm's \d+ models.*did you mean timm:vit_tiny_patch16_224\?"),
        ("timm:vit_tiny_patch16_224.mine", "no weights 'mine' of vit_tiny_patch16_224; use one of augreg"),
    ):
        with pytest.raises(ValueError, match=match):
            toolkit.check_model_name(name)
    with pytest.raises(ValueError, match="data.width is 40, expected a multiple of the 16 pixels.*use 32 or 48"):
        build_timm(VIT, 3, pretrained=False, height=32, width=40)
    with pytest.raises(ValueError, match="loss 'arcface' is unknown to timm:convnext_atto"):
        build_timm(CONVNEXT, 3, loss="arcface", pretrained=False)
    mixer = build_timm("timm:mixer_s32_224", 3, pretrained=False, height=64, width=64)
    with pytest.raises(ValueError, match=r"no last map with a height and a width, only \[1, 4, 512\]"):
        mixer.feature_maps(torch.zeros(1, 3, 64, 64))

    def unreachable(*_, **__):
        raise OSError("An error happened while trying to locate the file on the Hub. Please check your connection")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        ValueError, match=r"could not get the weights of timm:convnext_atto \(OSError: An error.*model.pr"
    ):
        toolkit.build_model(CONVNEXT, 3, pretrained=True)
    monkeypatch.setattr(timm_backbone, "PACKAGES", ("no_such_package",))
    with pytest.raises(
        RuntimeError, match=r"no_such_package is not installed, but models called timm:NAME need it; .*timm\]"
    ):
        toolkit.check_model_name(CONVNEXT)


def test_an_own_size_that_a_model_does_not_take(monkeypatch):
    def fixed(name, img_size=None, **_):
        if img_size is not None:
            raise TypeError("unexpected keyword argument 'img_size'")
        return torch.nn.Identity()

    monkeypatch.setattr(timm, "create_model", fixed)
    with pytest.raises(ValueError, match="takes no images of 32 x 32 pixels .*; set data.height 224 data.width 224"):
        build_timm(VIT, 3, pretrained=False, height=32, width=32)


def test_random_numbers_begin_the_same_network():
    first, second = (seeded(CONVNEXT) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.values(), second.values()))


def seeded(name):
    torch.manual_seed(3)
    model = build_timm(name, 4, pretrained=False)
    assert isinstance(model, TimmBackbone)
    return model.state_dict()
