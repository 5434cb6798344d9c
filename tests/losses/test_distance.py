"""ealn_plugin/losses/distance.py: d of Eq. 2 against loops written from the equation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses import checks
from ealn_plugin.losses import distance as D
from tests.helpers.naive import DTYPES, KINDS, assert_same, naive_distance, unit_rows


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


def test_unknown_options_are_named():
    a = unit_rows(2, 3)
    with pytest.raises(ValueError, match="distance is 'cosine', expected one of 'squared', 'euclidean'"):
        D.distance(a, a, "cosine")
    with pytest.raises(ValueError, match="distance"):
        D.pairwise_distance(a, a, "cosine")
