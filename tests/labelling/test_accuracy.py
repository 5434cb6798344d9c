"""view_report.py: shares and tables against counts made by hand."""

import json

import numpy as np
import pytest

from ealn_plugin.data.viewpoints import View
from ealn_plugin.labelling.accuracy import decide, format_view_report, view_report

PROBABILITIES = np.array([[0.95, 0.03, 0.02], [0.2, 0.7, 0.1], [0.0, 1.0, 0.0], [0.5, 0.1, 0.4], [0.0, 0.1, 0.9]])
TRUTH = [View.FRONT, View.FRONT, View.REAR, View.SIDE, View.SIDE]


def test_the_unsure_and_the_unreadable_stay_unknown():
    views, confidences = decide([*PROBABILITIES, [0, 0, 0]], 0.9)
    assert views.tolist() == [0, -1, 1, -1, 2, -1]
    np.testing.assert_allclose(confidences, [0.95, 0.7, 1.0, 0.5, 0.9, 0.0])
    assert decide([[0, 0, 0]], 0.0)[0].tolist() == [View.UNKNOWN]
    assert decide(np.empty((0, 3)), 0.5)[0].shape == (0,)


def test_shares_and_confusion_by_hand():
    report = view_report(PROBABILITIES, TRUTH, 0.6)
    assert report["confusion"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]
    assert report["accuracy"] == pytest.approx(3 / 5) and report["front_rear_accuracy"] == pytest.approx(2 / 3)
    assert report["coverage"] == pytest.approx(4 / 5) and report["labelled_accuracy"] == pytest.approx(3 / 4)
    assert report["labelled_front_rear_accuracy"] == pytest.approx(2 / 3)
    json.dumps(report)


def test_calibration_error_by_a_loop():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.4] * 3, 200)
    truth = rng.integers(0, 3, 200)
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = [
            i
            for i in range(200)
            if low <= probabilities[i].max() < low + 0.1 or (low == 0.9 and probabilities[i].max() == 1)
        ]
        if inside:
            confidence = np.mean([probabilities[i].max() for i in inside])
            accuracy = np.mean([probabilities[i].argmax() == truth[i] for i in inside])
            expected += len(inside) / 200 * abs(confidence - accuracy)
    assert view_report(probabilities, truth, 0.5)["calibration_error"] == pytest.approx(expected)


def test_nothing_to_take_a_share_of():
    report = view_report([[0.2, 0.2, 0.6]], [View.SIDE], 0.9)
    assert report["front_rear_accuracy"] is None and report["labelled_accuracy"] is None
    assert "front/rear accuracy -" in format_view_report(report)


def test_the_text_has_the_table():
    lines = format_view_report(view_report(PROBABILITIES, TRUTH, 0.6)).splitlines()
    assert "accuracy 60.00%, front/rear accuracy 66.67%" in lines[0]
    assert [line.split() for line in lines[-4:]] == [
        ["front", "rear", "side", "unknown"],
        ["front", "1", "1", "0", "0"],
        ["rear", "0", "1", "0", "0"],
        ["side", "0", "0", "1", "1"],
    ]


@pytest.mark.parametrize("truth", [[], [-1]])
def test_wrong_truth(truth):
    with pytest.raises(ValueError, match="expected at least one and only"):
        view_report(np.ones((len(truth), 3)) / 3, truth, 0.5)
