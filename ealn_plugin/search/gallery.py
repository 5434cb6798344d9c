"""Which images go into an index, what is known of them, and the extractor that makes their features."""

import logging
import os
from dataclasses import replace

import numpy as np

from ealn_plugin import toolkit
from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.folders import images_of_folder
from ealn_plugin.data.viewpoints import View, gather_views
from ealn_plugin.inference.extractor import FeatureExtractor
from ealn_plugin.search.records import Records

log = logging.getLogger(__name__)

SPLITS = ("train", "query", "gallery")


def images_of(sources, root="reid-data", splits=("gallery",)):
    """The images that a list of folders, files and datasets names, as Records with absolute paths.

    Args:
        sources: each a folder, searched with its subfolders, whose viewpoints.csv is read where it has one; the name
            of an image file; or the name of a registered dataset, whose vehicles, cameras and views are known.
        root: folder that holds the dataset folders; splits: which parts of a dataset.
    Raises:
        ValueError, FileNotFoundError: neither, or one that cannot be read.
    """
    return Records.joined(_images_of(source, root, splits) for source in sources)


def _images_of(source, root, splits):
    if os.path.isdir(source):
        found = images_of_folder(source)
        views = gather_views(found.folder, list(found.views), {})
        paths = [found.path(image) for image in found.views]
        VIEWPOINTS.update({path: view for path, view in zip(paths, views.values()) if view != View.UNKNOWN})
    elif os.path.exists(source):
        paths = [os.path.abspath(source)]
    elif os.sep in source or os.path.splitext(source)[1]:
        raise FileNotFoundError(f"there is no file or folder {source!r}; give one, or the name of a dataset")
    else:
        dataset = toolkit.build_dataset(source, root)
        items = [item for split in splits for item in getattr(dataset, split)]
        paths = [os.path.abspath(item[0]) for item in items]
        return Records(
            paths,
            np.array([item[1] for item in items]),
            np.array([item[2] for item in items]),
            VIEWPOINTS.lookup(paths).numpy(),
        )
    return Records(paths, views=VIEWPOINTS.lookup(paths).numpy())


def features_of(extractor, records, skip_unreadable=False, progress=True):
    """Yield (Records, float32 [n, dim]) batch by batch, for ``IndexWriter.add``.

    Views that are not known are predicted where the extractor has a classifier. Images that cannot be read are left
    out with a warning, if asked to, and else raise the error of ``FeatureExtractor``.
    """
    views = None if extractor.classifier is None else "predict"
    for part in extractor.batches(records.paths, views, skip_unreadable, progress):
        for why in part.unreadable.values():
            log.warning("left out: %s", why)
        yield replace(records.take(part.rows), views=part.views.numpy()), part.features.numpy()


def description(run="", model="", weights="", classifier="", fusion=True, **images):
    """JSON values from which ``make_extractor`` makes the extractor that an index was built with.

    Args:
        run: run folder or checkpoint; or model, weights, and images: height, width, norm_mean, norm_std.
        classifier, fusion: as for ``FeatureExtractor``.
    """
    made = {"run": os.path.abspath(run)} if run else {"model": model, "weights": os.path.abspath(weights), **images}
    return {**made, "classifier": os.path.abspath(classifier) if classifier else "", "fusion": fusion}


def make_extractor(described, **options):
    """The FeatureExtractor of a ``description``; options: device, batch_size, precision, workers.

    Raises:
        FileNotFoundError, CheckpointError, ValueError: see ``FeatureExtractor``.
    """
    described = dict(described)
    shared = dict(classifier=described.pop("classifier") or None, fusion=described.pop("fusion"), **options)
    if "run" in described:
        return FeatureExtractor(described["run"], **shared)
    return FeatureExtractor.from_model(**described, **shared)
