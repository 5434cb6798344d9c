"""The EN loss against naive loops, in value and gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.losses import embedding_network_loss, identity_loss, select_negatives, select_positives, triplet_loss

DTYPES = [torch.float32, torch.float64]
KINDS = ["squared", "euclidean"]
TRIPLETS = ["random", "batch_hard", "all_active"]
PIDS = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])


def embeddings_of(count, dtype=torch.float64, seed=0):
    values = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1).to(dtype).requires_grad_()


def naive_distance(a, b, kind):
    total = sum((a[k] - b[k]) ** 2 for k in range(len(a)))
    return total if kind == "squared" else total**0.5


def naive_triplets(embeddings, pids, kind, triplets, seed):
    """(anchor, positive, negative) of each triplet that the loss looks at."""
    count = len(pids)

    def from_anchor(i):
        return lambda j: naive_distance(embeddings[i], embeddings[j], kind).item()

    if triplets == "random":
        random = torch.Generator().manual_seed(seed)
        positives, has_positive = select_positives(pids, random)
        negatives, has_negative = select_negatives(None, pids, "random", generator=random)
        return [(i, positives[i], negatives[i]) for i in range(count) if has_positive[i] and has_negative[i]]
    found = []
    for i in range(count):
        positives = [j for j in range(count) if j != i and pids[j] == pids[i]]
        negatives = [j for j in range(count) if pids[j] != pids[i]]
        if triplets == "all_active":
            found += [(i, p, n) for p in positives for n in negatives]
        elif positives and negatives:
            found.append((i, max(positives, key=from_anchor(i)), min(negatives, key=from_anchor(i))))
    return found


def naive_loss(embeddings, pids, margin, kind, triplets, seed):
    hinges = []
    for i, p, n in naive_triplets(embeddings, pids, kind, triplets, seed):
        value = (
            naive_distance(embeddings[i], embeddings[p], kind)
            + margin
            - naive_distance(embeddings[i], embeddings[n], kind)
        )
        if value > 0 or triplets != "all_active":
            hinges.append(value if value > 0 else value * 0)
    return sum(hinges) / len(hinges)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("triplets", TRIPLETS)
def test_triplet_loss_equals_a_loop(triplets, kind, dtype):
    embeddings = embeddings_of(8, dtype)
    ours = triplet_loss(embeddings, PIDS, 0.6, kind, triplets, torch.Generator().manual_seed(7))
    naive = naive_loss(embeddings, PIDS, 0.6, kind, triplets, 7)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-10, atol=1e-11)
    assert ours > 0
    torch.testing.assert_close(ours, naive, **tolerance)
    gradients = [torch.autograd.grad(value, embeddings)[0] for value in (ours, naive)]
    torch.testing.assert_close(*gradients, **tolerance)


@settings(max_examples=40, deadline=None)
@given(
    pids=st.lists(st.integers(0, 2), max_size=7),
    triplets=st.sampled_from(TRIPLETS),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1000),
)
def test_any_batch_gives_a_finite_loss_with_a_gradient(pids, triplets, kind, seed):
    embeddings = embeddings_of(len(pids), torch.float32, seed)
    value = triplet_loss(embeddings, torch.tensor(pids, dtype=torch.long), 0.6, kind, triplets)
    (gradient,) = torch.autograd.grad(value, embeddings)
    assert 0.0 <= value.item() <= 4.6 and torch.isfinite(gradient).all()


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("pids", [[], [1], [1, 1, 1], [1, 2, 3]])
def test_batches_without_a_triplet_give_a_differentiable_zero(triplets, pids):
    embeddings = embeddings_of(len(pids))
    value = triplet_loss(embeddings, torch.tensor(pids, dtype=torch.long), triplets=triplets)
    assert value.item() == 0.0
    assert not torch.autograd.grad(value, embeddings)[0].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("triplets", TRIPLETS)
def test_collapsed_embeddings_lose_the_margin_with_a_finite_gradient(triplets, kind):
    embeddings = torch.ones(8, 5).div(5**0.5).requires_grad_()
    value = triplet_loss(embeddings, PIDS, 0.6, kind, triplets)
    assert value.item() == pytest.approx(0.6, abs=2e-3)
    assert torch.isfinite(torch.autograd.grad(value, embeddings)[0]).all()


def test_separated_identities_leave_no_active_triplet():
    embeddings = torch.eye(4, dtype=torch.float64)[PIDS].requires_grad_()
    for triplets in TRIPLETS:
        value = triplet_loss(embeddings, PIDS, 0.6, triplets=triplets)
        assert value.item() == 0.0 and value.requires_grad


def test_random_triplets_repeat_with_the_generator():
    embeddings = embeddings_of(8)
    values = [
        triplet_loss(embeddings, PIDS, generator=torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_identity_loss_equals_a_loop(smoothing):
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=random, dtype=torch.float64).requires_grad_()
    pids = torch.tensor([0, 3, 1, 2, 2, 0])
    rows = []
    for row, pid in zip(logits, pids):
        log_probability = row - row.exp().sum().log()
        rows.append(-(1 - smoothing) * log_probability[pid] - smoothing * log_probability.mean())
    naive = sum(rows) / 6
    ours = identity_loss(logits, pids, smoothing)
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (ours, naive)))


def test_identity_loss_of_an_empty_batch_is_a_differentiable_zero():
    logits = torch.zeros(0, 4, requires_grad=True)
    value = identity_loss(logits, torch.zeros(0, dtype=torch.long))
    assert value.item() == 0.0 and value.requires_grad


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing is {smoothing}"):
        identity_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), smoothing)


def test_the_embedding_network_loss_weighs_its_two_parts():
    embeddings, logits = embeddings_of(8), torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    value, parts = embedding_network_loss(
        logits, embeddings, PIDS, weight_t=2.0, weight_x=0.5, margin=0.4, distance="euclidean", triplets="batch_hard"
    )
    triplet = triplet_loss(embeddings, PIDS, 0.4, "euclidean", "batch_hard")
    identity = identity_loss(logits, PIDS)
    torch.testing.assert_close(value, 2.0 * triplet + 0.5 * identity)
    assert set(parts) == {"triplet", "identity"}
    assert torch.equal(parts["triplet"], triplet) and torch.equal(parts["identity"], identity)
    assert not any(part.requires_grad for part in parts.values())


def test_unknown_options_are_named():
    embeddings = embeddings_of(8)
    with pytest.raises(ValueError, match="triplets is 'easy', expected one of 'random', 'batch_hard'"):
        triplet_loss(embeddings, PIDS, triplets="easy")
    with pytest.raises(ValueError, match="distance is 'cosine'"):
        triplet_loss(embeddings, PIDS, distance="cosine", triplets="batch_hard")


def test_nothing_waits_for_the_device():
    pids = torch.zeros(6, dtype=torch.long, device="meta")
    embeddings = torch.zeros(6, 4, device="meta", requires_grad=True)
    logits = torch.zeros(6, 3, device="meta", requires_grad=True)
    for triplets in TRIPLETS:
        value, _ = embedding_network_loss(logits, embeddings, pids, triplets=triplets)
        assert value.requires_grad
