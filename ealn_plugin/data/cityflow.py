"""CityFlow-ReID (Tang et al., CVPR 2019; AI City Challenge, track 2) as torchreid's dataset 'cityflow'."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin.data.base import VIEW_PROTOCOLS, VehicleDataset, camera_offset
from ealn_plugin.data.files import by_stem, find_dataset_folder, image_names, malformed, stem
from ealn_plugin.data.item_xml import read_items
from ealn_plugin.data.splitting import choose_queries, draw_test_vehicles, tell_once

# split -> (image folder, its labels)
SPLITS = {
    "train": ("image_train", "train_label.xml"),
    "query": ("image_query", "query_label.xml"),
    "gallery": ("image_test", "test_label.xml"),
}
_VEHICLE = re.compile(r"\d{1,9}", re.ASCII)
_CAMERA = re.compile(r"c(\d{1,9})", re.ASCII)


class CityFlow(VehicleDataset):
    """CityFlow-ReID: training images of vehicles seen by the cameras of a city; its test images have no public labels.

    So the vehicles of image_train are divided into training and test vehicles (``draw_test_vehicles``), and the images
    of the test vehicles into queries and gallery (``choose_queries``). Whoever holds a query_label.xml and a
    test_label.xml with vehicles puts them beside train_label.xml, and the release's own split is used. Identities are
    the numbers of the release, cameras are counted from 0. An image may have another ending than its label says.
    """

    dataset_names = ("cityflow",)
    folder_names = (
        "AIC21_Track2_ReID",
        "AIC22_Track2_ReID",
        "AIC20_ReID",
        "AIC20_track2/AIC20_ReID",
        "aic19-track2-reid",
        "CityFlow-ReID",
        "cityflow",
    )
    protocols = ("image",)
    view_protocols = VIEW_PROTOCOLS

    def __init__(
        self, root: str = "", split_id: int = 0, min_view_confidence: float | None = None, **kwargs: Any
    ) -> None:
        """Read the dataset under `root` (its parent folder, or the dataset folder itself).

        Args:
            root: '' is the working directory.
            split_id: the seed of the split by vehicle; torchreid's data.split_id.
            min_view_confidence: lines of viewpoints.csv below it count as unknown, in [0, 1]; default 0.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).

        Raises:
            FileNotFoundError: if the folder, the labels or an image that they name does not exist.
            ValueError: for malformed XML or labels (with file and line), or no vehicle that can be tested on.
        """
        dataset_dir = find_dataset_folder(root, self.folder_names, (SPLITS["train"][0],), type(self).__name__)
        splits = {split: _read_split(dataset_dir, split) for split in SPLITS}
        if splits["query"] is None or splits["gallery"] is None:
            splits = _divided(dataset_dir, splits["train"] or [], split_id)
        offset = camera_offset(camera for items in splits.values() for _, _, camera in items or ())
        counted = {
            split: [(image, pid, camera - offset) for image, pid, camera in items or ()]
            for split, items in splits.items()
        }
        super().__init__(dataset_dir, counted, {}, {}, min_view_confidence, **kwargs)


def _read_split(dataset_dir: str, split: str) -> list[tuple[str, int, int]] | None:
    """[(image, pid, camera as the release numbers it)]; None where the vehicles of a test part are not known."""
    folder, label_name = SPLITS[split]
    path = os.path.join(dataset_dir, label_name)
    if not os.path.isfile(path):
        if split != "train":
            return None
        raise FileNotFoundError(f"{path} does not exist, which labels the training images; unpack the release again")
    labels = read_items(path)
    if split != "train" and not all(item.get("vehicleID") for _, item in labels):
        return None
    names = image_names(os.path.join(dataset_dir, folder)) if os.path.isdir(os.path.join(dataset_dir, folder)) else []
    present, present_stems = set(names), by_stem(names)
    items, absent = {}, []
    for line, item in labels:
        pid, camera = _labels(path, line, item)
        name = item["imageName"]
        file = name if name in present else present_stems.get(stem(name))
        if file is None:
            absent.append(name)
        elif items.setdefault(file, (pid, camera)) != (pid, camera):
            raise malformed(path, line, item, f"the labels {items[file]} that an earlier line gives this image")
    if absent:
        raise FileNotFoundError(
            f"{path}: {len(absent)} of {len(labels)} labelled images do not exist, the first is {folder}/{absent[0]}; "
            "unpack the release completely"
        )
    return [(f"{folder}/{name}", *labels) for name, labels in items.items()]


def _labels(path: str, line: int, item: Mapping[str, str]) -> tuple[int, int]:
    vehicle, camera = item.get("vehicleID", ""), _CAMERA.fullmatch(item.get("cameraID", ""))
    if not _VEHICLE.fullmatch(vehicle) or camera is None:
        raise malformed(path, line, dict(item), 'vehicleID and cameraID, such as vehicleID="0269" cameraID="c026"')
    return int(vehicle), int(camera[1])


def _divided(dataset_dir: str, items: Sequence[tuple[str, int, int]], seed: int) -> dict[str, Any]:
    """The training images of the release, divided by vehicle.

    Raises:
        ValueError: no vehicle is seen by two cameras.
    """
    images = defaultdict(list)
    for image, pid, camera in items:
        images[str(pid)].append((image, str(camera)))
    tested = draw_test_vehicles(images, seed)
    asking = set().union(*(choose_queries(images[vehicle], seed) for vehicle in tested))
    if not asking:
        raise ValueError(
            f"{dataset_dir}: none of the {len(images)} labelled vehicles is seen by two cameras, expected some to test "
            "on; unpack the release completely"
        )
    splits: dict[str, Any] = {"train": [], "query": [], "gallery": []}
    for item in items:
        part = "train" if str(item[1]) not in tested else "query" if item[0] in asking else "gallery"
        splits[part].append(item)
    tell_once(
        f"{dataset_dir}: the test images have no labels, so the labelled vehicles are split with data.split_id {seed}: "
        f"{len(images) - len(tested)} training vehicles and {len(tested)} test vehicles with {len(asking)} query images"
    )
    return splits
