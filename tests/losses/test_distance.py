"""Eq. 2-5, 9, 10 against loops written from the equations; the choice of positives and negatives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses import checks, hinges, selection
from ealn_plugin.losses import distance as D

DTYPES = [torch.float32, torch.float64]
KINDS = ["squared", "euclidean"]


def unit_rows(rows, dim, dtype=torch.float64, seed=0):
    values = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1).to(dtype).requires_grad_()


def tolerance(dtype):
    return dict(rtol=1e-5, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-11, atol=1e-11)


def naive_distance(a, b, kind):
    total = sum((a[k] - b[k]) ** 2 for k in range(len(a)))
    return total if kind == "squared" else total**0.5


def naive_mean(values, valid):
    kept = [value for value, flag in zip(values, valid) if flag]
    return sum(kept) / len(kept)


def plus(value):
    return value if value > 0 else value * 0


def assert_same(ours, naive, leaves, dtype):
    torch.testing.assert_close(ours, naive, **tolerance(dtype))
    for mine, theirs in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(naive, leaves)):
        torch.testing.assert_close(mine, theirs, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_distance_is_eq_2(kind, dtype):
    a, b = unit_rows(7, 5, dtype), unit_rows(7, 5, dtype, seed=1)
    naive = torch.stack([naive_distance(a[i], b[i], kind) for i in range(7)])
    weights = torch.arange(1, 8, dtype=dtype)
    assert_same((D.distance(a, b, kind) * weights).sum(), (naive * weights).sum(), [a, b], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_pairwise_distance_equals_the_rows(kind, dtype):
    a, b = unit_rows(6, 5, dtype), unit_rows(4, 5, dtype, seed=1)
    naive = torch.stack([naive_distance(row, column, kind) for row in a for column in b]).view(6, 4)
    weights = torch.arange(24, dtype=dtype).view(6, 4)
    assert_same((D.pairwise_distance(a, b, kind) * weights).sum(), (naive * weights).sum(), [a, b], dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_embeddings_have_distance_zero_and_a_finite_gradient(kind):
    a = unit_rows(3, 4, torch.float32)
    for values in (D.distance(a, a.detach().clone(), kind), D.pairwise_distance(a, a.detach().clone(), kind)):
        (gradient,) = torch.autograd.grad(values.sum(), a)
        assert torch.isfinite(gradient).all()
    assert torch.equal(D.distance(a, a, kind), torch.zeros(3))


def test_pairwise_distance_keeps_full_precision_in_mixed_precision():
    a = unit_rows(5, 16, torch.float32).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = D.pairwise_distance(a, a)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, D.pairwise_distance(a, a))
    assert D.pairwise_distance(a.bfloat16(), a.bfloat16()).dtype == torch.float32


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 8), dim=st.integers(1, 6), kind=st.sampled_from(KINDS))
def test_distances_stay_in_their_range(seed, rows, dim, kind):
    a, b = (unit_rows(rows, dim, torch.float32, s) for s in (seed, seed + 1))
    pairs = D.pairwise_distance(a, b, kind)
    assert (pairs >= 0).all() and (pairs <= checks.DISTANCES[kind] + 1e-5).all()
    torch.testing.assert_close(pairs, D.pairwise_distance(b, a, kind).t(), rtol=1e-4, atol=2e-3)
    torch.testing.assert_close(pairs.diagonal(), D.distance(a, b, kind), rtol=1e-4, atol=2e-3)


ALPHA, BETA1, BETA2 = 0.6, 0.7, 0.3
HINGES = {
    "hard_generator": (
        lambda first, second, valid: hinges.hard_generator_loss(first, second, BETA1, BETA2, valid),
        lambda fake, negative: plus(BETA1 - fake) + plus(fake + BETA2 - negative),
    ),
    "hard_embedding": (
        lambda first, second, valid: hinges.hard_embedding_loss(first, second, ALPHA, valid),
        lambda positive, fake: plus(positive + ALPHA - fake),
    ),
    "view_generator": (
        lambda first, second, valid: hinges.view_generator_loss(first, second, ALPHA, valid),
        lambda fake, negative: plus(fake + ALPHA - negative),
    ),
    "view_embedding": (
        lambda first, second, valid: hinges.view_embedding_loss(first, second, ALPHA, valid),
        lambda positive, fake: plus(positive + ALPHA - fake),
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
    assert hinges.view_embedding_loss(empty, empty, ALPHA).requires_grad


def test_invalid_entries_do_not_reach_the_gradient_even_if_infinite():
    fake = torch.tensor([0.1, math.inf], requires_grad=True)
    value = hinges.view_generator_loss(fake, torch.tensor([1.0, 0.0]), 1.0, torch.tensor([True, False]))
    assert value.item() == pytest.approx(0.1)
    assert torch.equal(torch.autograd.grad(value, fake)[0], torch.tensor([1.0, 0.0]))


PIDS = torch.tensor([5, 5, 5, 8, 8, 2, 7, 7])


def test_positives_are_other_images_of_the_identity():
    index, valid = selection.select_positives(PIDS, torch.Generator().manual_seed(0))
    assert valid.tolist() == [True] * 5 + [False] + [True] * 2
    assert torch.equal(PIDS[index], PIDS)
    assert (index[valid] != torch.arange(8)[valid]).all() and index[5] == 5


@pytest.mark.parametrize("strategy", selection.NEGATIVES)
@pytest.mark.parametrize("pids", [[], [3], [3, 3, 3]])
def test_batches_without_negatives_are_not_valid(strategy, pids):
    pids = torch.tensor(pids, dtype=torch.long)
    count = len(pids)
    index, valid = selection.select_negatives(
        torch.rand(count, count), pids, strategy, groups=torch.zeros_like(pids), d_positive=torch.rand(count)
    )
    assert not valid.any() and index.tolist() == list(range(count))
    index, valid = selection.select_positives(pids)
    assert valid.tolist() == [count > 1] * count and index.shape == (count,)


@settings(max_examples=60, deadline=None)
@given(
    pids=st.lists(st.integers(0, 3), max_size=9), strategy=st.sampled_from(selection.NEGATIVES), seed=st.integers(0, 99)
)
def test_choices_are_valid_for_any_batch(pids, strategy, seed):
    random = torch.Generator().manual_seed(seed)
    count, pids = len(pids), torch.tensor(pids, dtype=torch.long)
    distances = torch.rand(count, count, generator=random)
    positive, has_positive = selection.select_positives(pids, random)
    negative, has_negative = selection.select_negatives(
        distances, pids, strategy, groups=pids % 2 - 1, generator=random, d_positive=torch.rand(count)
    )
    for i in range(count):
        others = [j for j in range(count) if j != i and pids[j] == pids[i]]
        assert has_positive[i] == bool(others) and positive[i].item() in (others or [i])
        strangers = [j for j in range(count) if pids[j] != pids[i]]
        assert has_negative[i] == bool(strangers) and negative[i].item() in (strangers or [i])


def naive_negative(strategy, i, distances, pids, d_positive):
    strangers = [j for j in range(len(pids)) if pids[j] != pids[i]]
    if strategy == "semi_hard":
        beyond = [j for j in strangers if distances[i, j] > d_positive[i]]
        if not beyond:
            return max(strangers, key=lambda j: distances[i, j])
        strangers = beyond
    return min(strangers, key=lambda j: distances[i, j])


@pytest.mark.parametrize("strategy", ["hardest", "semi_hard"])
def test_mined_negatives_equal_a_loop(strategy):
    random = torch.Generator().manual_seed(4)
    distances = torch.rand(8, 8, generator=random)
    d_positive = torch.tensor([0.1, 0.5, 0.9, 1.0, 0.0, 0.3, 0.6, 0.8])
    index, valid = selection.select_negatives(distances, PIDS, strategy, d_positive=d_positive)
    assert valid.all()
    assert index.tolist() == [naive_negative(strategy, i, distances, PIDS, d_positive) for i in range(8)]


def counts_of_choices(choose, anchor, draws=3000):
    random = torch.Generator().manual_seed(11)
    counts = torch.zeros(8)
    for _ in range(draws):
        counts[choose(random)[0][anchor]] += 1
    return counts


@pytest.mark.parametrize(
    "choose, anchor, candidates",
    [
        (lambda random: selection.select_positives(PIDS, random), 0, [1, 2]),
        (lambda random: selection.select_negatives(None, PIDS, "random", generator=random), 3, [0, 1, 2, 5, 6, 7]),
        (
            lambda random: selection.select_negatives(
                None, PIDS, "attribute", generator=random, groups=torch.tensor([4, 4, 9, 4, 4, 4, 9, -1])
            ),
            3,
            [0, 1, 5],
        ),
    ],
)
def test_random_choices_are_uniform(choose, anchor, candidates):
    counts = counts_of_choices(choose, anchor)
    expected = 3000 / len(candidates)
    assert counts.sum() == counts[candidates].sum()
    chi_square = ((counts[candidates] - expected) ** 2 / expected).sum()
    assert chi_square < 20.5  # 0.999 quantile for five degrees of freedom; the seed is fixed


def test_attribute_negatives_fall_back_to_any_other_identity():
    groups = torch.tensor([1, 1, 1, 2, 2, -1, -1, 2])
    index, valid = selection.select_negatives(
        None, PIDS, "attribute", groups=groups, generator=torch.Generator().manual_seed(0)
    )
    assert valid.all() and (PIDS[index] != PIDS).all()
    assert index[3] == 7 and index[4] == 7 and index[7] in (3, 4)  # the only strangers of their group
    unknown = counts_of_choices(
        lambda random: selection.select_negatives(None, PIDS, "attribute", groups=groups, generator=random),
        5,
        draws=300,
    )
    assert (unknown[[0, 1, 2, 3, 4, 6, 7]] > 0).all()  # group unknown: everybody else


def test_choices_repeat_with_the_generator_and_leave_the_global_state_alone():
    state = torch.random.get_rng_state()
    first, second = (
        selection.select_negatives(None, PIDS, generator=torch.Generator().manual_seed(5))[0] for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "strategy, missing", [("hardest", "distances"), ("semi_hard", "distances"), ("attribute", "groups")]
)
def test_strategies_say_which_tensor_they_lack(strategy, missing):
    with pytest.raises(ValueError, match=f"negatives '{strategy}' need `{missing}`"):
        selection.select_negatives(None, PIDS, strategy)


def test_semi_hard_needs_the_positive_distances():
    with pytest.raises(ValueError, match="need `d_positive`"):
        selection.select_negatives(torch.rand(8, 8), PIDS, "semi_hard")


def test_unknown_options_are_named():
    a = unit_rows(2, 3)
    with pytest.raises(ValueError, match="distance is 'cosine', expected one of 'squared', 'euclidean'"):
        D.distance(a, a, "cosine")
    with pytest.raises(ValueError, match="distance"):
        D.pairwise_distance(a, a, "cosine")
    with pytest.raises(ValueError, match="negatives is 'easy'"):
        selection.select_negatives(None, PIDS, "easy")


@pytest.mark.parametrize(
    "kind, margins",
    [
        ("squared", dict(alpha=4.1)),
        ("euclidean", dict(alpha=2.1)),
        ("squared", dict(beta1=-0.1)),
        ("squared", dict(alpha=math.nan)),
        ("euclidean", dict(beta1=1.5, beta2=1.0)),
    ],
)
def test_margins_out_of_range_are_refused(kind, margins):
    with pytest.raises(ValueError, match=f"{next(iter(margins))}.*{kind}"):
        checks.check_margins(kind, **margins)


def test_the_margins_of_the_paper_pass():
    for kind in KINDS:
        assert checks.check_margins(kind, alpha=0.6, beta1=0.6, beta2=0.3) is None


def test_nothing_waits_for_the_device():
    """On the meta device tensors hold no values: reading one back raises."""
    pids = torch.zeros(6, dtype=torch.long, device="meta")
    embeddings = torch.zeros(6, 4, device="meta", requires_grad=True)
    distances = D.pairwise_distance(embeddings, embeddings, "euclidean")
    positive, valid = selection.select_positives(pids)
    d_positive = D.distance(embeddings, embeddings[positive])
    for strategy in selection.NEGATIVES:
        negative, _ = selection.select_negatives(distances, pids, strategy, groups=pids, d_positive=d_positive)
        d_negative = D.distance(embeddings, embeddings[negative])
        value = hinges.hard_generator_loss(d_positive, d_negative, 0.6, 0.3, valid)
        assert value.shape == () and value.requires_grad
