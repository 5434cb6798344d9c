"""PatchGAN: counts, logits, receptive field, small images."""

import logging

import pytest
import torch

from ealn_plugin.models import PatchGAN, patchgan_70


def test_the_discriminator_has_2764737_parameters_and_26x26_logits():
    with torch.device("meta"):
        model = patchgan_70()
        assert model(torch.zeros(2, 3, 224, 224)).shape == (2, 1, 26, 26)
    assert sum(p.numel() for p in model.parameters()) == 2_764_737
    assert model.logits_size(224, 224) == (26, 26)


def test_the_published_layer_list():
    with torch.device("meta"):
        convolutions = [m for m in PatchGAN().modules() if isinstance(m, torch.nn.Conv2d)]
        norms = [m for m in PatchGAN().modules() if isinstance(m, torch.nn.InstanceNorm2d)]
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 512, 1]
    assert [m.stride[0] for m in convolutions] == [2, 2, 2, 1, 1]
    assert all(m.kernel_size == (4, 4) and m.bias is not None for m in convolutions)
    assert [m.num_features for m in norms] == [128, 256, 512] and not any(m.affine for m in norms)


@pytest.mark.parametrize("layers, field", [(1, 16), (2, 34), (3, 70)])
def test_each_logit_sees_a_patch_of_the_stated_size(layers, field):
    """Without normalization, which looks at the whole image, the gradient covers the receptive field."""
    torch.manual_seed(0)
    model, size = PatchGAN(filters=3, layers=layers, norm="none").double(), 160
    images = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    logits = model(images)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    rows, columns = images.grad[0].abs().sum(0).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == field
    assert columns.max() - columns.min() + 1 == field


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_stated_logits_size_is_the_real_one(layers):
    model = PatchGAN(filters=1, layers=layers)
    for height in range(3 * 2**layers, 3 * 2**layers + 12):
        rows, columns = model.logits_size(height, height + 5)
        assert model(torch.rand(1, 3, height, height + 5)).shape == (1, 1, rows, columns)


@pytest.mark.parametrize("layers, logits", [(3, 6), (2, 14)])
def test_it_judges_64_pixel_images(layers, logits):
    assert PatchGAN(filters=2, layers=layers)(torch.rand(2, 3, 64, 64)).shape == (2, 1, logits, logits)


@pytest.mark.parametrize("size", [(16, 64), (23, 24)])
def test_images_without_a_logit_get_a_sentence(size):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels leave no logits.*at least 24x24"):
        PatchGAN(filters=2)(torch.rand(1, 3, *size))


def test_logits_are_unbounded_and_gradients_reach_everything():
    torch.manual_seed(0)
    model, images = PatchGAN(filters=4, layers=2), torch.rand(2, 3, 32, 32, requires_grad=True)
    torch.nn.init.constant_(model.body[-1].bias, 5.0)
    logits = model(images)
    assert (logits > 1).all()
    logits.pow(2).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for name, p in model.named_parameters() if name.endswith("weight"))


def test_images_are_judged_apart_from_each_other():
    model, images = PatchGAN(filters=2, layers=2), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_no_images_give_no_logits_with_a_gradient():
    logits = PatchGAN(filters=2)(torch.zeros(0, 3, 32, 32))
    assert logits.shape == (0, 1, 2, 2) and logits.requires_grad


@pytest.mark.parametrize(
    "options, sentence", [(dict(norm="batch"), "norm 'batch' is unknown"), (dict(layers=0), "0 layers")]
)
def test_options_out_of_range_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        PatchGAN(**options)


def test_the_factory_takes_torchreids_arguments(caplog):
    with caplog.at_level(logging.WARNING):
        model = patchgan_70(num_classes=3, loss="softmax", pretrained=True, use_gpu=False, filters=2)
    assert isinstance(model, PatchGAN) and "no weights can be downloaded" in caplog.text
