"""Images whose views are to be predicted, images to learn views from, and the viewpoints.csv that results.

Beside a viewpoints.csv that was predicted lies viewpoints.json. It says how the labels were made and holds the
checksum of the CSV (and of the predicted one that it replaced), so that labels which a person made or corrected are
told apart and never overwritten unasked.
"""

import hashlib
import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.folders import ImageFolder, _relative
from ealn_plugin.data.own.names import build_dataset
from ealn_plugin.data.synthetic.presets import Preset
from ealn_plugin.data.viewpoints import VIEWPOINTS_FILE, View, read_viewpoints_csv, viewpoints_csv
from ealn_plugin.system.files import utf8, write_atomically

log = logging.getLogger(__name__)

PROVENANCE_FILE = "viewpoints.json"


CALIBRATION_SHARE, TEST_SHARE = 0.1, 0.2


VARIED = Preset(
    train_vehicles=600,
    train_images=9000,
    train_tracks=4500,
    test_vehicles=100,
    test_images=1500,
    test_tracks=750,
    cameras=60,
    models=150,
    image_size=96,
)


"""Rendered vehicles to learn views from: many models and cameras with few images each. Learning from as many images of
few models and cameras gives a classifier that fails on buses, trucks and pickups of other models."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with known views, three lists of (path, View); no vehicle is in two of them."""

    train: list
    calibration: list
    test: list


def images_of_datasets(names: Sequence[str], root: str) -> list[ImageFolder]:
    """The images of all splits of registered datasets, one ImageFolder for each dataset folder.

    Raises:
        ValueError, FileNotFoundError: no dataset of that name, or it cannot be read.
    """
    folders = {}
    for name in names:
        dataset = build_dataset(name, root)
        folder = _folder_of(dataset, name)
        views = _known_views(dataset, folder)
        folders.setdefault(folder, {}).update({_relative(path, folder): view for path, view in views.items()})
    return [ImageFolder(folder, dict(sorted(views.items()))) for folder, views in folders.items()]


def labelled_images(names: Sequence[str], root: str, seed: int = 0) -> LabelledImages:
    """Images of registered datasets whose views are known, split by vehicle.

    The test vehicles are those of the datasets where both their parts have front and rear views; otherwise a fifth
    of all vehicles is drawn. A tenth is drawn for calibration. Predicted labels are not learned from.

    Args:
        names: registered names; root: folder that holds the dataset folders; seed: of the draws.
    Returns:
        LabelledImages
    Raises:
        ValueError, FileNotFoundError: a dataset cannot be read, or too few vehicles have known views.
    """
    parts = {"train": {}, "test": {}}
    for name in names:
        dataset = build_dataset(name, root)
        folder = _folder_of(dataset, name)
        views = _known_views(dataset, folder)
        for part, items in (("train", dataset.train), ("test", dataset.query + dataset.gallery)):
            for path, pid, *_ in items:
                # by file name: VeRI-776's queries lie in the gallery as well
                if views[path] != View.UNKNOWN:
                    vehicle = parts[part].setdefault((folder, part, pid), {})
                    vehicle[os.path.basename(path)] = (path, views[path])
    train, test = ([sorted(images.values()) for _, images in sorted(parts[part].items())] for part in parts)
    generator = random.Random(f"views {seed}")
    if not (_has_both_ends(train) and _has_both_ends(test)):
        train, test = _draw(train + test, TEST_SHARE, generator)
    train, calibration = _draw(train, CALIBRATION_SHARE, generator)
    if not (_has_both_ends(train) and calibration and test):
        raise ValueError(
            f"{', '.join(names)} in {root!r} has {len(train + calibration + test)} vehicles with known "
            f"views, expected at least three, of which some show their fronts and some their rears; give "
            f"a dataset with view labels, or none to learn from rendered vehicles"
        )
    return LabelledImages(*([image for vehicle in part for image in vehicle] for part in (train, calibration, test)))


def images_to_label(target: ImageFolder, relabel: bool = False) -> list[str]:
    """The images of an ImageFolder that its viewpoints.csv is to name.

    Those whose views the release itself knows are left out, since a viewpoints.csv would override it.

    Args:
        relabel: name them all the same.
    """
    in_place = _labels_in_place(target.folder)
    return [image for image, view in target.views.items() if relabel or view == View.UNKNOWN or image in in_place]


def check_replaceable(folder: str, force: bool = False) -> None:
    """Refuse to lose a viewpoints.csv that was not written by `write_predicted_views`.

    Raises:
        FileExistsError: there is one, and `force` is false.
    """
    if not force and os.path.exists(os.path.join(folder, VIEWPOINTS_FILE)) and not _is_predicted(folder):
        raise FileExistsError(
            f"{os.path.join(folder, VIEWPOINTS_FILE)} exists and was not predicted, or was changed "
            f"since; move it away, or replace it with --force"
        )


def write_predicted_views(
    folder: str, views: Mapping[str, tuple[int, float]], details: Mapping[str, Any], force: bool = False
) -> dict[str, int]:
    """Write {image: (view, confidence)} as viewpoints.csv of a folder, and viewpoints.json beside it.

    Earlier predictions for other images that still exist are kept.

    Args:
        details: JSON values for viewpoints.json, how the labels were made.
        force: see `check_replaceable`; what is replaced is not kept.
    Returns:
        dict: {view name: count} of the file.
    Raises:
        FileExistsError: see `check_replaceable`.
        OSError: the folder cannot be written.
    """
    check_replaceable(folder, force)
    if _is_predicted(folder):
        kept = {
            image: label
            for image, label in _labels_in_place(folder).items()
            if image not in views and os.path.isfile(os.path.join(folder, *image.split("/")))
        }
        if kept:
            log.info("%s: %d earlier predictions for other images are kept", folder, len(kept))
        views = {**kept, **views}
    path, text = os.path.join(folder, VIEWPOINTS_FILE), viewpoints_csv(views)
    checksum = hashlib.sha256(utf8(text, path)).hexdigest()
    labels = [view for view, _ in views.values()]
    counts = {view.name.lower(): labels.count(view) for view in View}
    written = {**details, "counts": counts, "sha256": checksum}
    if _is_predicted(folder):  # so that whichever of the two files is in place after a crash is known as predicted
        written["replaced_sha256"] = _checksum(path)
    write_atomically(os.path.join(folder, PROVENANCE_FILE), json.dumps(written, indent=1, sort_keys=True) + "\n")
    write_atomically(path, text)
    return counts


# ---------------------------------------------------------------------------------------------- parts
def _known_views(dataset, folder: str):
    """{path: View} of every image of a dataset; a view that was only predicted is unknown."""
    paths = [item[0] for item in dataset.train + dataset.query + dataset.gallery]
    predicted = _labels_in_place(folder) if _is_predicted(folder) else {}
    return {
        path: View.UNKNOWN if _relative(path, folder) in predicted else View(VIEWPOINTS.get(path)) for path in paths
    }


def _folder_of(dataset, name: str):
    folder = getattr(dataset, "dataset_dir", "")
    if not folder:
        raise ValueError(
            f"dataset {name!r} does not say in which folder it lies (dataset_dir); label its images with --images"
        )
    return os.path.abspath(folder)


def _draw(vehicles, share, generator):
    """Two lists: the vehicles that stay, and a share of at least one that is drawn."""
    drawn = set(generator.sample(range(len(vehicles)), min(len(vehicles), max(1, round(share * len(vehicles))))))
    return (
        [vehicle for number, vehicle in enumerate(vehicles) if number not in drawn],
        [vehicles[number] for number in sorted(drawn)],
    )


def _has_both_ends(vehicles):
    return {View.FRONT, View.REAR} <= {view for vehicle in vehicles for _, view in vehicle}


def _labels_in_place(folder: str):
    path = os.path.join(folder, VIEWPOINTS_FILE)
    return read_viewpoints_csv(path) if os.path.isfile(path) else {}


def _is_predicted(folder: str):
    path = os.path.join(folder, VIEWPOINTS_FILE)
    try:
        with open(os.path.join(folder, PROVENANCE_FILE), encoding="utf-8") as file:
            provenance = json.load(file)
        return _checksum(path) in (provenance["sha256"], provenance.get("replaced_sha256"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _checksum(path: str):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
