"""ealn_plugin/engine/degradation.py: each part against a loop or OpenCV's JPEG, gradients, and its place in a step."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.engine import degradation, schedule
from ealn_plugin.engine.degradation import Degradation, blurred, rounded
from tests.helpers.standins import build_engine


def images_of(count=2, height=16, width=24, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=random, dtype=dtype) * 2 - 1


def test_blur_equals_a_loop():
    images, weights = images_of(1, 5, 6), {-1: 1, 0: 2, 1: 1}
    result = blurred(images)
    for row in range(5):
        for column in range(6):
            total = share = 0
            for i, j in ((i, j) for i in weights for j in weights):
                if 0 <= row + i < 5 and 0 <= column + j < 6:
                    share += weights[i] * weights[j]
                    total = total + weights[i] * weights[j] * images[0, :, row + i, column + j]
            torch.testing.assert_close(result[0, :, row, column], total / share)


def test_a_plain_image_survives_the_blur():
    torch.testing.assert_close(blurred(torch.full((1, 3, 7, 9), 0.3)), torch.full((1, 3, 7, 9), 0.3))


def test_rounding_equals_jpegs():
    """Grey images through OpenCV's encoder at quality 75, whose table is half of the standard's."""
    random = np.random.default_rng(0)
    grey = cv2.GaussianBlur(random.integers(0, 256, (32, 40), dtype=np.uint8), (0, 0), 2)
    grey = cv2.normalize(grey, None, 20, 235, cv2.NORM_MINMAX)
    coded = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE)
    images = (torch.from_numpy(grey).float() - 128) / 127.5
    ours = rounded(images.expand(1, 3, 32, 40), torch.full((1, 1, 1, 1), 0.5))
    difference = (ours[0, 0] * 127.5 + 128 - torch.from_numpy(coded)).abs()
    assert difference.mean() < 0.6 < (torch.from_numpy(grey).float() - torch.from_numpy(coded)).abs().mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20))
def test_any_size_keeps_its_shape(height, width):
    made = Degradation(1.0)(images_of(2, height, width), torch.Generator().manual_seed(0))
    assert made.shape == (2, 3, height, width) and torch.isfinite(made).all()


def test_it_is_mild():
    images = blurred(blurred(images_of(20, 32, 32)))
    change = Degradation(1.0)(images, torch.Generator().manual_seed(0)) - images
    assert 0.003 < change.abs().mean() < 0.05


def test_a_weaker_one_changes_less():
    images = images_of()
    degraded = [Degradation(strength)(images, torch.Generator().manual_seed(0)) for strength in (0.1, 0.5, 1.0)]
    changes = [(made - images).abs().mean() for made in degraded]
    assert changes == sorted(changes)


def test_every_image_has_its_own_and_a_seed_gives_the_same():
    images, state = images_of(1).expand(3, -1, -1, -1), torch.get_rng_state()
    first, again, other = (Degradation()(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first[0], first[1])
    assert torch.equal(state, torch.get_rng_state())


def test_gradients_pass_the_rounding():
    images = images_of(dtype=torch.float64).requires_grad_()
    rounded(images, torch.ones(2, 1, 1, 1, dtype=torch.float64)).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))
    images.grad = None
    (Degradation()(images, torch.Generator().manual_seed(0)) ** 2).sum().backward()
    assert torch.isfinite(images.grad).all() and (images.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("strength", [-0.1, 0.0, 1.1, float("nan")])
def test_strengths_out_of_range(strength):
    with pytest.raises(ValueError, match="degrade is"):
        Degradation(strength)


@pytest.mark.parametrize("stage", [schedule.JOINT, schedule.WARMUP])
def test_real_and_generated_images_are_degraded_before_the_embedding_network(datamanager, monkeypatch, stage):
    counts, call = [], Degradation.__call__
    monkeypatch.setattr(
        Degradation, "__call__", lambda self, images, random: counts.append(len(images)) or call(self, images, random)
    )
    engine = build_engine(datamanager, ("hard",), degrade=0.5)
    engine.stage = stage
    engine.embedding.train()
    engine.forward_backward(next(iter(datamanager.train_loader)))
    # real images for the generators' embedding loss, fakes there; then both again for D_emb
    assert counts == ([8, 8, 8, 8] if stage is schedule.JOINT else [8])


def test_tests_see_the_images_as_they_are(datamanager, monkeypatch):
    monkeypatch.setattr(degradation.Degradation, "__call__", lambda *a: pytest.fail("degraded while testing"))
    results = [build_engine(datamanager, ("view",), degrade=d).run(test_only=True, progress=False) for d in (0.0, 1.0)]
    assert results[0] == results[1]
