"""VeRI-776 (Liu et al., ECCV 2016) as torchreid's dataset 'veri776'."""

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ealn_plugin.data.annotations import appearance_group, is_code
from ealn_plugin.data.base import VehicleDataset
from ealn_plugin.data.files import by_stem, find_dataset_folder, image_names, malformed, read_lines, stem
from ealn_plugin.data.item_xml import read_items
from ealn_plugin.data.times import TIMES, read_times
from ealn_plugin.data.viewpoints import read_keypoints

log = logging.getLogger(__name__)

# split -> (image folder, optional list of its images)
SPLITS = {
    "train": ("image_train", "name_train.txt"),
    "query": ("image_query", "name_query.txt"),
    "gallery": ("image_test", "name_test.txt"),
}
KEYPOINT_FILES = ("keypoint_train.txt", "keypoint_test.txt")
LABEL_FILES = ("train_label.xml", "test_label.xml")
# vehicle, camera, timestamp, running number: 0001_c001_00016450_0.jpg
_IMAGE_NAME = re.compile(r"(\d{1,9})_c(\d{1,9})_(\d+)_\d+\.\w+", re.ASCII)
_CODE = re.compile(r"\d{1,9}", re.ASCII)
_NAME_EXPECTED = "a name like 0001_c001_00016450_0.jpg (vehicle, camera, timestamp, running number)"


class VeRi776(VehicleDataset):
    """VeRI-776: training, query and gallery images of 776 vehicles seen by 20 cameras.

    The three image folders are enough; without image_train the dataset can be tested on, not trained on. name_*.txt,
    where present, say which images belong to a split; key-point files and viewpoints.csv give the views, the XML files
    colour and type; times.csv, or else the names, tell the times. An image may have another ending than these files
    give it. Identities of query and gallery are the
    numbers of the release, cameras are counted from 0. The gallery is sorted by file name, so that the 1-based
    positions in the release's gt_index.txt and jk_index.txt are `gallery[position - 1]`.
    """

    dataset_names = ("veri776",)
    folder_names = ("VeRi", "veri", "veri-776")
    protocols = ("veri_image", "veri_track", "same_view", "cross_view", "all_views")

    def __init__(self, root: str = "", min_view_confidence: float | None = None, **kwargs: Any) -> None:
        """Read the dataset under `root` (its parent folder, or the dataset folder itself).

        Args:
            root: '' is the working directory.
            min_view_confidence: lines of viewpoints.csv below it count as unknown, in [0, 1]; default 0.
            **kwargs: torchreid's arguments (transform, mode, combineall, verbose, ...).

        Raises:
            FileNotFoundError: if the folder, or an image that a list names, does not exist.
            ValueError: for a malformed name, list, XML or viewpoint line (with file and line), an empty split
                or a query set without a match.
        """
        required = [folder for split, (folder, _) in SPLITS.items() if split != "train"]  # without it: tests alone
        dataset_dir = find_dataset_folder(root, self.folder_names, required, type(self).__name__)
        splits = {split: _read_split(dataset_dir, *where) for split, where in SPLITS.items()}
        images = [image for split in splits.values() for image, _, _ in split or ()]
        views = _by_file_name(_merged(dataset_dir, KEYPOINT_FILES, read_keypoints), images)
        groups = _by_file_name(_merged(dataset_dir, LABEL_FILES, read_appearance), images)
        super().__init__(dataset_dir, splits, views, groups, min_view_confidence, **kwargs)
        times = read_times(dataset_dir, images)
        TIMES.update({self._path(image): time for image, time in (times or _times_of_names(images)).items()})


def _times_of_names(images: Iterable[str]) -> dict[str, float]:
    return {image: float(_IMAGE_NAME.fullmatch(image.rpartition("/")[2])[3]) for image in images}  # type: ignore[index]


def parse_image_name(name: str) -> tuple[int, int] | None:
    """Return (vehicle number, camera number from 0) of an image file name, or None if it has another form."""
    match = _IMAGE_NAME.fullmatch(name)
    if match is None or int(match.group(2)) == 0:
        return None
    return int(match.group(1)), int(match.group(2)) - 1


def read_appearance(path: str) -> dict[str, int]:
    """Read a train_label.xml or test_label.xml and return {image file name: appearance group}.

    Images without a colour or a type are left out.

    Raises:
        ValueError: for bytes that are no text, broken XML or a wrong attribute, with file and line.
    """
    groups = ((item.get("imageName"), _parse_item(path, line, item)) for line, item in read_items(path))
    return {image: group for image, group in groups if group is not None}


def _read_split(dataset_dir: str, folder: str, list_name: str) -> list[tuple[str, int, int]] | None:
    """Return [(image, pid, camid)] of one split: in the order of its list if any, the gallery sorted.

    None where the training images are not there at all.
    """
    if folder == SPLITS["train"][0] and not os.path.isdir(os.path.join(dataset_dir, folder)):
        return None
    present = image_names(os.path.join(dataset_dir, folder))
    list_path = os.path.join(dataset_dir, list_name)
    if os.path.isfile(list_path):
        names = _listed_images(list_path, folder, present)
        if folder == SPLITS["gallery"][0]:
            names.sort()
    else:
        log.debug("%s is absent; every image in %s is used", list_path, folder)
        names = present
    items = []
    for name in names:
        parsed = parse_image_name(name)
        if parsed is None:
            raise ValueError(
                f"{os.path.join(dataset_dir, folder, name)} is not {_NAME_EXPECTED}; "
                f"rename it or move it out of the dataset"
            )
        items.append((f"{folder}/{name}", *parsed))
    return items


def _listed_images(list_path: str, folder: str, present: Collection[str]) -> list[str]:
    """Return the files that a name_*.txt names, each once, after checking that they are well formed and present.

    Where a file has another ending than its name in the list, the file counts.
    """
    present, present_stems, names, renamed = set(present), by_stem(present), {}, 0
    for number, line in read_lines(list_path):
        if parse_image_name(line) is None:
            raise malformed(list_path, number, line, _NAME_EXPECTED)
        name = line if line in present else present_stems.get(stem(line))
        if name is None:
            raise FileNotFoundError(
                f"{list_path}:{number}: the image {line} is listed but does not exist in "
                f"{folder}; unpack the release again, or delete the list"
            )
        renamed += name != line
        names.setdefault(name, number)
    if renamed:
        log.info("%s: %d image(s) have another ending than the list says, and are used", list_path, renamed)
    left_over = len(present) - len(names)
    if left_over:
        log.warning("%s: %d image(s) in %s are not listed and are left out", list_path, left_over, folder)
    return list(names)


def _merged(dataset_dir: str, file_names: Sequence[str], read: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries of those of the optional files that exist, in one mapping."""
    entries = {}
    for name in file_names:
        path = os.path.join(dataset_dir, name)
        if os.path.isfile(path):
            entries.update(read(path))
    return entries


def _by_file_name(entries: Mapping[str, Any], images: Iterable[str]) -> dict[str, Any]:
    """Return {image: entry of its file name}.

    The annotations name query images only under image_test, but file names are the same there. Endings play no part.
    """
    stems = {stem(name): entry for name, entry in entries.items()}
    names = ((image, image.rpartition("/")[2]) for image in images)
    return {image: stems[stem(name)] for image, name in names if stem(name) in stems}


def _parse_item(path: str, line: int, attributes: Mapping[str, Any]) -> int | None:
    """Return the appearance group, or None, that the attributes of one <Item> say."""
    codes = [attributes.get(name) for name in ("colorID", "typeID")]
    if None in codes:
        return None
    if not all(_CODE.fullmatch(code) and is_code(int(code)) for code in codes):  # type: ignore[arg-type]
        raise malformed(path, line, codes, "colorID and typeID as numbers in 0..999")
    return appearance_group("veri776", *map(int, codes))  # type: ignore[arg-type]
