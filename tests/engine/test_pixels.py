"""ealn_plugin/engine/pixels.py: known pixels, exact round trips, bad statistics."""

import pytest
import torch
from PIL import Image

from ealn_plugin import toolkit
from ealn_plugin.engine.pixels import PixelRange
from tests.helpers.standins import build_datamanager

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


@pytest.mark.parametrize("mean, std", [IMAGENET, HALF])
def test_known_pixels(mean, std):
    """Every one of the 256 values of a pixel, both ways, against the definition in double precision."""
    stored = torch.arange(256, dtype=torch.float64).div(255).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean64, std64 = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (mean, std))
    normalized, generated = (stored - mean64) / std64, 2 * stored - 1
    pixels = PixelRange(mean, std)
    assert (pixels.to_embedding(generated.float()).double() - normalized).abs().max() < 4e-7
    assert (pixels.to_generator(normalized.float()).double() - generated).abs().max() < 4e-7
    back = pixels.to_generator(pixels.to_embedding(generated.float())).add(1).mul(127.5).round()
    assert torch.equal(back.double(), stored * 255)


def test_half_and_half_is_the_identity():
    images = torch.rand(2, 3, 4, 4) * 2 - 1
    pixels = PixelRange(*HALF)
    assert torch.equal(pixels.to_generator(images), images) and torch.equal(pixels.to_embedding(images), images)


@pytest.mark.parametrize("mean, std", [IMAGENET, HALF, ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7])])
def test_a_files_pixels_reach_the_generator(tmp_path, veri_root, mean, std):
    """From a real file through the data manager's own transform."""
    manager = build_datamanager(veri_root, norm_mean=mean, norm_std=std)
    stored = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8)
    Image.fromarray(stored.numpy()).save(tmp_path / "image.png")
    normalized = manager.transform_te(toolkit.read_image(str(tmp_path / "image.png")))[None]
    read = toolkit.normalization_of(manager)
    assert read == (mean, std)
    pixels = PixelRange(*read)
    expected = stored.permute(2, 0, 1).double() / 127.5 - 1
    assert (pixels.to_generator(normalized)[0].double() - expected).abs().max() < 1e-6
    assert (pixels.to_embedding(expected[None].float()) - normalized).abs().max() < 1e-5


@pytest.mark.parametrize("mean, std", [([0.5], [0.5]), (HALF[0], [0.5, 0.0, 0.5])])
def test_impossible_statistics(mean, std):
    with pytest.raises(ValueError, match="norm_mean is .* three numbers"):
        PixelRange(mean, std)
