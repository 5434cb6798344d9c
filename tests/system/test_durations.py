"""ealn_plugin/system/durations.py."""

import itertools

from ealn_plugin.system.durations import Durations


def test_parts_are_added_up_and_told_longest_first():
    clock = itertools.accumulate((0, 0, 2, 0, 0.5, 0, 3, 1.5))  # when made, then in and out of the parts, then told
    durations = Durations(lambda: next(clock))
    for part in ("features", "short", "figures"):
        with durations.of(part):
            pass
    assert durations.seconds == {"features": 2, "short": 0.5, "figures": 3}
    assert durations.text() == "took 7 s: figures 3 s, features 2 s"


def test_nothing_long_is_nothing_to_tell():
    assert Durations(lambda: 0.0).text() == "took 0 s"
