"""VERI-Wild (Lou et al., CVPR 2019) as torchreid's datasets 'veriwild', 'veriwild_medium' and 'veriwild_large'."""

import functools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin.data.base import VIEW_PROTOCOLS, VehicleDataset, camera_offset
from ealn_plugin.data.files import by_stem, find_dataset_folder, image_names, malformed, read_lines

LIST_FOLDER = "train_test_split"
CAMERA_FILE = "vehicle_info.txt"
TRAIN_LIST = "train_list"
_LIST_LINE = re.compile(r"(\d{1,9})/(\w+?)(?:\.\w+)?", re.ASCII)
_CAMERA_LINE = re.compile(rb"(\d{1,9})/(\w+?)(?:\.\w+)?;\s*(\d{1,9})\s*(?:;.*)?", re.ASCII | re.DOTALL)


class VeriWild(VehicleDataset):
    """VERI-Wild with the small test list, 3,000 vehicles; subclasses take the longer lists.

    A list names images as VEHICLE/IMAGE; vehicle_info.txt knows their cameras. Queries and gallery are those of the
    release. Identities of query and gallery are its numbers. An image may have any ending.
    """

    dataset_names: tuple[str, ...] = ("veriwild", "veriwild_small")
    folder_names = ("VERI-Wild", "VeRi-Wild", "veri-wild", "veriwild")
    protocols = ("image",)
    view_protocols = VIEW_PROTOCOLS
    test_list = "test_3000"

    def __init__(self, root: str = "", min_view_confidence: float | None = None, **kwargs: Any) -> None:
        """Read the lists under `root` (its parent folder, or the dataset folder itself).

        Without train_list.txt the dataset can be tested on, not trained on.

        Args:
            root: '' is the working directory.
            min_view_confidence: lines of viewpoints.csv below it count as unknown, in [0, 1]; default 0.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).

        Raises:
            FileNotFoundError: if the folder, a list or an image that a list names does not exist.
            ValueError: for a malformed line (with file and line), an image whose camera is not said, an empty split
                or a query set without a match.
        """
        dataset_dir = find_dataset_folder(root, self.folder_names, ("images", LIST_FOLDER), type(self).__name__)
        names = {"train": TRAIN_LIST, "query": f"{self.test_list}_query", "gallery": self.test_list}
        paths = {split: os.path.join(dataset_dir, LIST_FOLDER, f"{name}.txt") for split, name in names.items()}
        cameras = read_cameras(os.path.join(dataset_dir, LIST_FOLDER, CAMERA_FILE))
        files = functools.cache(functools.partial(_files, os.path.join(dataset_dir, "images")))
        splits = {
            split: None if split == "train" and not os.path.isfile(path) else _split(path, cameras, files)
            for split, path in paths.items()
        }
        super().__init__(dataset_dir, splits, {}, {}, min_view_confidence, **kwargs)


class VeriWildMedium(VeriWild):
    """VERI-Wild with the medium test list, 5,000 vehicles."""

    dataset_names = ("veriwild_medium",)
    test_list = "test_5000"


class VeriWildLarge(VeriWild):
    """VERI-Wild with the large test list, 10,000 vehicles."""

    dataset_names = ("veriwild_large",)
    test_list = "test_10000"


def read_cameras(path: str) -> dict[str, int]:
    """Read vehicle_info.txt and return {'VEHICLE/IMAGE': camera from 0}.

    Its lines are ``VEHICLE/IMAGE;CAMERA;TIME;MODEL;TYPE;COLOUR`` below a first line that names them. Only the first two
    are looked at, so the others may be in any encoding.

    Raises:
        FileNotFoundError: there is no such file. ValueError: a malformed line, with file and line.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path} does not exist, which says the cameras of the images; take it from the release of VERI-Wild"
        )
    with open(path, "rb") as file:
        lines = [line.strip() for line in file]
    cameras = {}
    for number, line in enumerate(lines, 1):
        match = _CAMERA_LINE.fullmatch(line)
        if match is not None:
            cameras[f"{match[1].decode()}/{match[2].decode()}"] = int(match[3])
        elif line and number > 1:
            raise malformed(path, number, line, "VEHICLE/IMAGE;CAMERA;..., such as 00001/000001;12;...")
    offset = camera_offset(cameras.values())
    return {image: camera - offset for image, camera in cameras.items()}


def _split(path: str, cameras: Mapping[str, int], files: Any) -> list[tuple[str, int, int]]:
    """[(image, pid, camid)] of a list, each image once."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"the list {path} does not exist; take it from the release of VERI-Wild, or choose a dataset name whose "
            "list is there, as datasets.md describes"
        )
    listed: dict[tuple[str, str], int] = {}
    for number, line in read_lines(path):
        match = _LIST_LINE.fullmatch(line)
        if match is None:
            raise malformed(path, number, line, "VEHICLE/IMAGE, such as 00001/000001")
        listed.setdefault((match[1], match[2]), number)
    _check_present(path, list(listed), files)
    items = []
    for (vehicle, image), number in listed.items():
        camera = cameras.get(f"{vehicle}/{image}")
        if camera is None:
            raise malformed(path, number, f"{vehicle}/{image}", f"an image whose camera is in {CAMERA_FILE}")
        items.append((f"images/{vehicle}/{files(vehicle)[image]}", int(vehicle), camera))
    return items


def _check_present(path: str, listed: Sequence[tuple[str, str]], files: Any) -> None:
    absent = [f"{vehicle}/{image}" for vehicle, image in listed if image not in files(vehicle)]
    if absent:
        raise FileNotFoundError(
            f"{path}: {len(absent)} of {len(listed)} listed images do not exist, the first is images/{absent[0]}.jpg; "
            "unpack all parts of the release"
        )


def _files(folder: str, vehicle: str) -> Mapping[str, str]:
    """{image without ending: file} of a vehicle's folder."""
    path = os.path.join(folder, vehicle)
    return by_stem(image_names(path)) if os.path.isdir(path) else {}
