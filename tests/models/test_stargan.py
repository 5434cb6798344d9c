"""StarGAN's networks: counts, the label's way through them, sizes, refusals."""

import pytest
import torch
from torch import nn

from ealn_plugin.models import ResnetGenerator, StarGANDiscriminator, StarGANGenerator


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_generator_is_the_papers_with_label_planes():
    with torch.device("meta"):
        assert count(StarGANGenerator(blocks=9)) == count(ResnetGenerator()) + 2 * 64 * 7 * 7


@pytest.mark.parametrize("residual", [False, True])
def test_the_wanted_domain_changes_the_picture(residual):
    torch.manual_seed(0)
    model, images = StarGANGenerator(filters=4, blocks=1, residual=residual), torch.rand(2, 3, 16, 12) * 2 - 1
    if residual:
        assert torch.equal(model(images, torch.tensor([0, 1])), images)
        nn.init.normal_(model.last.weight, 0.0, 0.1)
    front, rear = (model(images, torch.full((2,), label)) for label in (0, 1))
    assert front.shape == images.shape and front.abs().max() <= 1
    assert (front - rear).abs().mean() > 1e-3
    mixed = model(images, torch.tensor([0, 1]))
    torch.testing.assert_close(mixed, torch.stack([front[0], rear[1]]))


def test_reflection_would_hide_the_label():
    """Why the padding is no option: the same network with reflection is blind to the planes."""
    torch.manual_seed(0)
    blind = ResnetGenerator(in_channels=5, filters=4, blocks=1, padding="reflect")
    images = torch.rand(1, 3, 16, 16)
    labels = [torch.eye(2)[label].view(1, 2, 1, 1).expand(-1, -1, 16, 16) for label in (0, 1)]
    front, rear = (blind(torch.cat([images, planes], dim=1)) for planes in labels)
    torch.testing.assert_close(front, rear, rtol=1e-4, atol=1e-5)
    assert all(
        layer.padding_mode == "zeros" for layer in StarGANGenerator(filters=4).modules() if isinstance(layer, nn.Conv2d)
    )


def test_no_images():
    model = StarGANGenerator(filters=4, blocks=0)
    made = model(torch.zeros(0, 3, 8, 8), torch.zeros(0, dtype=torch.long))
    made.sum().backward()
    assert made.shape == (0, 3, 8, 8) and model.last.bias.grad is not None


def test_the_discriminator_is_the_sources():
    """44,762,048 parameters is what StarGAN's release has for 128 pixels and its five domains."""
    with torch.device("meta"):
        assert count(StarGANDiscriminator((128, 128), domains=5)) == 44_762_048
        assert count(StarGANDiscriminator((128, 128))) == 44_737_472
    body = StarGANDiscriminator((16, 16), filters=2).body
    assert {type(layer) for layer in body} == {nn.Conv2d, nn.LeakyReLU} and body[1].negative_slope == 0.01


@pytest.mark.parametrize(
    "size, layers, last",
    [
        ((224, 224), 6, (3, 3)),
        ((128, 128), 6, (2, 2)),
        ((64, 64), 5, (2, 2)),
        ((48, 48), 4, (3, 3)),
        ((32, 64), 4, (2, 4)),
        ((16, 16), 3, (2, 2)),
    ],
)
def test_layers_follow_the_image_size(size, layers, last):
    model = StarGANDiscriminator(size, filters=1)
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.body) == layers
    scores, logits = model(torch.zeros(2, 3, *size))
    assert scores.shape == (2, 1, *last) and logits.shape == (2, 2)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: StarGANGenerator(domains=1), "1 domains are nothing to translate"),
        (lambda: StarGANDiscriminator(domains=1), "1 domains are nothing to translate"),
        (lambda: StarGANDiscriminator((16, 16), layers=5), "5 halvings of images of 16x16 pixels cannot be built"),
        (lambda: StarGANDiscriminator(filters=0), "0 filters"),
        (
            lambda: StarGANGenerator(filters=2)(torch.zeros(1, 3, 30, 32), torch.tensor([0])),
            "cannot halve twice: 30x32",
        ),
        (lambda: StarGANDiscriminator((16, 16), filters=1)(torch.zeros(1, 3, 16, 20)), "16x20 pixels reached"),
    ],
)
def test_refusals(build, message):
    with pytest.raises(ValueError, match=message):
        build()
