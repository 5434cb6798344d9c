"""What is known of a user's photographs, one record each, and the checks that a CSV and a folder share."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ealn_plugin.data.viewpoints import View

TRAIN, QUERY, GALLERY, TEST = "train", "query", "gallery", "test"
SPLITS = (TRAIN, QUERY, GALLERY, TEST)


class Photograph(NamedTuple):
    """One image: its path as the CSV has it or relative to the folder, vehicle, camera ('': unknown), View, its split
    ('': none is given) and the time at which it was taken, as it is written ('': unknown)."""

    image: str
    vehicle: str
    camera: str = ""
    view: View = View.UNKNOWN
    split: str = ""
    time: str = ""


@dataclass(frozen=True)
class Photographs:
    """Labelled images: what messages call them, the folder that their paths are relative to, and the list itself."""

    source: str
    folder: str
    items: list

    def path(self, image: str) -> str:
        """Absolute path of an image."""
        return os.path.join(self.folder, image)


def check_photographs(photographs: Photographs) -> None:
    """Refuse what can be no dataset.

    Raises:
        ValueError: a path twice, a vehicle on both sides, queries without a gallery or the reverse, one vehicle alone.
        FileNotFoundError: an image is not there. Each is one sentence.
    """
    source, items = photographs.source, photographs.items
    _check_paths(photographs)
    if any(item.split for item in items) and not all(item.split for item in items):
        first = next(item for item in items if not item.split)
        raise ValueError(
            f"{source}: {first.image!r} has no split, but other images have one; give every image one of "
            f"{', '.join(SPLITS)}, or none of them"
        )
    vehicles = {split: {item.vehicle for item in items if item.split == split} for split in SPLITS}
    tested = vehicles[QUERY] | vehicles[GALLERY] | vehicles[TEST]
    both = sorted(vehicles[TRAIN] & tested)
    if both:
        raise ValueError(
            f"{source}: vehicle {both[0]!r} is in train and in the test part, as {len(both)} of {len(tested)} test "
            "vehicles are; give all images of a vehicle to one side"
        )
    for there, missing in ((QUERY, GALLERY), (GALLERY, QUERY)):
        if vehicles[there] and not vehicles[missing] | vehicles[TEST]:
            raise ValueError(
                f"{source}: there are images of the split {there} and none of {missing}, expected both; add some, or "
                f"write {TEST} for all of them to have the two chosen"
            )
    for part, present in (("its training part", vehicles[TRAIN]), ("its test part", tested), ("it", _all(items))):
        if len(present) == 1:
            raise ValueError(
                f"{source}: {part} holds a single vehicle, {next(iter(present))!r}, expected at least two, since there "
                "is nothing to tell it from; add images of others"
            )


def _all(items: Sequence[Photograph]) -> set[str]:
    return {item.vehicle for item in items}


def _check_paths(photographs: Photographs) -> None:
    source, items = photographs.source, photographs.items
    counts = Counter(os.path.normpath(photographs.path(item.image)) for item in items)
    twice = next((item for item in items if counts[os.path.normpath(photographs.path(item.image))] > 1), None)
    if twice is not None:
        raise ValueError(
            f"{source}: the path {twice.image!r} is there {counts[os.path.normpath(photographs.path(twice.image))]} "
            "times, expected each image once; delete the other lines"
        )
    absent = [item.image for item in items if not os.path.isfile(photographs.path(item.image))]
    if absent:
        raise FileNotFoundError(
            f"{source}: {len(absent)} of {len(items)} images do not exist, the first is {absent[0]!r}, looked for as "
            f"{photographs.path(absent[0])}; correct the paths, which are relative to {photographs.folder}"
        )
