"""view_augmentation.py: ranges, determinism, and that every change happens."""

import pytest
import torch

from ealn_plugin.labelling import augmentation
from ealn_plugin.labelling.augmentation import augment


def _images(n=64, height=20, width=24):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(5))


def test_shape_range_determinism_and_the_input_untouched():
    images = _images()
    before = images.clone()
    first, second, other = (augment(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.shape == images.shape and 0 <= first.min() and first.max() <= 1


def test_degraded_is_the_share_that_is_more_than_moved():
    images = _images(400, 8, 8)
    moved = augment(images, torch.Generator().manual_seed(3), degraded=0.0)
    some = augment(images, torch.Generator().manual_seed(3), degraded=0.3)
    assert (some != moved).flatten(1).any(1).float().mean().item() == pytest.approx(0.3, abs=0.08)


def test_moving_mirrors_half_and_keeps_top_and_bottom():
    images = torch.zeros(300, 3, 20, 20)
    images[:, 0, :10] = 1.0  # the upper half is red
    images[:, 1, :, :10] = 1.0  # the left half is green
    moved = augmentation._move(images, torch.Generator().manual_seed(0))
    assert (moved[:, 0, :4].mean((1, 2)) > 0.9).all() and (moved[:, 0, -4:].mean((1, 2)) < 0.1).all()
    mirrored = moved[:, 1, :, -4:].mean((1, 2)) > 0.5
    assert 0.4 < mirrored.float().mean() < 0.6


def test_erasing_covers_rectangles_with_one_colour():
    images = torch.full((200, 3, 40, 40), 2.0)
    erased = augmentation._erase(images, torch.Generator().manual_seed(0))
    covered = (erased != 2.0).any(1)
    assert 0.3 < covered.flatten(1).any(1).float().mean() < 0.5
    for image, mask in zip(erased, covered, strict=True):
        if mask.any():
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            assert mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
            assert (image[:, mask] == image[:, mask][:, :1]).all() and mask.float().mean() <= 0.25
