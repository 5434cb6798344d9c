"""When images were taken, in a table keyed by image path, and how far the cameras lie apart.

times.csv in a dataset's folder (header ``image,time``, seconds, image relative to the folder) says when each image was
taken; without it VeRI-776's file names do, in frames.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from ealn_plugin.data.files import malformed, read_lines

TIME_LIST, DISTANCE_LIST = "times.csv", "camera_Dist.txt"
_EPOCH = datetime(1970, 1, 1)


class TimeTable:
    """A mapping from image path to a time, NaN where it is unknown; relative and absolute paths are the same key."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}

    def update(self, mapping: Mapping[str, float]) -> None:
        """Set the times of the paths in ``mapping`` {path: seconds or frames}."""
        self._times.update({os.path.abspath(path): float(time) for path, time in mapping.items()})

    def get(self, path: str) -> float:
        """The time of an image, NaN if unknown."""
        return self._times.get(os.path.abspath(path), math.nan)

    def lookup(self, paths: Sequence[str]) -> np.ndarray:
        """float64 [n], the times of images, NaN where unknown."""
        return np.array([self.get(path) for path in paths], dtype=np.float64)


TIMES = TimeTable()
"""Filled by the dataset constructors, in the unit of each dataset."""


def read_times(folder: str, images: Iterable[str]) -> dict[str, float] | None:
    """{image: seconds} of a folder's times.csv, of those of ``images`` that it names; None where there is no such file.

    Raises:
        ValueError: a line that is not ``image,time``, with file and line.
    """
    path = os.path.join(folder, TIME_LIST)
    if not os.path.isfile(path):
        return None
    wanted, times = set(images), {}
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if number == 1 and row == ["image", "time"]:
                continue
            try:
                image, time = row[0], float(row[1])
            except (IndexError, ValueError):
                time = math.nan
            if len(row) != 2 or not math.isfinite(time):
                raise malformed(path, number, ",".join(row), "an image and its time in seconds, under 'image,time'")
            if image in wanted:
                times[image] = time
    return times


def read_camera_distances(folder: str, cameras: int = 1) -> np.ndarray | None:
    """float64 [cameras, cameras] of a folder's camera_Dist.txt, in its own unit; None where there is no such file.

    The file is a square matrix, a line for each camera, or VeRI-776's lines ``camera camera distance``, counted from 1.

    Args:
        cameras: so many it must know at least.
    Raises:
        ValueError: neither, a negative distance, or too few cameras; with the file.
    """
    path = os.path.join(folder, DISTANCE_LIST)
    if not os.path.isfile(path):
        return None
    rows = []
    for number, line in read_lines(path):
        try:
            rows.append([float(word) for word in line.replace(",", " ").split()])
        except ValueError:
            raise malformed(path, number, line, "distances between cameras as numbers") from None
    if rows and all(len(row) == len(rows) for row in rows):
        found = np.array(rows)
    elif rows and all(len(row) == 3 and row[0] >= 1 and row[1] >= 1 for row in rows):
        found = np.zeros((int(max(max(row[:2]) for row in rows)),) * 2)
        for one, other, distance in rows:
            found[int(one) - 1, int(other) - 1] = found[int(other) - 1, int(one) - 1] = distance
    else:
        raise ValueError(f"{path} holds {len(rows)} lines that are no square matrix, expected one line for each camera")
    if len(found) < cameras or not (found >= 0).all():
        raise ValueError(
            f"{path} knows {len(found)} cameras, expected at least {cameras} and no negative distance; unpack it again"
        )
    return found


def time_number(text: str) -> tuple[float, bool]:
    """(number, whether it is a date) of a time as people write it: seconds since 1970, or the number itself.

    Args:
        text: a number, or a date in ISO 8601 ('2024-05-01', '2024-05-01T16:30', '2024-05-01 16:30:05'). A date
            without a time zone is compared as it stands; one with a zone as its UTC.
    Raises:
        ValueError: something else; one sentence.
    """
    text = text.strip()
    try:
        number = float(text)
        if math.isfinite(number):
            return number, False
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"time {text!r} is neither a number nor a date, expected such as 16450 or 2024-05-01T16:30; correct it"
        ) from None
    offset = moment.utcoffset() or timedelta()
    return (moment.replace(tzinfo=None) - offset - _EPOCH).total_seconds(), True


def time_text(number: float, dated: bool) -> str:
    """What ``time_number`` reads, '' for NaN."""
    if math.isnan(number):
        return ""
    if not dated:
        return str(int(number)) if number == int(number) else repr(float(number))
    return (_EPOCH + timedelta(seconds=number)).isoformat(" ", "milliseconds" if number % 1 else "seconds")
