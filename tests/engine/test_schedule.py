"""ealn_plugin/engine/schedule.py: the paper's schedule for any length, other factors, and the stages of a warm-up."""

import math

import pytest
import torch

from ealn_plugin.engine import schedule


def test_the_papers_fifty_epochs():
    factors = [schedule.linear_factor(epoch, 50, 20) for epoch in range(51)]
    assert factors[:21] == [1.0] * 21
    assert factors[21] == pytest.approx(29 / 30) and factors[49] == pytest.approx(1 / 30) and factors[50] == 0
    assert schedule.default_constant_epochs(50) == 20


@pytest.mark.parametrize("epochs, constant", [(1, 0), (1, 1), (7, 0), (7, 7), (100, 40)])
def test_never_rises_and_ends_at_zero(epochs, constant):
    factors = [schedule.linear_factor(epoch, epochs, constant) for epoch in range(epochs + 1)]
    assert all(0 < factor <= 1 for factor in factors[:-1]) and factors[-1] == 0
    assert factors == sorted(factors, reverse=True)
    assert factors[:constant] == [1.0] * constant


def test_too_many_constant_epochs():
    with pytest.raises(ValueError, match="constant_epochs is 8, expected a value from 0 to the 7"):
        schedule.linear_factor(0, 7, 8)


def test_stages():
    names = [schedule.stage_of(epoch, 3, 2).name for epoch in range(7)]
    assert names == ["embedding"] * 3 + ["generators"] * 2 + ["joint"] * 2
    assert schedule.stage_of(0, 0, 0) == schedule.JOINT
    assert [schedule.default_generator_epochs(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_a_linear_warm_up():
    assert [schedule.warm_up_factor(epoch, 4) for epoch in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert schedule.warm_up_factor(0, 0) == 1.0


def test_cosine_and_steps_are_those_of_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for epoch in range(9):
        assert schedule.cosine_factor(epoch, 8) == pytest.approx(cosine.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        cosine.step()
    assert [schedule.cosine_factor(epoch, 8, 2) for epoch in range(3)] == [1.0, 1.0, 1.0]
    assert schedule.cosine_factor(5, 8, 2) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert [schedule.step_factor(epoch, [2, 4], 0.1) for epoch in range(6)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
