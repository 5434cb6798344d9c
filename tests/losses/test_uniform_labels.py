"""losses/uniform_labels.py against the sum in Zheng et al., ICCV 2017, Eq. 6."""

import math

import pytest
import torch

from ealn_plugin.losses.uniform_labels import uniform_label_loss
from tests.helpers.naive import DTYPES, assert_same


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_cross_entropy_against_the_uniform_distribution(dtype):
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = logits.to(dtype).requires_grad_()
    naive = 0
    for row in logits:
        total = sum(math.e**value for value in row)
        naive = naive - sum(torch.log(math.e**value / total) for value in row) / 4 / 3
    assert_same(uniform_label_loss(logits), naive, [logits], dtype)


def test_it_is_least_where_no_identity_is_preferred():
    assert uniform_label_loss(torch.zeros(5, 7)) == pytest.approx(math.log(7))
    assert uniform_label_loss(torch.randn(5, 7)) > math.log(7)
    empty = torch.zeros(0, 7, requires_grad=True)
    uniform_label_loss(empty).backward()
    assert uniform_label_loss(empty) == 0
