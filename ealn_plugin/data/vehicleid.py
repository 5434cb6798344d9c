"""PKU VehicleID (Liu et al., CVPR 2016) as torchreid's datasets 'vehicleid', 'vehicleid_medium' and so on."""

import glob
import logging
import os
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ealn_plugin.data.annotations import appearance_group, is_code
from ealn_plugin.data.base import VehicleDataset
from ealn_plugin.data.files import by_stem, find_dataset_folder, image_names, malformed, read_lines
from ealn_plugin.data.viewpoints import View, view_from_name

log = logging.getLogger(__name__)

GALLERY_SEED = 0
"""Seeds the draw of the gallery together with the name of the test list, so every machine draws the same."""

LIST_FOLDER = "train_test_split"
VIEW_LISTS = os.path.join(LIST_FOLDER, "*view*.txt")
_TRAIN_CAMERA, _QUERY_CAMERA, _GALLERY_CAMERA = 0, 0, 1
_LIST_LINE = re.compile(r"(\d+)\s+(\d{1,9})(?:\s+(-1|0|1))?", re.ASCII)
_ATTRIBUTE_LINE = re.compile(r"(\d{1,9})\s+(\d{1,9})", re.ASCII)


class ListedImage(NamedTuple):
    """One line of a list: line number from 1, image without extension, vehicle, label 0, 1, -1 or None."""

    line: int
    image: str
    vehicle: int
    label: int | None


class VehicleID(VehicleDataset):
    """VehicleID with the small test list, 800 vehicles; subclasses take the longer lists.

    The release has no cameras and no gallery. One image of each test vehicle, drawn with a local generator
    seeded by GALLERY_SEED and the list's name, is the gallery with camera 1; the others are queries with
    camera 0, so nothing is junk. Vehicles with a single image are skipped. Protocols that average over draws
    draw again from both together. Identities of query and gallery are the numbers of the release; training
    images have camera 0.
    """

    dataset_names: tuple[str, ...] = ("vehicleid", "vehicleid_small")
    folder_names = ("VehicleID_V1.0", "VehicleID", "vehicleid")
    protocols = ("vehicleid_cmc", "vehicleid_map", "same_view", "cross_view", "all_views")
    test_list = "test_list_800"
    view_order = ("front", "rear")
    """Default of the argument: which views the labels 0 and 1 of the view lists mean. Their authors do not say; 0 is
    the majority and probably the front."""

    def __init__(
        self,
        root: str = "",
        view_order: Sequence[str] | None = None,
        min_view_confidence: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Read train_list.txt and this class's test list under `root` (its parent or the folder itself).

        Without train_list.txt the dataset can be tested on, not trained on. Images may have any ending.

        Args:
            root: '' is the working directory.
            view_order: the views that the labels 0 and 1 of the view lists mean; default: the class attribute. A
                configuration's `ealn.view_order` arrives here.
            min_view_confidence: lines of viewpoints.csv below it count as unknown, in [0, 1]; default 0.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).

        Raises:
            FileNotFoundError: if the folder, a list or an image that a list names does not exist.
            ValueError: for a malformed line (with file and line), two vehicles for one image, a wrong
                `view_order`, an empty split or a test list without a vehicle that has two images.
        """
        view_of_label = _view_of_label(self.view_order if view_order is None else view_order)
        required = ("image", LIST_FOLDER)
        dataset_dir = find_dataset_folder(root, self.folder_names, required, type(self).__name__)
        list_names = ("train_list", self.test_list)
        paths = [os.path.join(dataset_dir, LIST_FOLDER, f"{name}.txt") for name in list_names]
        without_training = os.path.isfile(paths[1]) and not os.path.isfile(paths[0])
        lists = [[] if without_training and path == paths[0] else read_list(path) for path in paths]
        train, test = (_vehicles(path, entries) for path, entries in zip(paths, lists, strict=True))
        present = image_names(os.path.join(dataset_dir, "image"))
        files = {image: f"image/{name}" for image, name in by_stem(present).items()}
        for path, images in zip(paths, (train, test), strict=True):
            _check_present(path, images, files)
        vehicles = {**train, **test}
        labels = _view_labels(dataset_dir, lists, vehicles)
        super().__init__(
            dataset_dir,
            {**_splits(train, test, self.test_list, files), **({"train": None} if without_training else {})},
            {files[image]: view_of_label[label] for image, label in labels.items()},
            _appearance_groups(dataset_dir, vehicles, files),
            min_view_confidence,
            **kwargs,
        )


class VehicleIDMedium(VehicleID):
    """VehicleID with the medium test list, 1,600 vehicles."""

    dataset_names = ("vehicleid_medium",)
    test_list = "test_list_1600"


class VehicleIDLarge(VehicleID):
    """VehicleID with the large test list, 2,400 vehicles."""

    dataset_names = ("vehicleid_large",)
    test_list = "test_list_2400"


class VehicleID13164(VehicleID):
    """VehicleID with the full test list, 13,164 vehicles."""

    dataset_names = ("vehicleid_13164",)
    test_list = "test_list_13164"


def read_list(path: str) -> list[ListedImage]:
    """Read a list of lines `IMAGE VEHICLE` or `IMAGE VEHICLE VIEW` and return its ListedImage entries in
    order.

    Raises:
        FileNotFoundError: if the list does not exist.
        ValueError: for another form of line, with file and line.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"the list {path} does not exist; take it from the release, or choose a "
            f"dataset name whose list is there, as datasets.md describes"
        )
    entries = []
    for number, line in read_lines(path):
        match = _LIST_LINE.fullmatch(line)
        if match is None:
            raise malformed(
                path,
                number,
                line,
                "IMAGE VEHICLE or IMAGE VEHICLE VIEW, such as 0000001 42 or 0000001 42 0 with VIEW 0, 1 or -1",
            )
        image, vehicle, label = match.groups()
        entries.append(ListedImage(number, image, int(vehicle), None if label is None else int(label)))
    return entries


def draw_gallery(images_of_vehicle: Mapping[int, Sequence[str]], name: str) -> dict[int, str]:
    """Return {vehicle: its gallery image}: one image each, drawn by a local generator seeded by GALLERY_SEED
    and `name`.

    Neither the global random states nor the order of the mapping or of its lists plays a part.
    """
    generator = random.Random(f"{GALLERY_SEED} {name}")
    vehicles = sorted(images_of_vehicle)
    return {vehicle: generator.choice(sorted(images_of_vehicle[vehicle])) for vehicle in vehicles}


def _vehicles(path: str, entries: Sequence[ListedImage]) -> dict[str, int]:
    """Return {image: vehicle} of a list, each image once."""
    vehicles = {}
    for line, image, vehicle, _ in entries:
        if vehicles.setdefault(image, vehicle) != vehicle:
            raise malformed(
                path,
                line,
                f"{image} {vehicle}",
                f"vehicle {vehicles[image]}, under which an earlier line lists this image",
            )
    return vehicles


def _splits(
    train: Mapping[str, int], test: Mapping[str, int], name: str, files: Mapping[str, str]
) -> dict[str, list[tuple[str, int, int]]]:
    """Return the three splits as VehicleDataset takes them, from {image: vehicle} of both lists and {image: file}."""
    images_of_vehicle = {}
    for image, vehicle in test.items():
        images_of_vehicle.setdefault(vehicle, []).append(image)
    pairs = {vehicle: images for vehicle, images in images_of_vehicle.items() if len(images) > 1}
    if images_of_vehicle and not pairs:
        raise ValueError(
            f"{name}.txt: a query set without a match, because none of its "
            f"{len(images_of_vehicle)} vehicles has two images; take it from the release again"
        )
    if len(pairs) < len(images_of_vehicle):
        log.info(
            "%s: %d of %d vehicles have a single image and are skipped",
            name,
            len(images_of_vehicle) - len(pairs),
            len(images_of_vehicle),
        )
    drawn = draw_gallery(pairs, name)
    return {
        "train": [(files[image], vehicle, _TRAIN_CAMERA) for image, vehicle in train.items()],
        "query": [
            (files[image], vehicle, _QUERY_CAMERA)
            for vehicle, images in sorted(pairs.items())
            for image in sorted(images)
            if image != drawn[vehicle]
        ],
        "gallery": [(files[image], vehicle, _GALLERY_CAMERA) for vehicle, image in drawn.items()],
    }


def _check_present(path: str, listed: Collection[str], files: Collection[str]) -> None:
    absent = [image for image in listed if image not in files]
    if absent:
        raise FileNotFoundError(
            f"{path}: {len(absent)} of {len(listed)} listed images do not exist, the "
            f"first is image/{absent[0]}.jpg; unpack the release completely"
        )


def _view_of_label(view_order: Sequence[str]) -> dict[int, View]:
    """Return {label: View} for the labels of the view lists."""
    try:
        first, second = (view if isinstance(view, View) else view_from_name(view) for view in view_order)
    except (TypeError, ValueError, AttributeError):
        first = second = View.UNKNOWN
    if {first, second} != {View.FRONT, View.REAR}:
        raise ValueError(
            f"view_order is {view_order!r}, expected ('front', 'rear') or ('rear', 'front'): "
            f"the views that the labels 0 and 1 of the view lists mean; see datasets.md"
        )
    return {0: first, 1: second, -1: View.UNKNOWN}


def _view_labels(
    dataset_dir: str, lists: Iterable[Sequence[ListedImage]], vehicles: Mapping[str, int]
) -> dict[str, int]:
    """Return {image: label} from the third fields of the lists in use and from *view*.txt beside them.

    Where two lines contradict each other the label is -1.
    """
    view_lists = sorted(glob.glob(os.path.join(glob.escape(dataset_dir), VIEW_LISTS)))
    labels, contradicted = {}, set()
    for entries in [*lists, *(_read_view_list(path, vehicles) for path in view_lists)]:
        for _, image, _, label in entries:
            if label is not None and image in vehicles and labels.setdefault(image, label) != label:
                contradicted.add(image)
    if contradicted:
        log.warning(
            "%s: the view lists contradict each other on %d image(s); their view is taken as unknown",
            dataset_dir,
            len(contradicted),
        )
    return {image: -1 if image in contradicted else label for image, label in labels.items()}


def _read_view_list(path: str, vehicles: Mapping[str, int]) -> list[ListedImage]:
    """Return the entries of a view list, whose lines all need a view and the vehicle of the release."""
    entries = read_list(path)
    for line, image, vehicle, label in entries:
        if label is None:
            raise malformed(path, line, f"{image} {vehicle}", "IMAGE VEHICLE VIEW with VIEW 0, 1 or -1")
        if vehicles.get(image, vehicle) != vehicle:
            raise malformed(
                path, line, f"{image} {vehicle}", f"vehicle {vehicles[image]}, under which the release lists this image"
            )
    return entries


def _appearance_groups(dataset_dir: str, vehicles: Mapping[str, int], files: Mapping[str, str]) -> dict[str, int]:
    """Return {image file: appearance group} of the vehicles that have both a colour and a model."""
    colours, models = (
        _read_attribute(os.path.join(dataset_dir, "attribute", name)) for name in ("color_attr.txt", "model_attr.txt")
    )
    groups = {
        vehicle: appearance_group("vehicleid", colours[vehicle], models[vehicle])
        for vehicle in colours.keys() & models.keys()
    }
    return {files[image]: groups[vehicle] for image, vehicle in vehicles.items() if vehicle in groups}


def _read_attribute(path: str) -> dict[int, int]:
    """Return {vehicle: code} of an optional file with lines `VEHICLE CODE`; empty if it does not exist."""
    codes = {}
    for number, line in read_lines(path) if os.path.isfile(path) else ():
        match = _ATTRIBUTE_LINE.fullmatch(line)
        if match is None or not is_code(int(match.group(2))):
            raise malformed(path, number, line, "VEHICLE CODE with a code in 0..999, such as 42 7")
        codes[int(match.group(1))] = int(match.group(2))
    return codes
