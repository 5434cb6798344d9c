"""StarGAN's losses against loops written from its equations; the penalty also against finite differences."""

import math

import pytest
import torch
from torch import nn

from ealn_plugin.losses import critic_loss, domain_loss, gradient_penalty, score_loss

DTYPES = [torch.float32, torch.float64]


def images_of(count, dtype, seed, size=4):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def small_critic(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 2)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_equal_a_loop(dtype):
    real, fake = (torch.randn(n, 1, 2, 2, dtype=dtype, requires_grad=True) for n in (3, 4))
    naive = sum(fake.flatten()) / 16 - sum(real.flatten()) / 12
    torch.testing.assert_close(critic_loss(real, fake), naive)
    torch.testing.assert_close(score_loss(fake), -sum(fake.flatten()) / 16)
    critic_loss(real, fake).backward()
    assert torch.allclose(real.grad, torch.tensor(-1 / 12, dtype=dtype))
    assert torch.allclose(fake.grad, torch.tensor(1 / 16, dtype=dtype))


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (0, 0)])
def test_one_side_alone_is_a_zero_with_a_gradient(counts):
    real, fake = (torch.randn(n, 1, 2, 2, requires_grad=True) for n in counts)
    loss = critic_loss(real, fake)
    loss.backward()
    assert loss == 0 and real.grad is not None and not real.grad.any() and not fake.grad.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_domain_loss_equals_a_loop(dtype):
    logits, labels = torch.randn(5, 3, dtype=dtype), torch.tensor([0, 2, 1, 1, 0])
    naive = sum(-math.log(math.exp(row[k]) / sum(math.exp(v) for v in row)) for row, k in zip(logits.tolist(), labels))
    assert float(domain_loss(logits, labels)) == pytest.approx(naive / 5, rel=1e-5)
    assert domain_loss(logits[:0], labels[:0]) == 0


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic_is_known(slope):
    weight = torch.zeros(3, 4, 4)
    weight[1, 2, 3] = slope
    loss = gradient_penalty(
        lambda x: (x * weight).sum((1, 2, 3)), images_of(5, torch.float32, 0), images_of(5, torch.float32, 1)
    )
    assert float(loss) == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_penalty_equals_finite_differences_image_by_image():
    critic = small_critic(torch.float64)
    real, fake = images_of(3, torch.float64, 0), images_of(3, torch.float64, 1)
    share = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    total, step = 0.0, 1e-5
    with torch.no_grad():
        for row in range(3):
            point = share[row] * real[row] + (1 - share[row]) * fake[row]
            squares = 0.0
            for index in range(point.numel()):
                up, down = point.clone(), point.clone()
                up.view(-1)[index] += step
                down.view(-1)[index] -= step
                squares += float((critic(up[None]).sum() - critic(down[None]).sum()) / (2 * step)) ** 2
            total += (math.sqrt(squares) - 1) ** 2 / 3
    found = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(7))
    assert found.item() == pytest.approx(total, rel=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_penalty_trains_the_critic_as_by_hand(dtype):
    """D(z) = a sum tanh(w z): gradient a w (1 - tanh^2) by hand, then its derivative by autograd once."""
    weight, gain = (torch.tensor(value, dtype=dtype, requires_grad=True) for value in (0.7, 1.3))
    real, fake = images_of(2, dtype, 0, size=2), images_of(2, dtype, 1, size=2)
    share = torch.rand(2, 1, 1, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    points = share * real + (1 - share) * fake
    slopes = gain * weight * (1 - torch.tanh(weight * points) ** 2)
    naive = sum((row.pow(2).sum().sqrt() - 1) ** 2 for row in slopes) / 2
    ours = gradient_penalty(
        lambda z: gain * torch.tanh(weight * z).sum((1, 2, 3)), real, fake, torch.Generator().manual_seed(3)
    )
    tolerance = dict(rtol=1e-5, atol=1e-6) if dtype == torch.float32 else dict(rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours, naive, **tolerance)
    for mine, theirs in zip(torch.autograd.grad(ours, [weight, gain]), torch.autograd.grad(naive, [weight, gain])):
        torch.testing.assert_close(mine, theirs, **tolerance)


def test_penalty_leaves_images_and_the_global_state_alone():
    real, fake = images_of(2, torch.float32, 0).requires_grad_(), images_of(2, torch.float32, 1).requires_grad_()
    state = torch.get_rng_state()
    gradient_penalty(small_critic(torch.float32), real, fake, torch.Generator().manual_seed(0)).backward()
    assert real.grad is None and fake.grad is None and torch.equal(state, torch.get_rng_state())


def test_penalty_of_nothing_and_of_unequal_numbers():
    assert gradient_penalty(small_critic(torch.float32), torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4)) == 0
    with pytest.raises(ValueError, match="must have the same shape"):
        gradient_penalty(small_critic(torch.float32), torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4))
