"""losses/coupled_clusters.py against loops written from the formula of Liu et al., CVPR 2016, section 3.2."""

import pytest
import torch

from ealn_plugin.losses.coupled_clusters import centre_triplets, centres_of, coupled_clusters_loss
from tests.helpers.naive import DTYPES, assert_same, naive_distance, plus, unit_rows


def naive_coupled_clusters(embeddings, pids, margin):
    total, count = embeddings.sum() * 0, 0
    for i in range(len(pids)):
        cluster = [embeddings[j] for j in range(len(pids)) if pids[j] == pids[i]]
        others = [embeddings[j] for j in range(len(pids)) if pids[j] != pids[i]]
        if len(cluster) < 2 or not others:
            continue
        centre = sum(cluster) / len(cluster)
        nearest = min(others, key=lambda other: float(naive_distance(other, centre, "squared").detach()))
        near = naive_distance(embeddings[i], centre, "squared")
        total = total + plus(near + margin - naive_distance(nearest, centre, "squared")) / 2
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pids", [(0, 0, 1, 1, 2, 2, 2), (0, 1, 0, 1, 5), (3, 3, 3, 4), (0, 0, 1, 2, 1, 0, 2, 2)])
@pytest.mark.parametrize("margin", [0.0, 0.6, 3.0])
def test_it_is_the_papers_formula(dtype, pids, margin):
    embeddings = unit_rows(len(pids), 4, dtype, seed=len(pids))
    ours = coupled_clusters_loss(embeddings, torch.tensor(pids), margin)
    assert_same(ours, naive_coupled_clusters(embeddings, pids, margin), [embeddings], dtype)


@pytest.mark.parametrize("pids", [(), (0,), (0, 1, 2), (0, 0, 0)])
def test_without_clusters_or_negatives_it_is_a_zero_with_a_gradient(pids):
    embeddings = unit_rows(len(pids), 4)
    loss = coupled_clusters_loss(embeddings, torch.tensor(pids, dtype=torch.long))
    loss.backward()
    assert loss == 0 and not embeddings.grad.any()


def test_tight_clusters_far_apart_cost_nothing():
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert coupled_clusters_loss(embeddings, torch.tensor([0, 0, 1, 1]), 3.9) == 0
    # to their own centre 0, to the nearest negative 4: 1/2 (0 + 4 - 4 + margin beyond it)
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert torch.equal(centres_of(embeddings, everything), torch.zeros(4, 2))
    loss = centre_triplets(embeddings, everything, torch.eye(4, dtype=torch.bool).roll(2, 0), 0.5)
    torch.testing.assert_close(loss, torch.tensor(0.25))  # all are at distance 1 from the common centre
