"""A clip from beginning to end: vehicles found, followed, and their crops written as files into a folder.

    FOLDER/CLIP/track_00007_frame_000123.jpg    the crops
    FOLDER/CLIP/detections.jsonl                the boxes of every frame so far, so that a killed process goes on
    FOLDER/CLIP/crops.json                      written at the end: which crops there are, and with which settings

After a kill the frames that were done are decoded again, but not searched again by the detector, and everything else
follows from the boxes; so the crops are those of a process that was not killed.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ealn_plugin.detection.crops import Track, crop
from ealn_plugin.detection.detector import Boxes, Detector
from ealn_plugin.detection.tracks import Tracker
from ealn_plugin.detection.video import Clip
from ealn_plugin.system.files import replacing, write_atomically

log = logging.getLogger(__name__)

CROPS, DETECTIONS, FORMAT = "crops.json", "detections.jsonl", 1
_JPEG_QUALITY = 95
_TOLD = 50  # frames after which boxes reach the disk


@dataclass(frozen=True)
class Settings:
    """How a clip is cropped.

    Attributes:
        per_track: crops of a vehicle, at most. every: look at every so many-th frame.
        least: a vehicle that is seen in fewer frames is left out, as a false alarm.

    Raises:
        ValueError: less than 1.
    """

    per_track: int = 4
    every: int = 1
    least: int = 3

    def __post_init__(self) -> None:
        for flag, value in (("--crops-per-track", self.per_track), ("--detect-every", self.every)):
            if value < 1:
                raise ValueError(f"{flag} is {value}, expected 1 or more")


@dataclass(frozen=True)
class CropFile:
    """A crop on the disk.

    Attributes:
        image: absolute path. track: number of the vehicle in its clip, from 1, in the order in which they leave.
        kind: class of the detector.
        frame: number from 0; seconds: since the first frame. box: left, top, right, bottom in pixels of the frame.
    """

    image: str
    track: int
    kind: str
    frame: int
    seconds: float
    box: list


class ClipCropper:
    """Makes crops of clips, each in a folder of its own below one folder.

    Args:
        detector: ``Detector``. folder: where the crops go, created if needed. settings: ``Settings``.
    """

    def __init__(self, detector: Detector, folder: str, settings: Settings | None = None) -> None:
        self._detector, self.folder, self._settings = detector, os.path.abspath(folder), settings or Settings()

    def crop(self, clip: Clip, progress: bool = True) -> list[CropFile]:
        """The crops of a clip, by track and time; those of a clip that was finished earlier are not made again.

        Raises:
            ValueError: no frame can be decoded, or the folder has crops of this clip made with other settings.
            OSError: the folder cannot be written.
        """
        wanted = {
            "format": FORMAT,
            "clip": clip.path,
            "identity": clip.identity,
            "detector": self._detector.identity,
            "every": self._settings.every,
        }
        folder = self._folder_of(clip)
        chosen = {**wanted, "settings": asdict(self._settings)}
        before = _read_json(os.path.join(folder, CROPS))
        if before is not None:
            return _finished(folder, before, chosen)
        os.makedirs(folder, exist_ok=True)
        crops = []
        tracks = self._tracks(clip, os.path.join(folder, DETECTIONS), wanted, progress)
        for number, track in enumerate(tracks, 1):
            crops += _write(folder, number, track)
        rows = [{**asdict(one), "image": os.path.basename(one.image)} for one in crops]
        write_atomically(os.path.join(folder, CROPS), json.dumps({**chosen, "crops": rows}, indent=1) + "\n")
        return crops

    def _folder_of(self, clip: Clip) -> str:
        """The folder named after the clip; with a number behind it where another clip of that name has it."""
        name, number = os.path.splitext(os.path.basename(clip.path))[0] or "clip", 1
        while True:
            folder = os.path.join(self.folder, name if number == 1 else f"{name}-{number}")
            found = _read_json(os.path.join(folder, CROPS)) or _first_line(os.path.join(folder, DETECTIONS))
            if found is None or found.get("clip") == clip.path:
                return folder
            number += 1

    def _tracks(self, clip: Clip, path: str, header: dict[str, Any], progress: bool) -> Iterator[Track]:
        """Yield each ``Track`` that is long enough, once it has ended."""
        every, per_track = self._settings.every, self._settings.per_track
        tracker = Tracker(clip.fps / every, self._detector.confidence)
        patience = every * (tracker.memory + 1)
        running: dict[int, Track] = {}
        known = _Detections(path, header)
        title = os.path.basename(clip.path)
        bar = tqdm(total=clip.count or None, desc=title, unit="frame", disable=not progress, dynamic_ncols=True)
        with known, bar:
            for frame in clip:
                bar.update()
                if frame.number % every:
                    continue
                boxes = known.get(frame.number)
                if boxes is None:
                    boxes = self._detector(frame.pixels)
                    known.add(frame.number, boxes)
                for number, row in tracker.update(boxes):
                    track = running.setdefault(number, Track(per_track))
                    track.add(crop(frame.pixels, boxes.corners[row], frame.number, frame.seconds), boxes.kinds[row])
                ended = [number for number, track in running.items() if frame.number - track.last > patience]
                yield from self._long_enough(running.pop(number) for number in ended)
        yield from self._long_enough(running.values())

    def _long_enough(self, tracks: Any) -> Iterator[Track]:
        return (track for track in tracks if track.seen >= self._settings.least)


class _Detections:
    """The boxes of a clip's frames in a file that grows; a line that a kill has cut off is left out.

    Args:
        path: the file. header: what the boxes depend on; boxes of anything else are thrown away.
    """

    def __init__(self, path: str, header: dict[str, Any]) -> None:
        self._path, self._header = path, header
        self._file: Any = None
        self._known: dict[int, Boxes] = {}
        self._new = 0

    def __enter__(self) -> "_Detections":
        lines = []
        if _first_line(self._path) == self._header:
            with open(self._path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("\n")][1:]
        for line in lines:
            number, rows = json.loads(line)
            table = np.array([row[:5] for row in rows], np.float32).reshape(-1, 5)
            self._known[number] = Boxes(table[:, :4], table[:, 4], [row[5] for row in rows])
        write_atomically(self._path, "".join([json.dumps(self._header) + "\n", *lines]))
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        return self

    def __exit__(self, *error: Any) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, number: int) -> Boxes | None:
        """The boxes of a frame, if they are known."""
        return self._known.get(number)

    def add(self, number: int, boxes: Boxes) -> None:
        """Keep the boxes of one more frame."""
        rows = [
            [*corners, score, kind]
            for corners, score, kind in zip(boxes.corners.tolist(), boxes.scores.tolist(), boxes.kinds)
        ]
        self._file.write(json.dumps([number, rows]) + "\n")
        self._new += 1
        if self._new % _TOLD == 0:
            self._file.flush()


def _write(folder: str, number: int, track: Track) -> Iterator[CropFile]:
    for one in track.best():
        path = os.path.join(folder, f"track_{number:05d}_frame_{one.number:06d}.jpg")
        _, content = cv2.imencode(
            ".jpg", cv2.cvtColor(one.pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(content.tobytes())
        box = [round(float(value), 1) for value in one.corners]
        yield CropFile(path, number, track.kind, one.number, one.seconds, box)


def _finished(folder: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[CropFile]:
    """The crops of a clip that was finished earlier, with the same settings."""
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        what = {"identity": "the clip has changed", "detector": "the detector or its settings have changed"}
        raise ValueError(
            f"{folder!r} holds crops of this clip that were made otherwise "
            f"({what.get(differing[0], 'the settings have changed')}); remove that folder, or choose another with "
            "--crops"
        )
    try:
        return [CropFile(**{**row, "image": os.path.join(folder, row["image"])}) for row in found["crops"]]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{os.path.join(folder, CROPS)!r} is no list of crops ({error}); remove that folder"
        ) from error


def _read_json(path: str) -> Any:
    """The values of a JSON file, None where there is none; one that is broken is a ValueError."""
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path!r} is damaged ({error}); remove its folder") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path!r} is no list of crops; remove its folder")
    return values


def _first_line(path: str) -> Any:
    """The values of the first line of a file of JSON lines, None where there are none."""
    try:
        with open(path, encoding="utf-8") as file:
            values = json.loads(file.readline())
    except (FileNotFoundError, ValueError):
        return None
    return values if isinstance(values, dict) else None
