"""The generator: counts, sizes, the residual form's identity, bounds and gradients."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.models import ResnetGenerator, resnet_generator_9blocks
from ealn_plugin.models.generators import bounded_change

SMALL = dict(filters=4, blocks=1)


def images_of(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("options", [{}, dict(padding="zero"), dict(residual=True)])
def test_the_generator_has_11378179_parameters(options):
    with torch.device("meta"):
        model = resnet_generator_9blocks(**options)
    assert sum(p.numel() for p in model.parameters()) == 11_378_179
    assert not list(model.buffers())


def test_nine_blocks_work_on_a_quarter_of_the_size():
    with torch.device("meta"):
        model = ResnetGenerator()
        sizes = []
        for layer in model.body:
            layer.register_forward_hook(lambda made, _, y: sizes.append((type(made).__name__, *y.shape[1:])))
        assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)
    assert [size for size in sizes if size[0] == "ResidualBlock"] == [("ResidualBlock", 256, 16, 24)] * 9
    assert sizes[0] == ("Conv2d", 64, 64, 96) and sizes[-1][1:] == (64, 64, 96)


@pytest.mark.parametrize("options", [{}, dict(padding="zero"), dict(residual=True)])
@pytest.mark.parametrize("size", [(8, 8), (16, 28)])
def test_images_keep_their_size_and_range(size, options):
    output = ResnetGenerator(**SMALL, **options)(images_of(2, 3, *size))
    assert output.shape == (2, 3, *size)
    assert output.abs().max() <= 1.0


@pytest.mark.parametrize("size", [(30, 32), (32, 31), (4, 4), (0, 8)])
def test_sizes_it_cannot_halve_twice_get_a_sentence(size):
    with pytest.raises(ValueError, match=f"image size the generator cannot halve twice: {size[0]}x{size[1]}"):
        ResnetGenerator(**SMALL)(torch.zeros(1, 3, *size))


def test_weights_start_from_the_published_normal_distribution():
    torch.manual_seed(0)
    model = ResnetGenerator(filters=32, blocks=2)
    weights = torch.cat([p.flatten() for name, p in model.named_parameters() if name.endswith("weight")])
    assert weights.mean().abs() < 1e-3 and abs(weights.std() - 0.02) < 1e-3
    assert all(not p.any() for name, p in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("max_change", [0.1, 1.0, 2.0])
def test_a_residual_generator_starts_as_the_identity_exactly(max_change):
    model = ResnetGenerator(**SMALL, residual=True, max_change=max_change)
    extremes = torch.tensor([-1.0, 1.0, 0.0, -0.0, 1 / 3, 1e-30]).repeat(32).view(1, 3, 8, 8)
    for images in (extremes, images_of(2, 3, 16, 16)):
        assert torch.equal(model(images), images)


def test_the_identity_holds_in_mixed_precision():
    images = images_of(1, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same, made = ResnetGenerator(**SMALL, residual=True)(images), ResnetGenerator(**SMALL)(images)
    assert torch.equal(same, images) and made.dtype == torch.float32


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_black_and_white_pixels_move_a_residual_generator_from_the_start(value):
    model = ResnetGenerator(**SMALL, residual=True)
    images = images_of(1, 3, 8, 8) * 0.5
    images[0, :, 4, 4] = value
    model(images)[0, :, 4, 4].sum().backward()
    assert model.last.bias.grad.abs().min() > 0.4
    assert model.last.weight.grad.abs().max() > 0.0


def test_a_residual_generator_learns_to_darken_white_images():
    torch.manual_seed(0)
    model, white = ResnetGenerator(**SMALL, residual=True), torch.ones(1, 3, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(200):  # nothing of a constant image survives the normalization, so the last bias learns alone
        optimizer.zero_grad()
        (model(white) - 0.2).pow(2).mean().backward()
        optimizer.step()
    assert (model(white) - 0.2).abs().mean() < 0.1


@settings(max_examples=200, deadline=None)
@given(x=st.floats(-1, 1, width=32), step=st.floats(-1, 1, width=32), change=st.floats(0.015625, 2, width=32))
def test_changes_are_bounded(x, step, change):
    y = bounded_change(torch.tensor(x), torch.tensor(step), change).item()
    assert -1.0 <= y <= 1.0 and abs(y - x) <= change + 1e-6
    assert (y - x) * step >= -1e-6


def test_a_full_step_uses_up_the_room_and_keeps_a_gradient():
    images = torch.tensor([0.9, 0.9, 0.0, -0.5]).double()
    steps = torch.tensor([1.0, -1.0, 0.5, -1.0]).double().requires_grad_()
    changed = bounded_change(images, steps, 1.0)
    torch.testing.assert_close(changed, torch.tensor([1.0, -0.1, 0.5, -1.0]).double())
    (slopes,) = torch.autograd.grad(changed.sum(), steps)
    torch.testing.assert_close(slopes, torch.tensor([0.1, 1.0, 1.0, 0.5]).double())


@pytest.mark.parametrize("options", [{}, dict(residual=True)])
def test_gradients_reach_every_parameter_and_the_images(options):
    torch.manual_seed(0)
    model, images = ResnetGenerator(**SMALL, **options), images_of(2, 3, 8, 8).requires_grad_()
    torch.nn.init.normal_(model.last.weight, 0.0, 0.02)
    (model(images) * images_of(2, 3, 8, 8, seed=1)).sum().backward()
    assert images.grad.abs().sum() > 0
    weights = {name: p.grad for name, p in model.named_parameters() if name.endswith("weight")}
    assert all(grad.abs().sum() > 0 for grad in weights.values())


@pytest.mark.parametrize("options", [{}, dict(residual=True)])
def test_no_images_give_no_images_with_a_gradient(options):
    model = ResnetGenerator(**SMALL, **options)
    output = model(torch.zeros(0, 3, 8, 8))
    assert output.shape == (0, 3, 8, 8) and output.requires_grad
    output.sum().backward()
    assert not model.last.bias.grad.any()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(padding="wrap"), "padding 'wrap' is unknown"),
        (dict(max_change=0.0), "max_change 0.0 is outside"),
        (dict(max_change=2.5), "max_change 2.5 is outside"),
        (dict(filters=0), "0 filters"),
        (dict(in_channels=5, residual=True), "5 input channels cannot become 3"),
    ],
)
def test_options_out_of_range_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ResnetGenerator(**options)


def test_the_factory_takes_torchreids_arguments(caplog):
    with caplog.at_level(logging.WARNING):
        model = resnet_generator_9blocks(num_classes=3, loss="softmax", pretrained=True, use_gpu=False, **SMALL)
    assert isinstance(model, ResnetGenerator) and "no weights can be downloaded" in caplog.text
    assert len(list(resnet_generator_9blocks(filters=4).body.children())) == 9 + 15
