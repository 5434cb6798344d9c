"""A folder of photographs: ``SPLIT/VEHICLE/IMAGE``, or ``VEHICLE/IMAGE`` where there is no split."""

import os

from ealn_plugin.data.folders import images_of_folder
from ealn_plugin.data.own.photographs import SPLITS, Photograph, Photographs


def read_folder(path: str) -> Photographs:
    """Read a folder of photographs, a folder for each vehicle.

    Where all folders in it are called train, query, gallery or test, they are the splits. A folder between the
    vehicle and its images is a camera.

    Raises:
        FileNotFoundError: there is no such folder, no image in it, or an image that is a link to nothing.
        ValueError: split and other folders side by side, or an image that lies outside of a vehicle's folder.
    """
    if not os.path.isdir(path):
        raise FileNotFoundError(f"there is no folder {path!r}; give the present path of the folder of photographs")
    folder = images_of_folder(path)
    parts = [image.split("/") for image in folder.views]
    first = {part[0] for part in parts if len(part) > 1}
    splits = {name for name in first if name.lower() in SPLITS}
    if splits and splits != first:
        raise ValueError(
            f"{path} holds {sorted(splits)[0]!r} beside {sorted(first - splits)[0]!r}, expected either folders called "
            f"{', '.join(SPLITS)} with vehicles in them, or vehicles alone; move one kind away"
        )
    return Photographs(path, folder.folder, [_photograph(path, part, bool(splits)) for part in parts])


def _photograph(path: str, parts: list[str], split: bool) -> Photograph:
    labels = parts[split:-1]
    if len(labels) not in (1, 2) or (split and len(parts) < 3):
        form = "SPLIT/VEHICLE/IMAGE" if split else "VEHICLE/IMAGE"
        raise ValueError(
            f"{path}: the image {'/'.join(parts)!r} lies at no place where its vehicle is known, expected {form}, or "
            "CAMERA between the two; move it into the folder of its vehicle"
        )
    vehicle, camera = labels[0], labels[1] if len(labels) == 2 else ""
    return Photograph("/".join(parts), vehicle, camera, split=parts[0].lower() if split else "")
