"""Where and when in a search: what an index knows of its cameras, and how well each hit fits.

The rules are those of ``evaluation/spatio_temporal.py``: distances of cameras and times (Liu et al., ECCV 2016), or
transition times fitted on labelled vehicles. The ``CANDIDATES`` images that look most like a query are compared with
its camera and time, as far as theirs are known, and ordered by appearance, place and time.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ealn_plugin.data.times import DISTANCE_LIST, time_number, time_text
from ealn_plugin.evaluation.spatio_temporal import FORMS, DistanceAndTime, Passages, TransitionTimes
from ealn_plugin.search.facts import taken
from ealn_plugin.search.records import Records
from ealn_plugin.system.entrances import command

log = logging.getLogger(__name__)

CANDIDATES = 2_000
"""So many images that look most like the query are ordered by where and when; for more than a quarter of them, 4 k."""
WEIGHT = 0.5
"""Of where and when against the mean distance of two images, as in ``ealn evaluate``."""


@dataclass(frozen=True)
class Whereabouts:
    """By which rule hits are judged, and where and when the queries were taken.

    Attributes:
        form: 'distance' or 'transitions'.
        cameras: a text for each query, as the index calls its cameras; '' where unknown.
        times: a text for each query, as ``time_number`` reads them and hits have them; '' where unknown.
        weight: of a hit that does not fit at all, against the mean distance of two images; at least 0.

    Raises:
        ValueError: an unknown form, a negative weight, no time, or other counts of cameras and times; one sentence.
    """

    form: str
    cameras: Sequence[str]
    times: Sequence[str]
    weight: float = WEIGHT

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"where_and_when is {self.form!r}, expected one of {', '.join(FORMS)}")
        if not (self.weight >= 0 and math.isfinite(self.weight)):
            raise ValueError(f"where_weight is {self.weight:g}, expected 0 or more")
        for name in ("cameras", "times"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a list with a text for each query")
        if len(self.cameras) != len(self.times):
            raise ValueError(f"{len(self.cameras)} cameras and {len(self.times)} times, expected one for each query")
        for time in self.times:
            time_number(str(time)) if time else None

    def __len__(self) -> int:
        return len(self.cameras)

    def known(self, row: int) -> bool:
        """Whether camera and time of a query are known; its hits are ordered by appearance alone where not."""
        return bool(self.cameras[row]) and bool(self.times[row])


@dataclass(frozen=True)
class CameraDistances:
    """How far the cameras of a dataset lie apart.

    Attributes:
        cameras: labels. distances: [cameras][cameras], in any unit. source: the dataset.
    """

    cameras: list
    distances: list
    source: str = ""

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``CameraDistances(**values)`` is it again."""
        return asdict(self)

    def rule(self, longest: float) -> DistanceAndTime:
        """The rule of Liu et al. for cameras by their place in the list. longest: see ``DistanceAndTime``."""
        return DistanceAndTime(np.array(self.distances, dtype=np.float64), longest)

    def __str__(self) -> str:
        return f"distances of {len(self.cameras)} cameras ({self.source})"


@dataclass(frozen=True)
class FittedTransitions:
    """How long labelled vehicles take between cameras.

    Attributes:
        cameras: labels.
        own, any: [camera, camera, mean, deviation] of the logarithm of the time between two passages of one vehicle,
            and of two; cameras by their place in the list, -1 and -1 for pairs with too few passages.
        dated: whether the times were dates. vehicles: how many were labelled. source: what the user called the images.
    """

    cameras: list
    own: list
    any: list
    dated: bool
    vehicles: int
    source: str = ""

    @classmethod
    def fit(cls, records: Records, source: str = "") -> "FittedTransitions":
        """Fit on labelled images; of numbers and dates as times those count that more images have.

        Raises:
            ValueError: the images tell nothing of it; one sentence.
        """
        timed = np.isfinite(records.times) & np.array([bool(camera) for camera in records.cameras], dtype=bool)
        timed &= np.array([bool(vehicle) for vehicle in records.vehicles], dtype=bool)
        dated = 2 * int(records.dated[timed].sum()) > int(timed.sum())
        used = records.take(timed & (records.dated == dated))
        names, cameras = np.unique(used.cameras.astype(str), return_inverse=True)
        labels, vehicles = np.unique(used.vehicles.astype(str), return_inverse=True)
        try:
            fitted = TransitionTimes.fit(vehicles.tolist(), cameras.tolist(), used.times.tolist())
        except ValueError as error:
            raise ValueError(f"{source or 'the images'}: {error}") from error
        own, every = ([[*pair, *values] for pair, values in fits.items()] for fits in (fitted.own, fitted.any))
        return cls(names.tolist(), own, every, dated, len(labels), source)

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``FittedTransitions(**values)`` is it again."""
        return asdict(self)

    def rule(self) -> TransitionTimes:
        """The rule for cameras by their place in the list, any other number standing for a camera without passages."""
        own, every = ({(one, other): (mean, dev) for one, other, mean, dev in fits} for fits in (self.own, self.any))
        return TransitionTimes(own, every)

    def __str__(self) -> str:
        pairs = len(self.own) - 1
        return f"transition times of {pairs} pairs of cameras, fitted on {self.vehicles} vehicles ({self.source})"


class Fits:
    """How well images fit queries by where and when, and the order that follows.

    Args:
        places: what the index knows, see ``Manifest``. asked: of the queries.
        longest: function of whether times are dates to the time between the first and the last image.
    Raises:
        ValueError: the index does not know what the form needs; one sentence.
    """

    def __init__(self, places: Mapping[str, Any], asked: Whereabouts, longest: Callable[[bool], float]) -> None:
        known = forms_of(places)
        if asked.form not in known:
            raise ValueError(_MISSING[asked.form].format(command=command("search")))
        self._known, self._asked, self._longest = known[asked.form], asked, longest
        self._numbers = {camera: number for number, camera in enumerate(self._known.cameras)}
        self._scale = asked.weight * max(float(places.get("mean_distance", 0.0)), 1e-12)

    def of(self, row: int, records: Records) -> np.ndarray:
        """float64 [n] in [0, 1], 1 where an image fits the query of that row best; NaN where it is not known."""
        fits = np.full(len(records), math.nan)
        if not self._asked.known(row):
            return fits
        time, dated = time_number(str(self._asked.times[row]))
        camera = self._number(str(self._asked.cameras[row]))
        cameras = np.array([self._number(camera) for camera in records.cameras.tolist()], dtype=np.int64)
        known = np.isfinite(records.times) & (records.dated == dated) & (cameras >= 0)
        if isinstance(self._known, CameraDistances):
            rule: Any = self._known.rule(self._longest(dated))
            known &= camera >= 0
        else:
            rule = self._known.rule()
            known &= dated == self._known.dated
        if known.any():
            asked = Passages(np.array([time]), np.array([camera]))
            fits[known] = 1 - rule.penalties(asked, Passages(records.times[known], cameras[known]))[0]
        return fits

    def _number(self, camera: str) -> int:
        """The place of a camera in the list; -1 where nothing is known of it."""
        without = len(self._numbers) if camera and isinstance(self._known, FittedTransitions) else -1
        return self._numbers.get(camera, without)

    def scores(self, similarity: np.ndarray, fits: np.ndarray) -> np.ndarray:
        """float64 [n]: similarity + weight * mean distance * (fit - mean fit); the similarity where no fit is known."""
        known = np.isfinite(fits)
        gains = np.where(known, fits - fits[known].mean() if known.any() else 0.0, 0.0)
        return similarity.astype(np.float64) + self._scale * gains


_MISSING = {
    "distance": "the index knows no distances between its cameras, expected a dataset whose folder has a "
    f"{DISTANCE_LIST}; put it there and run {{command}} add with the dataset again, or fit transition times with "
    "{command} calibrate --transitions",
    "transitions": "the index knows no transition times; fit them on labelled images with {command} calibrate "
    "--transitions",
}


def forms_of(places: Mapping[str, Any]) -> dict[str, Any]:
    """{form: ``CameraDistances`` or ``FittedTransitions``} that an index has."""
    kinds = {"distance": CameraDistances, "transitions": FittedTransitions}
    return {form: kinds[form](**places[form]) for form in FORMS if places.get(form)}


def check_camera(index: Any, form: str, camera: str) -> None:
    """Refuse a query's camera whose distances the index does not know; ``camera``: '' for none.

    Raises:
        ValueError: one sentence.
    """
    known = forms_of(index.manifest.places).get("distance")
    if form == "distance" and camera and known and camera not in known.cameras:
        raise ValueError(
            f"the query's camera is {camera!r}, whose distances the index does not know, expected one of "
            f"{', '.join(known.cameras)}"
        )


def whereabouts_of(
    index: Any, paths: Sequence[str], form: str, weight: float = WEIGHT, camera: str = "", time: str = ""
) -> Whereabouts:
    """Where and when image files were taken: as given, as the index knows it, or as the file tells (``facts.taken``).

    Args:
        index: ``SearchIndex``. paths: absolute file names. form, weight: see ``Whereabouts``.
        camera, time: of all of them; '': not given.
    Raises:
        ValueError: a time that is none, a camera whose distances are not known, or a broken times.csv.
    """
    check_camera(index, form, camera)
    records = index.named(paths)
    rows = {path: row for row, path in enumerate(records.paths)}
    cameras, times = [], []
    for path in paths:
        row = rows.get(path)
        if camera and time:
            known: tuple[str, float, bool] = ("", math.nan, False)
        elif row is None:
            known = taken(path)
        else:
            known = records.cameras[row], float(records.times[row]), bool(records.dated[row])
        cameras.append(camera or known[0])
        times.append(time or time_text(*known[1:]))
        if not (cameras[-1] and times[-1]):
            log.warning(
                "%s: its camera or time is not known, so its hits are ranked by appearance alone; give --query-camera "
                "and --query-time",
                path,
            )
    return Whereabouts(form, cameras, times, weight)
