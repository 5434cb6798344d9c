"""losses/cascade.py against loops written from Yuan et al., ICCV 2017: which pairs reach which level, at what cost."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses.cascade import cascaded_contrastive_loss, check_shares
from tests.helpers.naive import DTYPES, assert_same, naive_distance, plus, unit_rows


def naive_cascade(levels, pids, shares, margin):
    """Losses of the levels, and the pairs that each has seen."""
    pairs = list(itertools.combinations(range(len(pids)), 2))
    kinds = {same: [(i, j) for i, j in pairs if (pids[i] == pids[j]) == same] for same in (True, False)}

    def cost(level, i, j):
        distance = naive_distance(levels[i, level], levels[j, level], "euclidean")
        return distance if pids[i] == pids[j] else plus(margin - distance)

    reached, losses, seen = dict(kinds), [], []
    for level, share in enumerate(shares):
        judge = max(level - 1, 0)
        loss = levels.sum() * 0
        for same, every in kinds.items():
            hardest = sorted(reached[same], key=lambda pair: (-float(cost(judge, *pair).detach()), pair))
            reached[same] = hardest[: math.ceil(share * len(every) - 1e-9)]
            if reached[same]:
                loss = loss + sum(cost(level, *pair) for pair in reached[same]) / len(reached[same])
        losses.append(loss)
        seen.append({same: set(chosen) for same, chosen in reached.items()})
    return torch.stack(losses), seen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pids", [(0, 0, 1, 1, 2, 2), (0, 0, 0, 1, 1, 1, 1), (0, 1, 2), (4, 4, 4)])
@pytest.mark.parametrize("shares", [(1.0, 0.5, 0.2), (1.0, 1.0, 1.0), (0.7, 0.7, 0.1)])
def test_each_level_sees_the_pairs_that_are_hard_for_the_one_before(dtype, pids, shares):
    rows = unit_rows(3 * len(pids), 5, dtype, seed=7)
    levels = rows.view(len(pids), 3, 5)
    ours = cascaded_contrastive_loss(levels, torch.tensor(pids), shares, 1.2)
    naive, _ = naive_cascade(levels, pids, shares, 1.2)
    torch.testing.assert_close(ours, naive, rtol=1e-5, atol=1e-5)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    assert_same((ours * weights).sum(), (naive * weights).sum(), [rows], dtype)


@settings(max_examples=25, deadline=None)
@given(
    pids=st.lists(st.integers(0, 3), min_size=2, max_size=8),
    shares=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4).map(lambda found: sorted(found, reverse=True)),
    seed=st.integers(0, 1000),
)
def test_the_pairs_of_a_level_are_among_those_of_the_level_before(pids, shares, seed):
    levels = unit_rows(len(shares) * len(pids), 3, seed=seed).view(len(pids), len(shares), 3)
    ours = cascaded_contrastive_loss(levels, torch.tensor(pids), shares)
    naive, seen = naive_cascade(levels, pids, shares, 1.0)
    torch.testing.assert_close(ours, naive, rtol=1e-6, atol=1e-6)
    for before, after in itertools.pairwise(seen):
        assert all(after[same] <= before[same] for same in (True, False))


def test_one_image_costs_nothing():
    levels = unit_rows(3, 4).view(1, 3, 4)
    loss = cascaded_contrastive_loss(levels, torch.tensor([0]), (1.0, 0.5, 0.2)).sum()
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize("shares", [(), (0.0,), (1.2,), (0.5, 0.6), (float("nan"),)])
def test_shares_that_make_no_cascade(shares):
    with pytest.raises(ValueError, match="expected values in"):
        check_shares(shares)


def test_one_share_a_level():
    with pytest.raises(ValueError, match="3 levels and 2 shares"):
        cascaded_contrastive_loss(unit_rows(6, 4).view(2, 3, 4), torch.tensor([0, 1]), (1.0, 0.5))
