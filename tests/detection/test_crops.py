"""ealn_plugin/detection/crops.py: what is cut out, what counts as good, and which pictures of a track are kept."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ealn_plugin.detection.crops import Crop, Track, crop, sharpness


def textured(height=100, width=160):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_the_box_with_a_margin_as_far_as_the_frame_goes():
    frame = textured()
    found = crop(frame, np.array([40, 20, 80, 60]), 7, 0.7)
    np.testing.assert_array_equal(found.pixels, frame[18:62, 38:82])
    assert (found.number, found.seconds) == (7, 0.7)
    np.testing.assert_array_equal(crop(frame, np.array([0, 0, 40, 40]), 0, 0).pixels, frame[:42, :42])


def test_larger_and_sharper_and_whole_is_better():
    frame = textured()
    blurred = cv2.GaussianBlur(frame, (0, 0), 4)
    assert sharpness(blurred) < sharpness(frame)
    box = np.array([40, 20, 80, 60])
    assert crop(blurred, box, 0, 0).quality < crop(frame, box, 0, 0).quality
    flat = np.full_like(frame, 90)
    assert crop(flat, box, 0, 0).quality < crop(flat, np.array([30, 10, 90, 70]), 0, 0).quality
    assert crop(flat, np.array([0, 10, 60, 70]), 0, 0).quality < 0.1 * crop(flat, box, 0, 0).quality * (60 / 40) ** 2


def candidate(number, quality):
    return Crop(number, number / 10, np.zeros(4), quality, np.zeros((1, 1, 3), np.uint8))


@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=200), st.integers(1, 5))
def test_the_best_of_each_part_of_the_time(qualities, wanted):
    track = Track(wanted)
    for number, quality in enumerate(qualities):
        track.add(candidate(10 + number, quality), "car")
        assert len(track._candidates) <= 8 * wanted
    best = track.best()
    numbers = [one.number - 10 for one in best]
    assert numbers == sorted(set(numbers)) and 1 <= len(best) <= wanted and track.seen == len(qualities)
    assert max(one.quality for one in best) == max(qualities)
    if len(qualities) <= 8 * wanted:  # every candidate is still there: the naive rule
        parts = [[q for n, q in enumerate(qualities) if n * wanted // len(qualities) == part] for part in range(wanted)]
        assert [one.quality for one in best] == [max(part) for part in parts if part]


def test_the_class_is_that_of_most_frames():
    track = Track(2)
    for number, kind in enumerate(["truck", "car", "car"]):
        track.add(candidate(number, 1.0), kind)
    assert track.kind == "car"
    assert len(track.best()) == 2
