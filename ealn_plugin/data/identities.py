"""The vehicle and camera labels of a data manager's images: what they must be, checked once before anything runs.

torch batches whatever a dataset of somebody's own has in its tuples, and fails deep inside of the loss where these are
no whole numbers or too large. Labels that are texts are numbered here; numpy's whole numbers become Python's.
"""

import logging
import os
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

_LEAST, _MOST = -(2**63), 2**63 - 1
_COLUMNS = (("pid", 1), ("camid", 2))


def check_labels(datamanager: Any, classes: Any = None) -> None:
    """Check the labels of all images of a torchreid data manager, and number those that are texts.

    Training pids are whole numbers from 0 to ``classes`` - 1, or texts; all other pids and camids are whole numbers, or
    texts. Query and gallery of a dataset are numbered together. The datasets' lists are changed in place.

    Args:
        classes: identities that the network's classifier tells apart; None: the training images are not looked at.
    Raises:
        ValueError: one sentence with the image whose label is wrong, and what it must be.
    """
    if classes is not None and datamanager.train_loader is not None:
        _check_part("training images", [datamanager.train_loader.dataset], classes)
    for name, loaders in datamanager.test_loader.items():
        _check_part(f"test images of {name}", [loader.dataset for loader in loaders.values()])


def _check_part(part, datasets, classes=None):
    lists = [dataset.data for dataset in datasets if isinstance(getattr(dataset, "data", None), list)]
    items = [item for data in lists for item in data]
    columns = [_numbered(part, items, *column) for column in _COLUMNS]
    if classes is not None:
        _check_range(items, columns[0], classes)
    made = ((_path(item[0]), *labels, *item[3:]) for item, labels in zip(items, zip(*columns)))
    for data in lists:
        data[:] = [next(made) for _ in data]
    for dataset in datasets:
        if classes is not None and getattr(dataset, "train", dataset.data) is not dataset.data:
            dataset.train = dataset.data


def _numbered(part, items, name, column):
    """The labels of a column as ints; texts are numbered in sorted order."""
    labels = [item[column] for item in items]
    if labels and all(isinstance(label, str) for label in labels):
        numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
        log.info(
            "the %ss of the %s are texts, such as %r; they are numbered from 0 to %d in sorted order",
            name,
            part,
            labels[0],
            len(numbers) - 1,
        )
        return [numbers[label] for label in labels]
    for item, label in zip(items, labels):
        if not _is_whole(label):
            raise ValueError(
                f"image {item[0]!r} of the {part} has the {name} {label!r} ({type(label).__name__}), expected a whole "
                f"number (int), or texts for all of them; correct the {name}s of the dataset's tuples"
            )
    return [int(label) for label in labels]


def _is_whole(label):
    return isinstance(label, (int, np.integer)) and not isinstance(label, bool) and _LEAST <= label <= _MOST


def _check_range(items, pids, classes):
    for item, pid in zip(items, pids):
        if not 0 <= pid < classes:
            raise ValueError(
                f"image {item[0]!r} of the training images has the pid {item[1]!r}, expected whole numbers from 0 to "
                f"{classes - 1}, as the model tells {classes} identities apart; number the {len(set(pids))} training "
                f"identities from 0 and build the model with num_classes=datamanager.num_train_pids"
            )


def _path(path):
    return os.fspath(path) if isinstance(path, os.PathLike) else path
