"""The generator with a second head: what both heads share, and what a residual one does not touch."""

import pytest
import torch

from ealn_plugin.models import ReconstructingGenerator, ResnetGenerator

SMALL = dict(filters=4, blocks=1)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_both_come_from_one_pass(residual, padding):
    torch.manual_seed(0)
    model, images = ReconstructingGenerator(**SMALL, residual=residual, padding=padding), torch.rand(2, 3, 16, 12)
    generated, reconstructed = model.both(images)
    torch.testing.assert_close(generated, model(images))
    expected = torch.tanh(model.reconstruction(model.body(images)))
    torch.testing.assert_close(reconstructed, expected)
    assert torch.equal(generated, images) is residual
    assert (reconstructed - images).abs().mean() > 0.1, "a reconstruction is learned, not copied"


def test_it_is_the_papers_generator_with_one_more_convolution():
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in kind().parameters()) for kind in (ResnetGenerator, ReconstructingGenerator)]
    assert sizes == [11_378_179, 11_378_179 + 64 * 3 * 49 + 3]


def test_reconstructions_train_the_shared_layers():
    torch.manual_seed(0)
    model, images = ReconstructingGenerator(**SMALL), torch.rand(1, 3, 16, 16)
    model.both(images)[1].sum().backward()
    assert model.last.weight.grad is None and model.body[0].weight.grad.abs().sum() > 0
    for number, made in enumerate(model.both(torch.zeros(0, 3, 8, 8))):
        assert made.shape == (0, 3, 8, 8), number


def test_sizes_are_refused():
    with pytest.raises(ValueError, match="cannot halve twice: 10x12"):
        ReconstructingGenerator(**SMALL).both(torch.zeros(1, 3, 10, 12))
