"""What is known of images beside numbers and views: labels as the data has them, time, colour, type and track."""

import csv
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ealn_plugin.data.annotations import APPEARANCE, codes_of_group
from ealn_plugin.data.files import stem
from ealn_plugin.data.times import TIMES, read_times, time_number

log = logging.getLogger(__name__)

ATTRIBUTES = "attributes.csv"
TRACK_FILES = ("test_track.txt", "train_track.txt")
_NAME_LISTS = ("list_color.txt", "list_type.txt")
_VERI_NAME = re.compile(r"(\d{1,9})_c(\d{1,9})_(\d{1,15})_\d+\.\w+", re.ASCII)
_EXIF_IFD, _TAKEN, _CHANGED = 0x8769, (0x9003, 0x9004), 0x0132  # DateTimeOriginal, DateTimeDigitized; DateTime
_EXIF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)", re.ASCII)


def facts_of(dataset: Any, name: str, items: Sequence[Any]) -> dict[str, Any]:
    """Columns of ``Records`` for images of a dataset.

    Args:
        dataset: as torchreid builds it; name: what the user calls it.
        items: its tuples (path, pid, camid, ...).
    """
    paths, folder = [os.path.abspath(item[0]) for item in items], getattr(dataset, "dataset_dir", "")
    photographs = getattr(dataset, "photographs", None) or {}
    columns: dict[str, Any] = {"sources": [name] * len(items), "tracks": _tracks(folder, paths)}
    times: list[tuple[float, bool]] = [(math.nan, False)] * len(items)
    if photographs:
        known = [photographs[path] for path in paths]
        columns["vehicles"], columns["cameras"] = [one.vehicle for one in known], [one.camera for one in known]
        times = _read_times([one.time for one in known], name)
    elif "veri776" in getattr(dataset, "dataset_names", ()):
        names = [_VERI_NAME.fullmatch(os.path.basename(path)) for path in paths]
        columns["vehicles"] = [
            str(int(found[1])) if found else str(item[1]) for found, item in zip(names, items)
        ]  # torchreid numbers training vehicles anew
        times = [(TIMES.get(path), False) for path in paths]
    columns["times"], columns["dated"] = (np.array(values) for values in zip(*times)) if times else ([], [])
    vehicles = columns.get("vehicles") or [str(item[1]) for item in items]
    columns["colours"], columns["types"] = _appearance(folder, paths, vehicles)
    return columns


def _read_times(texts: Sequence[str], name: str) -> list[tuple[float, bool]]:
    times, wrong = [], []
    for text in texts:
        try:
            times.append(time_number(text) if text else (math.nan, False))
        except ValueError as error:
            times.append((math.nan, False))
            wrong.append(str(error))
    if wrong:
        log.warning("%s: the time of %d image(s) is not known: %s", name, len(wrong), wrong[0])
    return times


def _tracks(folder: str, paths: Sequence[str]) -> list[str]:
    """The line of a track file that names the image, such as 'test 17'."""
    lines: dict[str, str] = {}
    for file_name in TRACK_FILES:
        path = os.path.join(folder, file_name)
        if folder and os.path.isfile(path):
            part = file_name.partition("_")[0]
            with open(path, encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    lines.update({f"{part} {stem(word)}": f"{part} {number}" for word in line.split()})
    found = []
    for path in paths:
        part = "train" if os.path.basename(os.path.dirname(path)) == "image_train" else "test"
        found.append(lines.get(f"{part} {stem(os.path.basename(path))}", ""))
    return found


def _appearance(folder: str, paths: Sequence[str], vehicles: Sequence[str]) -> tuple[list[str], list[str]]:
    """(colours, types): by attributes.csv, else by the codes of the release, named where it names them."""
    attributes = _attributes(os.path.join(folder, ATTRIBUTES)) if folder else {}
    names = [_named(os.path.join(folder, file_name)) if folder else {} for file_name in _NAME_LISTS]
    colours, types = [], []
    for path, vehicle in zip(paths, vehicles):
        colour, kind = attributes.get(vehicle, ("", ""))
        group = APPEARANCE.get(path)
        if not colour and group >= 0:
            codes = codes_of_group(group)
            colour, kind = (known.get(code, str(code)) for known, code in zip(names, codes))
        colours.append(colour)
        types.append(kind)
    return colours, types


def _attributes(path: str) -> Mapping[str, tuple[str, str]]:
    """{vehicle number: (colour, type)} of an attributes.csv, as rendered datasets have one."""
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        try:
            return {str(int(row["vehicle"])): (row["colour"], row["type"]) for row in csv.DictReader(file)}
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            log.warning("%s is not read: it is no list of vehicle, type and colour (%s)", path, error)
            return {}


def _named(path: str) -> dict[int, str]:
    """{code: name} of a list_color.txt or list_type.txt."""
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8", errors="replace") as file:
        words = [line.split(None, 1) for line in file]
    return {int(word[0]): word[1].strip() for word in words if len(word) == 2 and word[0].isdecimal()}


def taken(path: str) -> tuple[str, float, bool]:
    """(camera, time, whether that is a date) that an image file tells of itself; '' and NaN where it does not.

    The camera is that of a name as VeRI-776 has them. The time is that of a times.csv in the image's folder or the one
    above, as datasets have it; without one it is that of the name, and else of the photograph's EXIF.

    Raises:
        ValueError: a broken times.csv, with file and line.
    """
    found = _VERI_NAME.fullmatch(os.path.basename(path))
    camera = str(int(found[2])) if found else ""
    folder, image = os.path.split(os.path.abspath(path))
    above, name = os.path.split(folder)
    for place, inside in ((folder, image), (above, f"{name}/{image}")):
        times = read_times(place, [inside])
        if times is not None:
            return camera, times.get(inside, math.nan), False
    return (camera, float(found[3]), False) if found else (camera, *exif_time(path))


def camera_labels(dataset: Any) -> dict[int, str]:
    """{number as torchreid counts: what the data calls the camera} of all images of a dataset whose camera is known."""
    photographs = getattr(dataset, "photographs", None) or {}
    labels = {}
    for path, _, camera, *_ in (item for split in ("train", "query", "gallery") for item in getattr(dataset, split)):
        known = photographs.get(os.path.abspath(path))
        labels[camera] = known.camera if known else str(camera + 1)
    return {camera: label for camera, label in labels.items() if label}


def exif_time(path: str) -> tuple[float, bool]:
    """(seconds since 1970, True) of when a photograph was taken, by its camera's clock; (NaN, False) if unknown."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            inner = exif.get_ifd(_EXIF_IFD)
            texts = [inner.get(tag) for tag in _TAKEN] + [exif.get(_CHANGED)]
    except Exception:  # whatever is wrong with a file, its pixels are read by somebody else, who says so
        return math.nan, False
    for text in texts:
        found = _EXIF_TIME.match(str(text))
        if found:
            try:
                return time_number(f"{found[1]}-{found[2]}-{found[3]}T{found[4]}")
            except ValueError:  # such as 0000:00:00, which cameras without a clock write
                continue
    return math.nan, False
