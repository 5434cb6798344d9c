"""Which pictures of a track are kept: the largest and sharpest of each part of the time that it was seen."""

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

_WAITING = 8  # so many times as many candidates as crops are kept while a track lasts
_SIDE = 64  # pixels of the copy by which sharpness is measured, so that sizes do not matter
_CUT = 0.05  # quality of a vehicle that the frame's edge may have cut, against a whole one
MARGIN = 0.05
"""Of the box's width and height, added on each side of a crop."""


@dataclass(frozen=True)
class Crop:
    """A picture of a vehicle: its frame's number and seconds, box [4] in pixels, quality, pixels [h, w, 3] in RGB."""

    number: int
    seconds: float
    corners: np.ndarray
    quality: float
    pixels: np.ndarray


def crop(frame: np.ndarray, corners: np.ndarray, number: int, seconds: float) -> Crop:
    """The Crop of a box with a little margin, as far as the frame, uint8 [height, width, 3], goes."""
    height, width = frame.shape[:2]
    left, top, right, bottom = map(float, corners)
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    x1, y1 = max(0, int(left - across)), max(0, int(top - down))
    x2, y2 = min(width, int(np.ceil(right + across))), min(height, int(np.ceil(bottom + down)))
    pixels = np.ascontiguousarray(frame[y1:y2, x1:x2])
    cut = left <= 1 or top <= 1 or right >= width - 1 or bottom >= height - 1
    area = (right - left) * (bottom - top)
    return Crop(number, seconds, np.asarray(corners), area * sharpness(pixels) * (_CUT if cut else 1), pixels)


def sharpness(pixels: np.ndarray) -> float:
    """Root of the mean square of the Laplacian of a picture [h, w, 3], at one size for all, plus 1."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return 1 + float(np.sqrt(np.mean(cv2.Laplacian(small, cv2.CV_32F) ** 2)))


class Track:
    """A vehicle that is being followed; it holds few candidates, however long it is seen.

    Args:
        wanted: crops at the end.

    Attributes:
        seen: frames in which it was found. last: number of the last of them.
    """

    def __init__(self, wanted: int) -> None:
        self.seen, self.last = 0, 0
        self._wanted, self._gap = wanted, 1
        self._first = 0
        self._kinds: Counter[str] = Counter()
        self._candidates: dict[int, Crop] = {}

    @property
    def kind(self) -> str:
        """The class that it was taken for most often."""
        return self._kinds.most_common(1)[0][0]

    def add(self, candidate: Crop, kind: str) -> None:
        """One more sighting; of those within a stretch of frames the best is kept, and stretches grow with time."""
        if not self.seen:
            self._first = candidate.number
        self.seen, self.last = self.seen + 1, candidate.number
        self._kinds[kind] += 1
        self._keep(candidate)
        while len(self._candidates) > _WAITING * self._wanted:
            self._gap *= 2
            waiting, self._candidates = self._candidates, {}
            for one in waiting.values():
                self._keep(one)

    def _keep(self, candidate: Crop) -> None:
        place = (candidate.number - self._first) // self._gap
        before = self._candidates.get(place)
        if before is None or candidate.quality > before.quality:
            self._candidates[place] = candidate

    def best(self) -> list[Crop]:
        """The crops to keep, in the order of time: the best one of each of equal parts of the time."""
        length = self.last - self._first + 1
        parts: dict[int, Crop] = {}
        for one in self._candidates.values():
            part = (one.number - self._first) * self._wanted // length
            if part not in parts or one.quality > parts[part].quality:
                parts[part] = one
        return [parts[part] for part in sorted(parts)]
