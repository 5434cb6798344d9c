"""losses/group_sensitive.py: groups by hand, and the triplets of means against loops from Bai et al., IEEE TMM 2018."""

import pytest
import torch

from ealn_plugin.losses.group_sensitive import group_images, mean_valued_triplets
from tests.helpers.naive import DTYPES, assert_same, naive_distance, plus, unit_rows


def naive_mean_valued(embeddings, clusters, negatives, margin):
    """1/2 [d(x, c) + margin - d(x*, c)]+ of the images in clusters of two or more, averaged."""
    total, count = embeddings.sum() * 0, 0
    for i in range(len(embeddings)):
        members = [j for j in range(len(embeddings)) if clusters[j] == clusters[i]]
        others = [j for j in range(len(embeddings)) if negatives(i, j)]
        if len(members) < 2 or not others:
            continue
        centre = sum(embeddings[j] for j in members) / len(members)
        nearest = min(naive_distance(embeddings[j], centre, "squared") for j in others)
        total = total + plus(naive_distance(embeddings[i], centre, "squared") + margin - nearest) / 2
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pids, groups", [((0, 0, 0, 0, 1, 1, 1), (0, 0, 1, 1, 0, 1, 1)), ((0, 0, 1, 1), (0, 0, 0, 0))])
def test_inter_and_intra_are_the_papers_formulas(dtype, pids, groups):
    embeddings = unit_rows(len(pids), 4, dtype, seed=3)
    inter, intra = mean_valued_triplets(embeddings, torch.tensor(pids), torch.tensor(groups), 1.5, 0.9)
    expected = naive_mean_valued(embeddings, pids, lambda i, j: pids[i] != pids[j], 1.5)
    assert_same(inter, expected, [embeddings], dtype)
    own = list(zip(pids, groups))
    expected = naive_mean_valued(embeddings, own, lambda i, j: pids[i] == pids[j] and own[i] != own[j], 0.9)
    torch.testing.assert_close(intra, expected, rtol=1e-5, atol=1e-5)
    assert (intra > 0) == (len(set(own)) > 2)


def test_images_from_two_sides_are_two_groups():
    front, rear = torch.tensor([1.0, 0.1]), torch.tensor([0.1, 1.0])
    embeddings = torch.stack([front, rear, front + 0.05, rear - 0.05, rear, front, front, front + 0.02])
    pids = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    groups = group_images(embeddings, pids, 2)
    assert groups[0] == groups[2] != groups[1] == groups[3]
    assert groups[5] == groups[6] == groups[7] != groups[4]
    assert group_images(embeddings, pids, 1).tolist() == [0] * 8


def spread(embeddings, pids, groups):
    """Sum of squared distances to the means of the groups."""
    total = 0.0
    for key in set(zip(pids.tolist(), groups.tolist())):
        own = embeddings[[pair == key for pair in zip(pids.tolist(), groups.tolist())]]
        total += float(((own - own.mean(0)) ** 2).sum())
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3])
def test_no_single_image_would_rather_be_in_another_group(seed, count):
    embeddings = unit_rows(24, 5, seed=seed).detach()
    pids = torch.arange(24) % 3
    groups = group_images(embeddings, pids, count)
    assert 0 <= groups.min() and groups.max() < count
    assert spread(embeddings, pids, groups) < spread(embeddings, pids, torch.zeros_like(groups))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))
    again = group_images(embeddings[order], pids[order], count)
    assert spread(embeddings[order], pids[order], again) == pytest.approx(spread(embeddings, pids, groups))
    # within each identity an image is nearest to the mean of its own group, once five rounds have settled
    for pid in range(3):
        own = pids == pid
        means = torch.stack([embeddings[own & (groups == g)].mean(0) for g in groups[own].unique()])
        nearest = ((embeddings[own][:, None] - means) ** 2).sum(2).argmin(1)
        assert (groups[own].unique()[nearest] == groups[own]).float().mean() > 0.8


@pytest.mark.parametrize("pids", [(), (0,), (0, 1)])
def test_few_images_make_no_triplets(pids):
    embeddings, labels = unit_rows(len(pids), 4), torch.tensor(pids, dtype=torch.long)
    groups = group_images(embeddings, labels)
    loss = sum(mean_valued_triplets(embeddings, labels, groups, 0.6, 0.1))
    loss.backward()
    assert loss == 0 and len(groups) == len(pids)


def test_no_groups_are_refused():
    with pytest.raises(ValueError, match="groups is 0, expected 1 or more"):
        group_images(unit_rows(2, 3), torch.tensor([0, 0]), 0)
