"""Where and when the images of a test set were taken, for rankings that ask for it."""

import logging
from typing import Any

import numpy as np

from ealn_plugin.data.times import DISTANCE_LIST, TIME_LIST, TIMES, read_camera_distances
from ealn_plugin.evaluation.spatio_temporal import DistanceAndTime, TransitionTimes, WhereAndWhen
from ealn_plugin.reports.subjects import TestSet

log = logging.getLogger(__name__)


def where_and_when_of(test_set: TestSet, form: str, weight: float) -> WhereAndWhen | None:
    """What is known of a test set; None, with a warning, where that is not enough.

    Args:
        form: one of ``spatio_temporal.FORMS``. weight: see ``WhereAndWhen``.
    Raises:
        ValueError: a broken file, or training images that tell nothing.
    """
    features = test_set.features
    times = TIMES.lookup(features.paths) if features.paths else np.full(len(features), np.nan)
    if not np.isfinite(times).any():
        log.warning(
            "%s: no image has a time, so it is ranked by appearance alone; give its folder a %s",
            test_set.name,
            TIME_LIST,
        )
        return None
    if form == "transitions":
        plausibility: Any = _fitted(test_set)
    else:
        distances = read_camera_distances(test_set.folder, int(features.camids.max()) + 1) if test_set.folder else None
        if distances is None:
            log.warning(
                "%s: the distances between its cameras are not known, so it is ranked by appearance alone; give its "
                "folder a %s, or fit transition times",
                test_set.name,
                DISTANCE_LIST,
            )
            return None
        plausibility = DistanceAndTime(distances, float(np.nanmax(times) - np.nanmin(times)))
    return WhereAndWhen(times, features.camids, plausibility, weight)


def _fitted(test_set: TestSet) -> TransitionTimes:
    paths, pids, cameras = zip(*(item[:3] for item in test_set.train)) if test_set.train else ((), (), ())
    try:
        fitted = TransitionTimes.fit(pids, cameras, TIMES.lookup(paths).tolist())
    except ValueError as error:
        raise ValueError(f"{test_set.name}: {error}") from error
    log.info(
        "%s: transition times of %d pairs of cameras, fitted on its training vehicles",
        test_set.name,
        len(fitted.own) - 1,
    )
    return fitted
