"""ealn_plugin/engine/monitoring/remaining.py: known times give the known rest."""

from ealn_plugin.engine.monitoring.remaining import RemainingTime


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def timed(remaining, clock, kind, seconds):
    """An epoch of steps that take these seconds."""
    remaining.begin()
    for value in seconds:
        clock.now += value
        remaining.step(kind)


def test_each_kind_of_step_has_its_own_price():
    clock = Clock()
    remaining = RemainingTime(["embedding"] * 2 + ["generators"] + ["joint"] * 2, clock)
    assert remaining.text(0, 10, 0) == ""
    timed(remaining, clock, "embedding", [99.0, 1.0, 1.0])
    assert remaining.text(0, 10, 3) == "00:17 + 10 steps (generators) + 20 steps (joint) left"
    timed(remaining, clock, "generators", [99.0, 12.0, 12.0])
    timed(remaining, clock, "joint", [99.0, 4.0, 8.0])
    assert remaining.text(2, 10, 3) == "03:24 left", "7 steps of 12 s, 20 of 6 s"
    assert remaining.text(4, 10, 9) == "00:06 left"


def test_epochs_without_steps_cost_nothing():
    clock = Clock()
    remaining = RemainingTime(["embedding", "", "joint"], clock)
    assert remaining.steps_left(0, 10, 4) == {"embedding": 6, "joint": 10}
    assert remaining.steps_left(1, 10, 10) == {"joint": 10}
    assert RemainingTime(["embedding"]).steps_left(0, 5, 5) == {}
