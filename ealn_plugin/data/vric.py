"""VRIC, Vehicle Re-Identification in Context (Kanaci et al., GCPR 2018), as torchreid's dataset 'vric'."""

import os
import re
from typing import Any

from ealn_plugin.data.base import VIEW_PROTOCOLS, VehicleDataset, camera_offset
from ealn_plugin.data.files import by_stem, find_dataset_folder, image_names, malformed, read_lines, stem

# split -> (image folder, list of its images)
SPLITS = {
    "train": ("train_images", "vric_train.txt"),
    "query": ("probe_images", "vric_probe.txt"),
    "gallery": ("gallery_images", "vric_gallery.txt"),
}
_LINE = re.compile(r"(\S+)\s+(\d{1,9})\s+(\d{1,9})", re.ASCII)


class Vric(VehicleDataset):
    """VRIC: 5,622 vehicles from the sequences of UA-DETRAC, each test vehicle with one probe and one gallery image.

    Only the three lists know vehicles and cameras. Without train_images the dataset can be tested on, not trained on.
    Identities of query and gallery are the numbers of the release. An image may have another ending than its list says.
    """

    dataset_names = ("vric",)
    folder_names = ("VRIC", "vric")
    protocols = ("image",)
    view_protocols = VIEW_PROTOCOLS

    def __init__(self, root: str = "", min_view_confidence: float | None = None, **kwargs: Any) -> None:
        """Read the dataset under `root` (its parent folder, or the dataset folder itself).

        Args:
            root: '' is the working directory.
            min_view_confidence: lines of viewpoints.csv below it count as unknown, in [0, 1]; default 0.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).

        Raises:
            FileNotFoundError: if the folder, a list or an image that a list names does not exist.
            ValueError: for a malformed line (with file and line), an empty split or a query set without a match.
        """
        required = [folder for split, (folder, _) in SPLITS.items() if split != "train"]  # without it: tests alone
        dataset_dir = find_dataset_folder(root, self.folder_names, required, type(self).__name__)
        splits = {split: _read_split(dataset_dir, *where) for split, where in SPLITS.items()}
        offset = camera_offset(camera for items in splits.values() for _, _, camera in items or ())
        counted = {
            split: items and [(image, pid, camera - offset) for image, pid, camera in items]
            for split, items in splits.items()
        }
        super().__init__(dataset_dir, counted, {}, {}, min_view_confidence, **kwargs)


def _read_split(dataset_dir: str, folder: str, list_name: str) -> list[tuple[str, int, int]] | None:
    """[(image, pid, camera as the list numbers it)]; None where the training images are not there at all."""
    if folder == SPLITS["train"][0] and not os.path.isdir(os.path.join(dataset_dir, folder)):
        return None
    path = os.path.join(dataset_dir, list_name)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"the list {path} does not exist; unpack the release of VRIC again")
    names = image_names(os.path.join(dataset_dir, folder))
    present, present_stems = set(names), by_stem(names)
    items, absent, lines = {}, [], read_lines(path)
    for number, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise malformed(path, number, line, "IMAGE VEHICLE CAMERA, such as MVI_20011_016_img00105.jpg 15 1")
        name = match[1] if match[1] in present else present_stems.get(stem(match[1]))
        labels = int(match[2]), int(match[3])
        if name is None:
            absent.append(match[1])
        elif items.setdefault(name, labels) != labels:
            raise malformed(path, number, line, f"the labels {items[name]} that an earlier line gives this image")
    if absent:
        raise FileNotFoundError(
            f"{path}: {len(absent)} of {len(lines)} listed images do not exist, the first is {folder}/{absent[0]}; "
            "unpack the release completely"
        )
    return [(f"{folder}/{name}", *labels) for name, labels in items.items()]
