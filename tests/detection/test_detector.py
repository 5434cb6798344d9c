"""ealn_plugin/detection/detector.py: boxes against the ground truth, layouts, classes, and what is refused."""

import numpy as np
import pytest

from ealn_plugin.detection.detector import Boxes, Detector
from tests.helpers.detectors import CELL, write_detector


def assert_boxes(found, expected, tolerance=CELL):
    """The boxes [(class, corners)] are found, in any order, and nothing else."""
    assert len(found) == len(expected), (found, expected)
    for kind, box in expected:
        distances = np.abs(found.corners - np.array(box)).max(axis=1)
        assert distances.min() <= tolerance and found.kinds[int(distances.argmin())] == kind


def truth(traffic, frame, kinds=("car", "truck", "car", "person", "truck"), wanted=("car", "truck")):
    boxes = [(kind, traffic.box(vehicle, frame)) for vehicle, kind in enumerate(kinds)]
    return [(kind, box) for kind, box in boxes if box and kind in wanted]


@pytest.mark.parametrize("layout", ["candidates", "finished"])
def test_boxes_are_those_that_were_drawn(detectors, traffic, layout):
    detector = Detector(detectors[layout])
    for frame in (12, 18, 22, 40):
        found = detector(traffic.frame(frame))
        assert isinstance(found, Boxes) and found.corners.dtype == np.float32
        assert_boxes(found, truth(traffic, frame))
        assert (found.scores >= 0.25).all() and (np.diff(found.scores) <= 0).all()
    assert len(detector(np.zeros((128, 256, 3), np.uint8))) == 0
    persons = Detector(detectors[layout], ["person"])(traffic.frame(22))
    assert_boxes(persons, truth(traffic, 22, wanted=("person",)))


@pytest.mark.parametrize("shape", [(256, 512), (300, 300), (64, 300)])
def test_frames_of_other_sizes_are_fitted_and_boxes_fit_the_frame(detectors, shape):
    frame = np.zeros((*shape, 3), np.uint8)
    across, down = shape[1] // 4, shape[0] // 4
    frame[down : 3 * down, across : 3 * across, 0] = 255
    scale = max(shape[0] / 128, shape[1] / 256)
    (corners,) = Detector(detectors["candidates"])(frame).corners
    np.testing.assert_allclose(corners, [across, down, 3 * across, 3 * down], atol=1.5 * CELL * scale)
    assert (corners >= 0).all() and corners[2] <= shape[1] and corners[3] <= shape[0]


def test_overlapping_boxes_become_one_by_the_naive_rule(detectors):
    """Non-maximum suppression of random candidates against a loop, over all wanted classes together."""
    detector, random = Detector(detectors["candidates"]), np.random.default_rng(0)
    raw = np.concatenate([random.uniform(20, 100, (2, 200)), random.uniform(5, 60, (2, 200)), random.random((3, 200))])
    corners, scores, classes = detector._of_candidates(raw.astype(np.float32))
    best = np.maximum(raw[4], raw[6])  # car and truck
    boxes = np.concatenate([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2]).T
    kept = []
    for row in np.argsort(-best):
        if best[row] >= 0.25 and all(overlap(boxes[row], boxes[other]) <= 0.6 for other in kept):
            kept.append(row)
    order = np.argsort(-scores)
    np.testing.assert_allclose(scores[order], best[kept], rtol=1e-5)
    np.testing.assert_allclose(corners[order], boxes[kept], rtol=1e-4, atol=1e-3)
    assert classes[order].tolist() == [0 if raw[4, row] >= raw[6, row] else 2 for row in kept]


def overlap(one, other):
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, across) * max(0, down)
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def test_classes_by_name_and_by_number(detectors, tmp_path):
    assert Detector(detectors["candidates"]).identity["classes"] == {"0": "car", "2": "truck"}
    assert Detector(detectors["candidates"], ["1"]).identity["classes"] == {"1": "person"}
    with pytest.raises(ValueError, match="--detect-classes has 'tram', but .* knows car, person, truck; name its"):
        Detector(detectors["candidates"], ["car", "tram"])
    nameless = write_detector(tmp_path / "nameless.onnx", names=False)
    with pytest.raises(ValueError, match="'car', but .* knows numbers from 0 to 2"):
        Detector(nameless)
    assert Detector(nameless, ["2"]).identity["classes"] == {"2": "2"}
    with pytest.raises(ValueError, match="confidence is 1.5"):
        Detector(nameless, ["2"], 1.5)


def test_what_is_no_detector_is_refused_in_one_sentence(detectors, tmp_path):
    with pytest.raises(ValueError, match=r"gives output \[1, 512, 7\], expected one output \[1, 4 \+ classes, n\] or"):
        Detector(detectors["transposed"])
    with pytest.raises(ValueError, match=r"gives output \[1, 7, 512\], mask \[1, 1, 16, 32\], expected one output"):
        Detector(detectors["two"])
    with pytest.raises(FileNotFoundError):
        Detector(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no detector")
    with pytest.raises(ValueError, match="is no ONNX file that onnxruntime can run .* export the detector again"):
        Detector(broken)
    wrong = write_detector(tmp_path / "other size.onnx", size=(128, 256), dynamic=True)  # its places are of one size
    with pytest.raises(ValueError, match="cannot be run on an image of 640 x 640 pixels"):
        Detector(wrong)
