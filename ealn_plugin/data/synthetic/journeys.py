"""When each picture was taken: vehicles drive from camera to camera, as far and as fast as cars do."""

import pathlib

import numpy as np

from ealn_plugin.data.synthetic import layouts
from ealn_plugin.data.synthetic.population import Population
from ealn_plugin.data.times import TIME_LIST
from ealn_plugin.system.files import replacing

JOURNEYS = 11
"""Of the seed sequences: a stream of its own, so that nothing else of a data set changes."""
HOURS = 1
_SPEED, _SPREAD = 9.0, 0.3  # metres a second, and the deviation of its logarithm
_DETOUR = 1.3  # streets are longer than the line between two cameras
_STOPS, _STOP_SECONDS = 0.2, 300.0  # share of the ways with a stop, and its mean
_FRAME_SECONDS = 0.2


def draw_times(drawn: Population, distances: np.ndarray, seed: int) -> list[list[float]]:
    """The seconds at which every identity's pictures are taken, beginning within ``HOURS``.

    Args:
        drawn: Population. distances: [cameras, cameras] in metres. seed: of the data set.
    """
    result = []
    for identity, pictures in zip(drawn.identities, drawn.pictures):
        rng = np.random.default_rng((seed, JOURNEYS, identity.number))
        now, before, track, times = rng.uniform(0, 3600 * HOURS), None, None, []
        for picture in pictures:
            if picture.track != track:
                if before is not None:
                    way = _DETOUR * distances[before, picture.camera]
                    now += way / (_SPEED * np.exp(rng.normal(0, _SPREAD)))
                    now += rng.exponential(_STOP_SECONDS) if rng.random() < _STOPS else 0.0
                before, track = picture.camera, picture.track
            times.append(now + _FRAME_SECONDS * picture.frame)
        result.append(times)
    return result


def write_times(folder: pathlib.Path, drawn: Population, names: list[list[list[str]]], seed: int) -> None:
    """Write times.csv, the same bytes for the same data set.

    Args:
        names: paths of each identity's pictures, as the layout has them.
    """
    times = draw_times(drawn, layouts.camera_distances(len(drawn.cameras)), seed)
    rows = [
        (path, f"{second:.1f}")
        for pictures, seconds in zip(names, times)
        for paths, second in zip(pictures, seconds)
        for path in paths
    ]
    with replacing(folder / TIME_LIST) as unfinished:
        layouts.write_csv(pathlib.Path(unfinished), ("image", "time"), sorted(rows))
