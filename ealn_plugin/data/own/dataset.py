"""A user's own photographs as a dataset of torchreid."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ealn_plugin.config.own_data import OwnData
from ealn_plugin.data.base import VIEW_PROTOCOLS, VehicleDataset, camera_offset
from ealn_plugin.data.own.folder import read_folder
from ealn_plugin.data.own.photographs import GALLERY, QUERY, TEST, TRAIN, Photograph, Photographs, check_photographs
from ealn_plugin.data.own.table import read_table
from ealn_plugin.data.splitting import choose_queries, draw_test_vehicles, tell_once
from ealn_plugin.data.times import TIMES, time_number
from ealn_plugin.system.messages import counted

_LARGEST = 2**31


def read_photographs(source: OwnData) -> Photographs:
    """The photographs of a CSV or a folder, checked.

    Raises:
        FileNotFoundError, ValueError: with one sentence.
    """
    photographs = (read_table if source.kind == "csv" else read_folder)(source.path)
    if not cameras_known(photographs.items):
        photographs = Photographs(
            photographs.source, photographs.folder, [item._replace(camera="") for item in photographs.items]
        )
    check_photographs(photographs)
    return photographs


def cameras_known(items: Iterable[Photograph]) -> bool:
    """Whether there are two cameras; a single one would make every image of a vehicle junk for the others."""
    return len({item.camera for item in items if item.camera}) > 1


def own_split(
    photographs: Photographs, seed: int = 0, recorded: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list]:
    """The photographs by split, in the order in which they are given.

    Those without a split are divided by vehicle, and the test part of them, like what is called ``test`` where there
    are no queries, into queries and gallery (``choose_queries``). Beside queries, ``test`` means the gallery.

    Args:
        seed: of what is drawn.
        recorded: {'train': vehicles, 'query': images} that a run began with: its vehicles stay in their part, new ones
            are tested on, and its queries stay queries.
    Returns:
        {'train' | 'query' | 'gallery': [Photograph]}
    Raises:
        ValueError: no vehicle can be tested on; one sentence.
    """
    items = photographs.items
    if not items[0].split:
        tested = _tested(photographs, seed, recorded)
        items = [item._replace(split=TEST if item.vehicle in tested else TRAIN) for item in items]
    if any(item.split == QUERY for item in items):
        asking = {item.image for item in items if item.split == QUERY}
    else:
        asking = _queries(items, seed, recorded)
    parts: dict[str, list] = {TRAIN: [], QUERY: [], GALLERY: []}
    for item in items:
        parts[TRAIN if item.split == TRAIN else QUERY if item.image in asking else GALLERY].append(item)
    _check_answers(photographs, parts)
    return parts


def _tested(photographs, seed, recorded):
    vehicles = _of_vehicle(photographs.items)
    if recorded:
        return set(vehicles) - set(recorded[TRAIN])
    tested = draw_test_vehicles(vehicles, seed)
    if not tested:
        raise ValueError(_unmatched(photographs, len(vehicles)))
    return tested


def _of_vehicle(items):
    images = defaultdict(list)
    for item in items:
        images[item.vehicle].append((item.image, item.camera))
    return images


def _queries(items, seed, recorded):
    preferred = set(recorded[QUERY]) if recorded else set()
    test = _of_vehicle(item for item in items if item.split == TEST)
    return set().union(*(choose_queries(images, seed, preferred) for images in test.values()))


def _check_answers(photographs, parts):
    """Refuse a test part of which no query can be answered; there may be no test part at all."""
    if not parts[QUERY] and not parts[GALLERY]:
        return
    cameras = defaultdict(set)
    for item in parts[GALLERY]:
        cameras[item.vehicle].add(item.camera or item.image)
    answered = [item for item in parts[QUERY] if cameras[item.vehicle] - {item.camera}]
    if not answered:
        raise ValueError(
            _unmatched(photographs, len({item.vehicle for part in (QUERY, GALLERY) for item in parts[part]}))
        )


def _unmatched(photographs, count):
    if cameras_known(photographs.items):
        return (
            f"{photographs.source}: none of {counted(count, 'vehicle')} is in images from two cameras, one to ask with "
            "and one to find; add images, or leave the camera out to have every image count as its own camera"
        )
    return (
        f"{photographs.source}: none of {counted(count, 'vehicle')} has two images, one to ask with and one to find; "
        "add images of the same vehicles"
    )


class OwnDataset(VehicleDataset):
    """Photographs of a CSV or a folder, registered by ``own/names.py`` under a name of its own.

    Vehicles keep their numbers where all labels are whole numbers, else they are numbered in sorted order; so do
    cameras, counted from 0. Where none or only one camera is known, every image has a camera of its own, so that
    nothing is junk.

    Attributes:
        without_camera: absolute paths of the images whose camera is not known, whatever number they have.
        photographs: {absolute path: ``Photograph``} of all images, with the labels as the user writes them.
    """

    protocols = ("image",)
    view_protocols = VIEW_PROTOCOLS

    def __init__(
        self,
        source: OwnData,
        name: str,
        root: str = "",
        split_id: int = 0,
        recorded_splits: Mapping[str, Any] | None = None,
        min_view_confidence: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Read and check the photographs.

        Args:
            source: what is read. name: what tables and files call it. root: ignored, as paths say where they are.
            split_id: the seed of the split where none is given; torchreid's data.split_id.
            recorded_splits: {name: split} that a run began with, as ``own_split`` takes them.
            min_view_confidence: see ``VehicleDataset``.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).
        Raises:
            FileNotFoundError, ValueError: with one sentence.
        """
        photographs = read_photographs(source)
        recorded = usable(recorded_splits, name, photographs)
        parts = own_split(photographs, split_id, recorded)
        if kwargs.get("mode", "train") != "train" and not parts[QUERY]:
            raise ValueError(
                f"{photographs.source} holds training images alone, expected a test part; give other images the split "
                f"{TEST}, or name another dataset with -t"
            )
        pids, cameras = _numbers(item.vehicle for item in photographs.items), _camera_numbers(photographs.items)
        if kwargs.get("verbose", True):
            tell_once(_about(photographs, parts, split_id, recorded))
        self.title = name
        splits = {
            split: [(item.image, pids[item.vehicle], cameras[item.image]) for item in items] or None
            for split, items in parts.items()
        }
        self.photographs = {os.path.normpath(photographs.path(item.image)): item for item in photographs.items}
        self.without_camera = {path for path, item in self.photographs.items() if not item.camera}
        views = {item.image: item.view for item in photographs.items}
        super().__init__(photographs.folder, splits, views, {}, min_view_confidence, **kwargs)
        times = {path: item.time for path, item in self.photographs.items() if item.time}
        for path, time in times.items():
            with contextlib.suppress(ValueError):  # whoever asks for times says which are none
                TIMES.update({path: time_number(time)[0]})

    def _path(self, image: str) -> str:
        return os.path.normpath(os.path.join(self.dataset_dir, image))


def usable(
    recorded_splits: Mapping[str, Any] | None, name: str, photographs: Photographs
) -> Mapping[str, Sequence[str]] | None:
    """The recorded split of a dataset, unless it belongs to another one of that name: half of its vehicles are gone."""
    recorded = (recorded_splits or {}).get(name)
    if recorded is None or photographs.items[0].split:
        return None
    known = set(recorded[TRAIN]) | set(recorded[TEST])
    return recorded if 2 * len(known & {item.vehicle for item in photographs.items}) >= len(known) else None


def record_of(source: OwnData, name: str, seed: int, recorded_splits: Mapping[str, Any] | None = None) -> Any:
    """What a run records of a split that was drawn: {'train' and 'test': vehicles, 'query': images}; else None."""
    photographs = read_photographs(source)
    if photographs.items[0].split:
        return None
    parts = own_split(photographs, seed, usable(recorded_splits, name, photographs))
    return {
        TRAIN: sorted({item.vehicle for item in parts[TRAIN]}),
        TEST: sorted({item.vehicle for item in parts[QUERY] + parts[GALLERY]}),
        QUERY: sorted(item.image for item in parts[QUERY]),
    }


def _numbers(labels: Iterable[str]) -> dict[str, int]:
    """{label: its number}: the label itself where all of them are whole numbers written plainly, else its place."""
    distinct = sorted(set(labels))
    if all(label.isascii() and label.isdigit() and int(label) < _LARGEST for label in distinct):
        numbers = {label: int(label) for label in distinct}
        if len(set(numbers.values())) == len(distinct):
            return numbers
    return {label: number for number, label in enumerate(distinct)}


def _camera_numbers(items: Sequence[Photograph]) -> dict[str, int]:
    """{image: number of its camera from 0}; images without one have numbers that no other image has."""
    numbers = _numbers(item.camera for item in items if item.camera)
    offset = camera_offset(numbers.values())  # what is called 1 is 0 to torchreid, and shown as 1 again
    numbers = {label: number - offset for label, number in numbers.items()}
    unused = 1 + max(numbers.values(), default=-1)
    cameras = {}
    for item in items:
        cameras[item.image] = numbers[item.camera] if item.camera else unused
        unused += not item.camera
    return cameras


def _about(photographs, parts, seed, recorded):
    """One line: what is trained and tested on, and who has decided it."""
    counts = {split: len({item.vehicle for item in parts[split]}) for split in parts}
    tested = len({item.vehicle for item in parts[QUERY] + parts[GALLERY]})
    if photographs.items[0].split:
        by = "the splits as given"
    elif recorded:
        by = "split by vehicle as this run has recorded it"
    else:
        by = f"split by vehicle with data.split_id {seed}, as no split is given"
    if cameras_known(photographs.items):
        cameras = ""
    else:
        cameras = "; every image counts as its own camera, as no two cameras are given, so nothing is junk"
    alone = "; with a single test vehicle every figure is 100%" if tested == 1 else ""
    return (
        f"{photographs.source}: {by}: {counted(counts[TRAIN], 'training vehicle')} and "
        f"{counted(tested, 'test vehicle')} with {counted(len(parts[QUERY]), 'query image')} of "
        f"{counted(counts[QUERY], 'vehicle')} and {counted(len(parts[GALLERY]), 'gallery image')}{cameras}{alone}"
    )
