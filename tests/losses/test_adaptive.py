"""The weight of synthetic samples: known values, order, no gradient."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ealn_plugin.losses import synthetic_weight


@pytest.mark.parametrize("loss, beta", [(0.1, 0.1), (0.5, 0.1), (0.02, 0.1), (3.0, 0.7)])
def test_equals_the_formula(loss, beta):
    assert float(synthetic_weight(torch.tensor(loss), beta)) == pytest.approx(1 - math.exp(-beta / loss), rel=1e-5)


def test_the_ends():
    assert synthetic_weight(torch.tensor(0.0), 0.1) == 1
    assert synthetic_weight(torch.tensor(0.3), 0.0) == 0
    assert synthetic_weight(torch.tensor(1e30), 0.1) < 1e-6


@given(st.floats(0, 4), st.floats(0, 4), st.floats(0.001, 10))
def test_a_better_generator_never_counts_less(a, b, beta):
    better, worse = (synthetic_weight(torch.tensor(loss), beta) for loss in sorted((a, b)))
    assert 0 <= worse <= better <= 1


def test_it_has_no_gradient():
    loss = torch.tensor(0.2, requires_grad=True)
    assert not synthetic_weight(loss * 2, 0.1).requires_grad
