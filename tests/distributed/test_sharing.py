"""ealn_plugin/distributed/sharing.py: networks that run a part of the rows, and one process's gradients."""

import pytest
import torch
from torch import nn

from ealn_plugin.distributed.sharing import RowSharing, own_rows, rows_each
from ealn_plugin.distributed.world import World
from ealn_plugin.losses.wasserstein import gradient_penalty


class Maker(nn.Module):
    """Images and labels to images and scores, through itself once more where there are no images."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, images, labels):
        made = torch.tanh(self.first(images)) * (1 + labels.view(-1, 1, 1, 1))
        return made, {"scores": self.second(made.mean((2, 3)))}


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 2, 3)

    def forward(self, images):
        return self.inner(images).pow(2)


def play(world, count, penalty):
    """The gradients of two networks that see different rows of one another's outputs, and what they gave."""
    generator = torch.Generator().manual_seed(count)
    images, labels = torch.randn(count, 3, 5, 6, generator=generator), torch.arange(count) % 2
    torch.manual_seed(0)
    maker, critic, temperature = Maker(), Critic(), nn.Parameter(torch.tensor(1.5))
    sharing = RowSharing(world)
    for network in (maker, critic, critic.inner):  # a shared network inside of another
        sharing.share(network)
    with sharing:
        made, named = maker(images, labels)
        scores = named["scores"]
        chosen = torch.arange(count).flip(0)[: count // 2 + 1]  # rows that other processes made, unevenly many
        loss = critic(made[chosen]).mean() * temperature + scores.pow(2).mean()
        loss = loss + (made - images.roll(1, 0)).abs().mean()
        if penalty:
            loss = loss + gradient_penalty(critic, images, made, torch.Generator().manual_seed(1))
        assert critic(images[:0]).shape == (0, 2, 3, 4)
        loss.backward()
    learned = [*maker.parameters(), *critic.parameters(), temperature]
    world.average_gradients(learned)
    return [loss.detach(), made.detach(), *(parameter.grad for parameter in learned)]


@pytest.mark.parametrize("count, penalty", [(1, False), (4, True), (5, True)])
def test_losses_and_gradients_are_those_of_one_process(pair, count, penalty):
    expected = play(World(), count, penalty)
    for found in pair.run(play, count, penalty):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("count", range(1, 9))
def test_every_row_belongs_to_one_process(count, size):
    rows, each = torch.arange(1, 2 * count + 1).view(count, 2), rows_each(count, size)
    parts = [own_rows(rows, World(rank, size), repeat=False) for rank in range(size)]
    assert {len(part) for part in parts} == {each} and size * each - count < size * max(1, size - 1)
    assert torch.equal(torch.cat(parts)[:count], rows)
    assert not torch.cat(parts)[count:].any()
    repeated = torch.cat([own_rows(rows, World(rank, size), repeat=True) for rank in range(size)])
    assert torch.equal(repeated[count:], rows[-1:].expand(size * each - count, 2))


def test_outside_of_it_networks_run_as_always(pair):
    for found in pair.run(run_outside):
        assert found == [(4, 2), (4, 2)]


def run_outside(world):
    """Shapes of the outputs of a shared network before and after the rows were shared, and that of the part inside."""
    seen, network, sharing = [], nn.Linear(3, 2), RowSharing(world)
    sharing.share(network)
    inner = []
    network.register_forward_hook(lambda module, inputs, output: inner.append(len(inputs[0])))
    seen.append(tuple(network(torch.ones(4, 3)).shape))
    with sharing:
        network(torch.ones(4, 3))
        assert (sharing.rows, sharing.active) == (None, True)
    assert inner == [4, 2] and not sharing.active
    seen.append(tuple(network(torch.ones(4, 3)).shape))
    return seen


def test_an_error_inside_leaves_nothing_behind():
    sharing = RowSharing(World(0, 2))
    network = nn.Linear(3, 2)
    sharing.share(network)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), sharing:
        network(torch.ones(4, 5))
    assert not sharing.active and sharing.rows is None
    assert network(torch.ones(4, 3)).shape == (4, 2)


def test_one_process_has_nothing_to_share():
    network = nn.Linear(3, 2)
    RowSharing(World()).share(network)
    assert not network._forward_hooks and not network._forward_pre_hooks
