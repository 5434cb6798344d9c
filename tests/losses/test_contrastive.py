"""ealn_plugin/losses/contrastive.py against loops over pairs."""

import pytest
import torch
from torch.nn import functional

from ealn_plugin.losses.contrastive import contrastive_loss


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("pids", [(0, 0, 1, 1, 2), (0, 0, 0), (0, 1, 2), ()])
def test_it_equals_the_loops(pids, distance):
    features = functional.normalize(
        torch.randn(len(pids), 6, generator=torch.Generator().manual_seed(0)).double(), dim=1
    )
    features.requires_grad_()
    near, far = [], []
    for i in range(len(pids)):
        for j in range(len(pids)):
            d = (features[i] - features[j]).pow(2).sum()
            d = d.sqrt() if distance == "euclidean" and i != j else d
            if i != j:
                (near if pids[i] == pids[j] else far).append(d if pids[i] == pids[j] else (1.2 - d).clamp(min=0))
    expected = sum(sum(values) / len(values) for values in (near, far) if values)
    loss = contrastive_loss(features, torch.tensor(pids), 1.2, distance)
    assert loss.item() == pytest.approx(expected if isinstance(expected, int) else expected.item())
    (slope,) = torch.autograd.grad(loss, features)
    if near or far:
        torch.testing.assert_close(slope, torch.autograd.grad(expected, features)[0])


def test_images_that_do_not_count():
    features, pids = torch.eye(5)[:, :3], torch.tensor([0, 0, 1, 1, 2])
    valid = torch.tensor([True, True, True, False, False])
    found = contrastive_loss(features, pids, 1.0, "squared", valid)
    torch.testing.assert_close(found, contrastive_loss(features[:3], pids[:3]))


def test_a_margin_that_no_distance_keeps():
    with pytest.raises(ValueError, match="margin is 3"):
        contrastive_loss(torch.eye(2), torch.tensor([0, 1]), 3.0, "euclidean")
