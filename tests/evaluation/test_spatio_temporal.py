"""ealn_plugin/evaluation/spatio_temporal.py against loops written from the formulas."""

import math

import numpy as np
import pytest

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.evaluation.spatio_temporal import FEWEST, DistanceAndTime, Passages, TransitionTimes, WhereAndWhen


def passages(seed=0, vehicles=60, cameras=4):
    """(pids, cameras, times): every vehicle passes three cameras, 100 s a camera apart and a little more or less."""
    random = np.random.default_rng(seed)
    rows = []
    for vehicle in range(vehicles):
        start, order = random.uniform(0, 5_000), random.permutation(cameras)[:3]
        for step, camera in enumerate(order):
            start += step * 100 * math.exp(random.normal(0, 0.2))
            rows += [(vehicle, camera, start), (vehicle, camera, start + 1)]
    pids, places, times = zip(*rows)
    return np.array(pids), np.array(places), np.array(times)


def test_distance_and_time_is_the_papers_product():
    random = np.random.default_rng(1)
    distances = random.uniform(0, 9, (3, 3))
    times, cameras = random.uniform(0, 50, 5), random.integers(0, 3, 5)
    rule = DistanceAndTime(distances, longest=60.0)
    found = rule.penalties(Passages(times[:2], cameras[:2]), Passages(times, cameras))
    for i in range(2):
        for j in range(5):
            expected = abs(times[i] - times[j]) / 60 * distances[cameras[i], cameras[j]] / distances.max()
            assert found[i, j] == pytest.approx(expected)


def test_transition_times_are_fitted_as_by_hand():
    pids, cameras, times = passages()
    fitted = TransitionTimes.fit(pids, cameras, times)
    logs = {}
    for vehicle in np.unique(pids):
        mean = {c: times[(pids == vehicle) & (cameras == c)].mean() for c in np.unique(cameras[pids == vehicle])}
        for a in mean:
            for b in mean:
                if a < b:
                    logs.setdefault((a, b), []).append(math.log(max(1.0, abs(mean[a] - mean[b]))))
    every = [value for values in logs.values() for value in values]
    assert fitted.own[-1, -1] == pytest.approx((np.mean(every), np.std(every)))
    assert {pair for pair in fitted.own if pair != (-1, -1)} == {p for p, found in logs.items() if len(found) >= FEWEST}
    for pair, values in logs.items():
        assert fitted.own[pair] == pytest.approx((np.mean(values), np.std(values)))
    assert fitted.any[-1, -1][0] > fitted.own[-1, -1][0]  # strangers are further apart in time


def test_penalties_are_the_odds_of_the_two_fits():
    fitted = TransitionTimes({(-1, -1): (5.0, 1.0), (0, 1): (4.0, 0.5)}, {(-1, -1): (7.0, 2.0), (0, 1): (6.0, 1.5)})
    times, cameras = np.array([0.0, 100.0, 900.0, 0.5]), np.array([0, 1, 2, 1])
    found = fitted.penalties(Passages(times, cameras), Passages(times, cameras))
    for i in range(4):
        for j in range(4):
            pair = tuple(sorted((cameras[i], cameras[j])))
            log, odds = math.log(max(1.0, abs(times[i] - times[j]))), 0.0
            for fits, sign in ((fitted.own, 1), (fitted.any, -1)):
                mean, deviation = fits.get(pair, fits[-1, -1])
                odds += sign * (-((log - mean) ** 2) / (2 * deviation**2) - math.log(deviation))
            assert found[i, j] == pytest.approx(1 / (1 + math.exp(odds)))


@pytest.mark.parametrize(
    "pids, cameras, times",
    [([], [], []), ([1, 1], [0, 0], [1.0, 2.0]), ([1, 1], [0, 1], [1.0, math.nan]), ([1, 2], [0, 1], [1.0, 2.0])],
)
def test_training_images_that_tell_nothing(pids, cameras, times):
    with pytest.raises(ValueError, match="passes two cameras at known times"):
        TransitionTimes.fit(pids, cameras, times)
    with pytest.raises(ValueError, match="show one vehicle"):
        TransitionTimes.fit([1, 1], [0, 1], [1.0, 2.0])


class Fixed:
    form = "fixed"

    def penalties(self, asked, found):
        return np.abs(asked.times[:, None] - found.times[None]) / 10


def test_what_is_added_to_distances():
    times = np.array([0.0, 5.0, 10.0, math.nan])
    known = WhereAndWhen(times, np.zeros(4, dtype=int), Fixed(), 2.0)
    distances = np.array([[1.0, 3.0, 2.0]], dtype=np.float32)
    found = known.added_to(distances, np.array([0]), np.array([1, 2, 3]))
    assert found.dtype == np.float32  # the unknown one has the mean of 0.5 and 1
    np.testing.assert_allclose(found, [[0.5 + 2 * 0.5, 1.5 + 2 * 1.0, 1.0 + 2 * 0.75]], rtol=1e-6)
    nothing = WhereAndWhen(np.full(4, math.nan), np.zeros(4, dtype=int), Fixed(), 2.0)
    np.testing.assert_array_equal(nothing.added_to(distances, np.array([0]), np.array([1, 2, 3])), distances)


@pytest.mark.parametrize("rerank", [False, True])
def test_protocols_rank_by_appearance_and_time_together(rerank):
    """The features know the model alone; only the times tell the vehicles apart."""
    random = np.random.default_rng(3)
    pids = np.repeat(np.arange(20), 3)
    cameras = np.tile([0, 1, 2], 20)
    times = pids * 1_000.0 + cameras * 60 + random.uniform(0, 5, 60)
    embeddings = np.repeat(random.normal(size=(4, 8)), 15, axis=0) + 0.01 * random.normal(size=(60, 8))
    features = Features(embeddings, pids, cameras, np.full(60, -1), cameras == 0)
    known = WhereAndWhen(times, cameras, TransitionTimes.fit(pids, cameras, times), 1.0)
    without = PROTOCOLS["image"].evaluate(features, rerank=rerank)["mAP"]
    assert PROTOCOLS["image"].evaluate(features, rerank=rerank, where_and_when=known)["mAP"] > 0.99 > without + 0.2
    weightless = WhereAndWhen(times, cameras, known.plausibility, 0.0)
    assert PROTOCOLS["image"].evaluate(features, rerank=rerank, where_and_when=weightless)["mAP"] == pytest.approx(
        without
    )
