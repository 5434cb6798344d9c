"""ealn_plugin/losses/selection.py: the choice of positives and negatives, against loops and by counting."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses import distance as D
from ealn_plugin.losses import hinges, selection

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


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match="negatives is 'easy'"):
        selection.select_negatives(None, PIDS, "easy")


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


def test_the_wanted_view_of_the_same_vehicle():
    pids, views = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 0, 2, 0])
    wanted, drawn = torch.tensor([1, 0, -2, 1, 0, 0]), set()
    for seed in range(20):
        index, valid = selection.select_shown(pids, views, wanted, torch.Generator().manual_seed(seed))
        assert valid.tolist() == [True, True, False, False, True, True]
        assert index[1:].tolist() == [0, 2, 3, 3, 5]  # the own index where there is none
        drawn.add(int(index[0]))
    assert drawn == {1, 2}
