"""ealn_plugin/evaluation/calibration.py: probabilities that are the shares they promise, and what cannot be fitted."""

import json

import numpy as np
import pytest

from ealn_plugin.evaluation import calibration
from ealn_plugin.evaluation.calibration import Calibration, fit


def vehicles_of(count=120, images=4, noise=0.35, seed=0):
    """(features, vehicles, cameras): clusters that overlap; the four images come from two cameras."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, 6))
    labels = np.repeat(np.arange(count), images)
    features = centres[labels] + noise * random.normal(size=(len(labels), 6))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    return features, [str(label) for label in labels], ["a", "a", "b", "b"] * count


def test_pairs_are_those_of_a_loop():
    features, vehicles, cameras = vehicles_of(count=12)
    found = calibration._pairs(features, np.array(vehicles), np.array(cameras), np.arange(len(features)))
    expected = []
    for i in range(len(features)):
        near = [
            (float(features[i] @ features[j]), vehicles[i] == vehicles[j], vehicles[i])
            for j in range(len(features))
            if cameras[i] != cameras[j]
        ]
        expected += sorted(near, key=lambda pair: -pair[0])[: calibration.HITS]
    np.testing.assert_allclose(found[0], [pair[0] for pair in expected], atol=1e-6)
    assert found[1].tolist() == [pair[1] for pair in expected] and found[2].tolist() == [pair[2] for pair in expected]


def test_the_fit_recovers_the_curve_that_made_the_labels():
    random = np.random.default_rng(1)
    similarity = random.uniform(-1, 1, 60_000)
    same = random.random(60_000) < 1 / (1 + np.exp(-(6 * similarity - 2)))
    slope, intercept = calibration._fit(similarity, same)
    assert slope == pytest.approx(6, abs=0.25) and intercept == pytest.approx(-2, abs=0.12)


def test_probabilities_of_vehicles_that_were_not_fitted_are_shares():
    fitted = fit(*vehicles_of(), source="made up")
    assert (
        fitted.vehicles == 120 and fitted.pairs == 480 * calibration.HITS and fitted.slope > 0 and fitted.error < 0.05
    )
    rising = [share for _, share, count in fitted.shares if count > 50]
    assert rising[-1] > rising[0] + 0.3
    other = vehicles_of(seed=5)
    similarity, same, _ = calibration._pairs(other[0], np.array(other[1]), np.array(other[2]), np.arange(480))
    assert abs(fitted.probability(similarity).mean() - same.mean()) < 0.02
    assert Calibration(**json.loads(json.dumps(fitted.as_json()))) == fitted


def test_similarities_that_separate_all_vehicles_stay_finite():
    fitted = fit(*vehicles_of(noise=0.001))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert fitted.probability(1.0) > 0.99 and fitted.probability(0.5) < 0.01


@pytest.mark.parametrize("count", [0, 1, 6])
def test_too_little_to_fit(count):
    with pytest.raises(ValueError, match=f"the images: {count} vehicles have hits.* give more labelled images"):
        fit(*vehicles_of(count=count) if count else (np.empty((0, 6), np.float32), [], []))


def test_only_some_images_ask():
    whole, some = fit(*vehicles_of()), fit(*vehicles_of(), most=200)
    assert some.pairs == 200 * calibration.HITS and some == fit(*vehicles_of(), most=200) != whole
    assert some.slope == pytest.approx(whole.slope, rel=0.2) and fit(*vehicles_of(), most=480) == whole
