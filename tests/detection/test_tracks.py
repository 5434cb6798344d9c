"""ealn_plugin/detection/tracks.py: who is who among boxes that are known."""

import numpy as np
import pytest

from ealn_plugin.detection.detector import Boxes
from ealn_plugin.detection.tracks import Tracker

pytest.importorskip("supervision", reason='pip install -c constraints.txt -e ".[detect]"')


def boxes(*corners):
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), np.full(len(corners), 0.9), ["car"] * len(corners))


def test_two_that_pass_each_other_and_one_that_is_hidden_keep_their_numbers():
    tracker, numbers = Tracker(rate=10), {"right": set(), "left": set()}
    assert tracker.memory == 10
    for frame in range(40):
        right = (5 * frame, 10, 5 * frame + 60, 50)
        left = (300 - 5 * frame, 60, 360 - 5 * frame, 100)
        shown = [right] if 15 <= frame < 20 else [left, right]
        for number, row in tracker.update(boxes(*shown)):
            numbers["right" if shown[row] == right else "left"].add(number)
    assert len(numbers["right"]) == len(numbers["left"]) == 1 and numbers["right"] != numbers["left"]


def test_frames_without_vehicles_and_a_memory_that_ends():
    tracker = Tracker(rate=10)
    assert list(tracker.update(boxes())) == []
    here = boxes((10, 10, 60, 60))
    first = {number for _ in range(5) for number, _ in tracker.update(here)}
    for _ in range(2 * tracker.memory):
        assert list(tracker.update(boxes())) == []
    later = {number for _ in range(5) for number, _ in tracker.update(here)}
    assert len(first) == len(later) == 1 and first != later
