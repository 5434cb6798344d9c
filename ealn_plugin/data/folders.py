"""Folders of images that belong to no dataset."""

import os
from dataclasses import dataclass

from ealn_plugin.data.files import IMAGE_EXTENSIONS
from ealn_plugin.data.viewpoints import VIEWPOINTS_FILE, View
from ealn_plugin.system.files import utf8


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images: its absolute path, and {image: View} of those that are to be looked at.

    Images are relative to the folder, with forward slashes; the View is what is known of it from other sources than
    an earlier prediction.
    """

    folder: str
    views: dict

    def path(self, image):
        """Absolute path of an image."""
        return os.path.join(self.folder, *image.split("/"))


def images_of_folder(folder):
    """The ImageFolder of all images under a folder, hidden files and folders left out; their views are unknown.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: the name of an image is no UTF-8, which viewpoints.csv could not hold.
    """
    folder = os.path.abspath(os.path.expanduser(folder))
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.join(parent, name)
            for name in files
            if name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
        ]
    for name in found:
        utf8(name, os.path.join(folder, VIEWPOINTS_FILE))  # now, not when all views are predicted
    if not found:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(IMAGE_EXTENSIONS)}); give a folder that does")
    return ImageFolder(folder, {_relative(path, folder): View.UNKNOWN for path in sorted(found)})


def _relative(path, folder):
    relative = os.path.relpath(os.path.abspath(path), folder).replace(os.sep, "/")
    if relative.startswith("../"):
        raise ValueError(f"image {path!r} lies outside its dataset folder {folder}; label its folder with --images")
    return relative
