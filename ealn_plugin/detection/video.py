"""The frames of a video file or of a folder of images, one after the other, with their times."""

import logging
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ealn_plugin.data.folders import images_of_folder
from ealn_plugin.system.pictures import read_picture

log = logging.getLogger(__name__)

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts")
FPS = 25.0
"""Frames a second of a folder of frames, unless the user says otherwise."""

_CAMERA = re.compile(r"(?<![a-z])c(?:am(?:era)?)?[ _-]?0*(\d{1,6})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Frame:
    """One frame: its number from 0, seconds since the first one, and its pixels, uint8 [height, width, 3], RGB."""

    number: int
    seconds: float
    pixels: np.ndarray


def is_video(source: str) -> bool:
    """Whether a source is a video by its name."""
    return os.path.splitext(source)[1].lower() in VIDEO_EXTENSIONS


def camera_of(source: str) -> str:
    """The camera that a file or folder is named after: '3' of ``cam_03_morning.mp4`` or ``c3.avi``, else its name."""
    name = os.path.basename(os.path.abspath(source))
    name = os.path.splitext(name)[0] if is_video(source) else name
    found = _CAMERA.search(name)
    return found[1] if found else name


class Clip:
    """A video file, or a folder of frames in the order of their names ('frame 10' after 'frame 9').

    Args:
        source: the file or folder. fps: frames a second of a folder; a video says it itself.

    Attributes:
        path: absolute. fps: frames a second. count: how many frames it says it has, 0 where it does not say.

    Raises:
        FileNotFoundError, ValueError: it is not there, or no video; one sentence.
    """

    def __init__(self, source: str, fps: float = FPS) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"--fps is {fps:g}, expected frames a second, more than 0")
        self.path, self._images = os.path.abspath(source), []
        if os.path.isdir(source):
            folder = images_of_folder(source)
            self._images = sorted((folder.path(image) for image in folder.views), key=_natural)
            self.fps, self.count = fps, len(self._images)
        elif not os.path.exists(source):
            raise FileNotFoundError(f"there is no video or folder of frames {source!r}; check the path")
        else:
            video = _opened(self.path)
            said = video.get(cv2.CAP_PROP_FPS)
            self.fps = said if math.isfinite(said) and 0 < said <= 1000 else fps
            self.count = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
            video.release()

    @property
    def identity(self) -> list[Any]:
        """What tells that a clip is the one of before: size and time of change of the file, or names of the frames."""
        if self._images:
            return [len(self._images), os.path.basename(self._images[0]), os.path.basename(self._images[-1]), self.fps]
        state = os.stat(self.path)
        return [state.st_size, state.st_mtime_ns]

    def __iter__(self) -> Iterator[Frame]:
        """Yield every ``Frame``.

        Raises:
            ValueError: not even one can be decoded. UnreadableImageError: an image of a folder cannot.
        """
        frames = self._of_folder() if self._images else self._of_video()
        done = 0
        for frame in frames:
            yield frame
            done += 1
        if not done:
            raise ValueError(f"{self.path!r} has no frame that can be decoded; it is damaged, or no video: replace it")
        if done < self.count - max(2, self.fps):  # what a file says of itself may be a frame or two too many
            log.warning(
                "%s ends after %d of the %d frames that it announces; the rest is damaged or was never written",
                self.path,
                done,
                self.count,
            )

    def _of_folder(self) -> Iterator[Frame]:
        for number, path in enumerate(self._images):
            yield Frame(number, number / self.fps, np.asarray(read_picture(path)))

    def _of_video(self) -> Iterator[Frame]:
        video = _opened(self.path)
        try:
            number, began, before = 0, 0.0, -math.inf
            while True:
                there, pixels = video.read()
                if not there:
                    return
                said = video.get(cv2.CAP_PROP_POS_MSEC) / 1000  # telephones record at no fixed rate
                began = began if number else said
                seconds = said - began if math.isfinite(said) and said - began > before else number / self.fps
                yield Frame(number, seconds, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                number, before = number + 1, seconds
        finally:
            video.release()


def _opened(path: str) -> Any:
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise ValueError(
            f"{path!r} cannot be opened as a video; it is damaged, or of a kind that OpenCV cannot read: convert it, "
            "for example to H.264 in an .mp4"
        )
    return video


def _natural(path: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path) if part]
