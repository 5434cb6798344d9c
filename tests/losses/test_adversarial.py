"""Eq. 6 and 11 and the cycle loss against loops written from the equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses import cycle_loss, discriminator_adversarial_loss, generator_adversarial_loss

DTYPES = [torch.float32, torch.float64]
KINDS = ["vanilla", "lsgan"]


def logits_of(count, dtype, seed):
    random = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(count, 1, 3, 2, generator=random, dtype=torch.float64)
    return values.to(dtype).requires_grad_()


def sigmoid(value):
    return 1 / (1 + (-value).exp())


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def assert_same(ours, naive, leaves):
    tolerance = dict(rtol=2e-5, atol=2e-6) if ours.dtype == torch.float32 else dict(rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours, naive, **tolerance)
    for mine, theirs in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(naive, leaves)):
        torch.testing.assert_close(mine, theirs, **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_losses_equal_the_equations(dtype):
    real, fake = logits_of(4, dtype, 0), logits_of(3, dtype, 1)
    decided_real = mean(sigmoid(r).log() for r in real.flatten())
    decided_fake = mean((1 - sigmoid(f)).log() for f in fake.flatten())
    assert_same(discriminator_adversarial_loss(real, fake), -(decided_real + decided_fake), [real, fake])
    non_saturating = mean(-sigmoid(f).log() for f in fake.flatten())
    assert_same(generator_adversarial_loss(fake), non_saturating, [fake])


@pytest.mark.parametrize("dtype", DTYPES)
def test_least_squares_losses_equal_a_loop(dtype):
    real, fake = logits_of(2, dtype, 0), logits_of(5, dtype, 1)
    naive = mean((r - 1) ** 2 for r in real.flatten()) + mean(f**2 for f in fake.flatten())
    assert_same(discriminator_adversarial_loss(real, fake, "lsgan"), naive, [real, fake])
    assert_same(generator_adversarial_loss(fake, "lsgan"), mean((f - 1) ** 2 for f in fake.flatten()), [fake])


def test_known_values_of_an_undecided_discriminator():
    zeros = torch.zeros(2, 1, 4, 4)
    assert discriminator_adversarial_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert generator_adversarial_loss(zeros).item() == pytest.approx(math.log(2))
    assert discriminator_adversarial_loss(zeros, zeros, "lsgan").item() == 1.0


def test_confident_logits_stay_finite_and_teach_a_losing_generator():
    fake = torch.full((1, 1, 2, 2), -200.0, requires_grad=True)
    value = generator_adversarial_loss(fake)
    assert value.item() == pytest.approx(200.0)
    assert torch.autograd.grad(value, fake)[0].sum().item() == pytest.approx(-1.0)
    assert math.isfinite(discriminator_adversarial_loss(-fake, fake).item())


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-50, 50), min_size=1, max_size=6), kind=st.sampled_from(KINDS))
def test_losses_are_never_negative(values, kind):
    logits = torch.tensor(values)
    assert generator_adversarial_loss(logits, kind) >= 0
    assert discriminator_adversarial_loss(logits, -logits, kind) >= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("real_count, fake_count", [(0, 0), (0, 3), (3, 0)])
def test_a_missing_side_makes_the_discriminator_loss_a_differentiable_zero(kind, real_count, fake_count):
    real, fake = (torch.randn(count, 1, 2, 2, requires_grad=True) for count in (real_count, fake_count))
    value = discriminator_adversarial_loss(real, fake, kind)
    assert value.item() == 0.0
    assert all(not gradient.any() for gradient in torch.autograd.grad(value, [real, fake]))


@pytest.mark.parametrize("kind", KINDS)
def test_no_fakes_make_the_generator_loss_a_differentiable_zero(kind):
    fake = torch.zeros(0, 1, 2, 2, requires_grad=True)
    value = generator_adversarial_loss(fake, kind)
    assert value.item() == 0.0
    assert torch.autograd.grad(value, fake)[0].shape == fake.shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_cycle_loss_is_the_mean_absolute_difference(dtype):
    image, reconstruction = logits_of(2, dtype, 0), logits_of(2, dtype, 1)
    naive = mean(abs(a - b) for a, b in zip(image.flatten(), reconstruction.flatten()))
    assert_same(cycle_loss(image, reconstruction), naive, [image, reconstruction])


def test_cycle_loss_of_no_images_is_a_differentiable_zero():
    empty = torch.zeros(0, 3, 8, 8, requires_grad=True)
    assert cycle_loss(empty.detach(), empty).item() == 0.0
    assert cycle_loss(empty.detach(), empty).requires_grad


def test_cycle_loss_refuses_images_that_would_broadcast():
    with pytest.raises(ValueError, match=r"images \(2, 3, 4, 4\) and reconstructions \(1, 3, 4, 4\)"):
        cycle_loss(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def test_unknown_kinds_are_named():
    logits = torch.zeros(1)
    for call in (
        lambda: generator_adversarial_loss(logits, "hinge"),
        lambda: discriminator_adversarial_loss(logits, logits, "hinge"),
    ):
        with pytest.raises(ValueError, match="gan_loss is 'hinge', expected one of 'vanilla', 'lsgan'"):
            call()


def test_nothing_waits_for_the_device():
    logits = torch.zeros(2, 1, 3, 3, device="meta", requires_grad=True)
    for kind in KINDS:
        assert discriminator_adversarial_loss(logits, logits, kind).requires_grad
        assert generator_adversarial_loss(logits, kind).requires_grad
    assert cycle_loss(logits, logits).requires_grad


@pytest.mark.parametrize("kind", ["vanilla", "lsgan"])
def test_logits_that_do_not_count_are_as_if_they_were_not_there(kind):
    real, fake = (torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    valid = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.4
    torch.testing.assert_close(
        generator_adversarial_loss(fake, kind, valid), generator_adversarial_loss(fake[valid], kind)
    )
    torch.testing.assert_close(
        discriminator_adversarial_loss(real, fake, kind, valid),
        discriminator_adversarial_loss(real[valid], fake[valid], kind),
    )
