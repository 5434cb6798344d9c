"""Which images go into an index, what is known of them, and the extractor that makes their features."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ealn_plugin.config.own_data import absolute, check_exists, display_name, parse
from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.folders import images_of_folder
from ealn_plugin.data.own.names import build_dataset
from ealn_plugin.data.times import read_camera_distances
from ealn_plugin.data.viewpoints import View, gather_views
from ealn_plugin.inference.extractor import FeatureExtractor
from ealn_plugin.runs import references
from ealn_plugin.search.facts import camera_labels, exif_time, facts_of
from ealn_plugin.search.places import CameraDistances
from ealn_plugin.search.records import Records
from ealn_plugin.system.imports import import_modules, located

log = logging.getLogger(__name__)

SPLITS = ("train", "query", "gallery")


def images_of(
    sources: Sequence[str], root: str = "reid-data", splits: Sequence[str] = ("gallery",), **options: Any
) -> Records:
    """The images that a list of folders, files and datasets names, as Records with absolute paths.

    Args:
        sources: each a folder, searched with its subfolders, whose viewpoints.csv is read where it has one; the name
            of an image file; or the name of a registered dataset or of one of the user's own, such as 'csv:PATH', whose
            vehicles, cameras and views are known.
        root: folder that holds the dataset folders; splits: which parts of a dataset.
        options: how a dataset is split, as ``OwnDataset`` takes them: split_id, recorded_splits.
    Raises:
        ValueError, FileNotFoundError: neither, or one that cannot be read.
    """
    return Records.joined(records for records, _ in images_and_cameras(sources, root, splits, **options))


def images_and_cameras(
    sources: Sequence[str], root: str = "reid-data", splits: Sequence[str] = ("gallery",), **options: Any
) -> list[tuple[Records, CameraDistances | None]]:
    """As ``images_of`` for each source, with how far its cameras lie apart where the dataset's folder says so."""
    return [_images_of(source, root, splits, options) for source in sources]


def _images_of(
    source: str, root: str, splits: Sequence[str], options: Mapping[str, Any]
) -> tuple[Records, CameraDistances | None]:
    if parse(source) is not None:
        check_exists(source, "SOURCE")
    elif os.path.isdir(source):
        folder = images_of_folder(source)
        paths = [folder.path(image) for image in folder.views]
        labelled = gather_views(folder.folder, list(folder.views), {}).values()
        views = np.array([known_view(path, view) for path, view in zip(paths, labelled)])
        return Records(paths, views=views, sources=[os.path.abspath(source)] * len(paths)), None
    elif os.path.exists(source):
        paths = [os.path.abspath(source)]
        return Records(paths, views=VIEWPOINTS.lookup(paths).numpy(), sources=[os.path.dirname(paths[0])]), None
    elif os.sep in source or os.path.splitext(source)[1]:
        raise FileNotFoundError(f"there is no file or folder {source!r}; give one, or the name of a dataset")
    dataset = build_dataset(source, root, **options)
    items = [item for split in splits for item in getattr(dataset, split)]
    count = sum(len(getattr(dataset, split)) for split in SPLITS)
    if not items:
        raise ValueError(
            f"{source} has no images in its {' and '.join(splits)} part, of {count} in all; choose other parts with "
            f"--split, such as --split {' '.join(SPLITS)}"
        )
    if len(items) < count:
        log.info(
            "%s: its %s part is taken, %d of %d images; --split %s takes all",
            source,
            " and ".join(splits),
            len(items),
            count,
            " ".join(SPLITS),
        )
    paths = [os.path.abspath(item[0]) for item in items]
    name = source if parse(source) is None else display_name(absolute(source))
    known = facts_of(dataset, name, items)
    records = Records(paths, *_labels(dataset, items), VIEWPOINTS.lookup(paths).numpy(), **known)
    return records, _camera_distances(dataset, name)


def _camera_distances(dataset: Any, name: str) -> CameraDistances | None:
    """Those of the file in the dataset's folder; a broken one is left out with a warning, as few ask for it."""
    labels, folder = camera_labels(dataset), getattr(dataset, "dataset_dir", "")
    try:
        found = read_camera_distances(folder, 1 + max(labels, default=0)) if folder else None
    except ValueError as error:
        log.warning("%s: the distances between its cameras are not taken: %s", name, error)
        return None
    if found is None:
        return None
    return CameraDistances(
        [labels.get(number) or str(number + 1) for number in range(len(found))], found.tolist(), name
    )


def _labels(dataset: Any, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(vehicles, cameras) of images, -1 for a camera that the dataset only numbers and does not know."""
    without = getattr(dataset, "without_camera", ())
    cameras = [-1 if item[0] in without else item[2] for item in items]
    return np.array([item[1] for item in items]), np.array(cameras)


def known_view(path: str, view: int = View.UNKNOWN) -> View:
    """The View of an image: ``view`` where it is known, else what the datasets built in this process know of it."""
    return View(view) if view != View.UNKNOWN else View(VIEWPOINTS.get(path))


def features_of(
    extractor: FeatureExtractor, records: Records, skip_unreadable: bool = False, progress: bool = True
) -> Iterator[tuple[Records, np.ndarray]]:
    """Yield (Records, float32 [n, dim]) batch by batch, for ``IndexWriter.add``.

    Views that the records do not know are predicted where the extractor has a classifier; times that they do not know
    are those of the photographs' EXIF. Images that cannot be read are left out with a warning, if asked to, and else
    raise the error of ``FeatureExtractor``.
    """
    predict = extractor.classifier is not None
    for part in extractor.batches(records.paths, records.views, skip_unreadable, progress, predict=predict):
        for why in part.unreadable.values():
            log.warning("left out: %s", why)
        yield with_times(replace(records.take(part.rows), views=part.views.numpy())), part.features.numpy()


def with_times(records: Records) -> Records:
    """The records with the times of the photographs' EXIF where they know none."""
    times, dated = records.times.copy(), records.dated.copy()
    for row in np.flatnonzero(np.isnan(times)):
        times[row], dated[row] = exif_time(records.paths[row])
    return replace(records, times=times, dated=dated)


def description(
    run: Any = "",
    model: str = "",
    weights: str = "",
    classifier: str = "",
    fusion: bool = True,
    imports: Sequence[str] = (),
    **images: Any,
) -> dict[str, Any]:
    """JSON values from which ``make_extractor`` makes the extractor that an index was built with.

    Args:
        run: run folder or checkpoint; or model, weights, and images: height, width, norm_mean, norm_std.
        classifier, fusion: as for ``FeatureExtractor``.
        imports: modules that register the model, as ``import_modules`` takes them.
    """
    network = (
        {"run": os.path.abspath(run)} if run else {"model": model, "weights": references.absolute(weights), **images}
    )
    if imports:
        network["imports"] = [located(name) for name in imports]
    return {**network, "classifier": os.path.abspath(classifier) if classifier else "", "fusion": fusion}


def make_extractor(described: Mapping[str, Any], **options: Any) -> FeatureExtractor:
    """The FeatureExtractor of a ``description``; options: device, batch_size, precision, workers.

    Raises:
        FileNotFoundError, CheckpointError, ValueError: see ``FeatureExtractor``.
    """
    described = dict(described)
    import_modules(described.pop("imports", ()))
    shared = dict(classifier=described.pop("classifier") or None, fusion=described.pop("fusion"), **options)
    if "run" in described:
        return FeatureExtractor(described["run"], **shared)
    return FeatureExtractor.from_model(**described, **shared)
