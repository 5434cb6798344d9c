"""ealn_plugin/losses/hinges.py: Eq. 4, 5, 9 and 10 against loops written from the equations."""

import pytest
import torch

from ealn_plugin import losses
from ealn_plugin.losses import distance as D
from ealn_plugin.losses import hinges
from tests.helpers.naive import DTYPES, KINDS, assert_same, naive_distance, naive_mean, plus, unit_rows

ALPHA, BETA1, BETA2 = 0.6, 0.7, 0.3
HINGES = {
    "hard_generator": (
        lambda first, second, valid: hinges.hard_generator_loss(first, second, BETA1, BETA2, valid),
        lambda fake, negative: plus(BETA1 - fake) + plus(fake + BETA2 - negative),
    ),
    "hard_or_view_embedding": (
        lambda first, second, valid: hinges.hard_or_view_embedding_loss(first, second, ALPHA, valid),
        lambda positive, fake: plus(positive + ALPHA - fake),
    ),
    "view_generator": (
        lambda first, second, valid: hinges.view_generator_loss(first, second, ALPHA, valid),
        lambda fake, negative: plus(fake + ALPHA - negative),
    ),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HINGES)
def test_hinges_equal_their_equations(name, dtype, masked):
    loss, equation = HINGES[name]
    random = torch.Generator().manual_seed(3)
    first, second = ((torch.rand(9, generator=random, dtype=dtype) * 2).requires_grad_() for _ in range(2))
    valid = torch.tensor([True, False, True, True, False, True, True, True, False]) if masked else None
    flags = valid if masked else [True] * 9
    naive = naive_mean([equation(first[i], second[i]) for i in range(9)], flags)
    assert_same(loss(first, second, valid), naive, [first, second], dtype)


@pytest.mark.parametrize("name", HINGES)
@pytest.mark.parametrize("kind", KINDS)
def test_hinges_have_the_gradient_of_the_loop_down_to_the_embeddings(name, kind):
    loss, equation = HINGES[name]
    x, p, q = (unit_rows(5, 3, torch.float64, seed) for seed in (1, 2, 3))
    ours = loss(D.distance(x, p, kind), D.distance(x, q, kind), None)
    naive = [equation(*(naive_distance(x[i], other[i], kind) for other in (p, q))) for i in range(5)]
    assert_same(ours, sum(naive) / 5, [x, p, q], torch.float64)


@pytest.mark.parametrize("name", HINGES)
@pytest.mark.parametrize("count", [0, 3])
def test_hinges_without_valid_entries_are_a_differentiable_zero(name, count):
    first, second = (torch.rand(count, requires_grad=True) for _ in range(2))
    value = HINGES[name][0](first, second, torch.zeros(count, dtype=torch.bool))
    assert value.item() == 0.0
    for gradient in torch.autograd.grad(value, [first, second]):
        assert torch.equal(gradient, torch.zeros(count))


def test_hinges_of_an_empty_batch_without_a_mask_are_zero():
    empty = torch.zeros(0, requires_grad=True)
    assert hinges.hard_generator_loss(empty, empty, BETA1, BETA2).item() == 0.0
    assert hinges.hard_or_view_embedding_loss(empty, empty, ALPHA).requires_grad


def test_the_names_of_each_equation_are_the_one_function():
    assert losses.hard_embedding_loss is losses.view_embedding_loss is hinges.hard_or_view_embedding_loss
