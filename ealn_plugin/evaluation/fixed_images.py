"""A fixed set of test images, what generators make of them, and their embeddings."""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import ConcatDataset

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.diagnostics import pixel_statistics

VEHICLES, PER_VEHICLE = 16, 4
_AT_A_TIME = 16


@dataclass(frozen=True)
class FixedImages:
    """Test images that are the same for every network and every epoch.

    Attributes:
        images: [n, 3, h, w], normalized as the data manager does.
        pids, camids: [n] vehicle and camera numbers, images of one vehicle together; views: [n] values of ``View``.
        paths: of the images; names: the same relative to the dataset's folder, where that is known.
    """

    images: torch.Tensor
    pids: torch.Tensor
    camids: torch.Tensor
    views: torch.Tensor
    paths: tuple
    names: tuple


class Made(NamedTuple):
    """Images [m, 3, h, w] in [-1, 1] that ``scheme`` made of the inputs in the rows ``anchor`` [m] of a set."""

    name: str
    scheme: object
    images: torch.Tensor
    anchor: torch.Tensor


# ---------------------------------------------------------------------------------------------- what is observed
def make_all(schemes, images, views):
    """What every scheme makes of images, a few at a time.

    Args:
        schemes: list of Scheme. images: [n, 3, h, w] in [-1, 1]. views: [n] values of ``View``.
    Returns:
        list of Made, one per kind of picture that a scheme shows; kinds for which no image has the right view are
        left out.
    """
    everything, seen = torch.arange(len(views)), ((views == View.FRONT) | (views == View.REAR)).nonzero().flatten()
    made = []
    for scheme in schemes:
        anchor = seen if scheme.makes_other_view else everything
        parts = [
            scheme.pictures(images[rows.to(images.device)], views[rows])
            for rows in anchor.split(_AT_A_TIME)
            if len(rows)
        ]
        made += [
            Made(name, scheme, torch.cat([part[name] for part in parts]), anchor)
            for name in (parts[0] if parts else ())
        ]
    return made


def embed(embedding, pixels, images):
    """Embeddings [n, dim] of images [n, 3, h, w] in [-1, 1], a few at a time."""
    return torch.cat([embedding(pixels.to_embedding(part)) for part in images.split(_AT_A_TIME)])


def observe(fixed, embedding, pixels, schemes, device):
    """The arrays from which ``diagnose_arrays`` computes the numbers of an epoch, and which image is which.

    Args:
        fixed: FixedImages. embedding, schemes: in evaluation mode. pixels: PixelRange. device: where they are.
    Returns:
        {name: numpy array}, see ``diagnose_arrays``; also views [n] and images (names) [n].
    """
    images = pixels.to_generator(fixed.images.to(device))
    arrays = {"real": embed(embedding, pixels, images), "pids": fixed.pids, "views": fixed.views}
    arrays = {name: value.cpu().numpy() for name, value in arrays.items()}
    arrays["images"] = np.array(fixed.names, dtype=np.str_)
    made = make_all(schemes, images, fixed.views)
    arrays["kinds"] = np.array([kind.name for kind in made], dtype=np.str_)
    for name, scheme, outputs, anchor in made:
        margins = [scheme.alpha] + ([scheme.beta1, scheme.beta2] if hasattr(scheme, "beta1") else [])
        arrays[f"{name}/embeddings"] = embed(embedding, pixels, outputs).cpu().numpy()
        arrays[f"{name}/anchor"] = anchor.numpy()
        arrays[f"{name}/margins"] = np.array(margins, dtype=np.float64)
        arrays[f"{name}/distance"] = np.array(scheme.distance)
        statistics = pixel_statistics(images[anchor.to(device)], outputs)
        arrays.update({f"{name}/{key}": np.asarray(value) for key, value in statistics.items()})
    return arrays


# ---------------------------------------------------------------------------------------------- fixed images
def fixed_images(loaders, views_of, vehicles=VEHICLES, per_vehicle=PER_VEHICLE):
    """A few images each of some test vehicles, front and rear in equal parts where the views are known.

    Args:
        loaders: {'query': DataLoader, 'gallery': DataLoader} of one dataset. views_of: paths to values of ``View``.
        vehicles, per_vehicle: at most so many; vehicles with a single image are passed over.
    Returns:
        FixedImages, empty if no vehicle has two images.
    """
    datasets = [loaders[split].dataset for split in ("gallery", "query")]
    items = [item for dataset in datasets for item in dataset.data]
    views = views_of([item[0] for item in items])
    rows = choose_rows(items, views, vehicles, per_vehicle)
    both, size = ConcatDataset(datasets), datasets[0][0]["img"].shape
    images = torch.stack([both[row]["img"] for row in rows]) if rows else torch.empty(0, *size)
    paths = tuple(items[row][0] for row in rows)
    folder = getattr(datasets[0], "dataset_dir", "")
    names = tuple(os.path.relpath(path, folder) if folder else os.path.basename(path) for path in paths)
    pids, camids = (torch.tensor([int(items[row][column]) for row in rows], dtype=torch.long) for column in (1, 2))
    return FixedImages(images, pids, camids, views[rows], paths, tuple(name.replace(os.sep, "/") for name in names))


def choose_rows(items, views, vehicles, per_vehicle):
    """Row numbers of the images of ``fixed_images``; a file that occurs twice (a VeRI-776 query) counts once.

    Args:
        items: tuples (path, pid, ...). views: [n] values of ``View``.
    """
    rows_of, names = {}, set()
    for row, (path, pid, *_) in enumerate(items):
        if os.path.basename(path) not in names:
            names.add(os.path.basename(path))
            rows_of.setdefault(int(pid), []).append(row)
    views = views.tolist()
    usable = [pid for pid in sorted(rows_of) if len(rows_of[pid]) > 1]
    both = [pid for pid in usable if {int(View.FRONT), int(View.REAR)} <= {views[row] for row in rows_of[pid]}]
    pool = both if len(both) >= min(vehicles, len(usable)) else usable
    chosen = []
    for pid in spread(torch.tensor(pool, dtype=torch.long), vehicles):
        by_view = [
            spread(torch.tensor([row for row in rows_of[pid] if views[row] == view], dtype=torch.long), per_vehicle)
            for view in (View.FRONT, View.REAR)
        ]
        known = [row for pair in zip(*by_view) for row in pair]
        rest = [row for row in rows_of[pid] if row not in known]
        chosen += (known + rest)[:per_vehicle]
    return chosen


def sample_images(dataset, views_of, count=8):
    """Fixed images to watch the generators with: half front, half rear where the views are known.

    Args:
        dataset: a torchreid dataset in query mode. count: images wanted.
    Returns:
        (images [n, 3, h, w] normalized, views [n])
    """
    views = views_of([item[0] for item in dataset.data])
    chosen = [i for view in (View.FRONT, View.REAR) for i in spread((views == view).nonzero().flatten(), count // 2)]
    chosen = chosen or spread(torch.arange(len(views)), count)
    return torch.stack([dataset[index]["img"] for index in chosen]), views[chosen]


def spread(indices, count):
    """At most ``count`` of the indices, evenly spread."""
    if not len(indices):
        return []
    step = max(1, len(indices) // count)
    return indices[::step][:count].tolist()
