"""A fixed set of test images, what generators make of them, and their embeddings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.diagnostics import pixel_statistics
from ealn_plugin.evaluation.interfaces import Embedding, Pixels, ViewsOf
from ealn_plugin.evaluation.partners import companion_images
from ealn_plugin.schemes.base import Scheme

VEHICLES, PER_VEHICLE = 16, 4
_AT_A_TIME = 16


@dataclass(frozen=True)
class FixedImages:
    """Test images that are the same for every network and every epoch.

    Attributes:
        images: [n, 3, h, w], normalized as the data manager does.
        pids, camids: [n] vehicle and camera numbers, images of one vehicle together; views: [n] values of ``View``.
        paths: of the images; names: the same relative to the dataset's folder, where that is known.
        companions: {kind: [n, 3, h, w]} of the kinds that the schemes are shown with, normalized as the images.
    """

    images: torch.Tensor
    pids: torch.Tensor
    camids: torch.Tensor
    views: torch.Tensor
    paths: tuple
    names: tuple
    companions: Mapping[str, torch.Tensor] = field(default_factory=dict)


class GeneratedPictures(NamedTuple):
    """Images [m, 3, h, w] in [-1, 1] that ``scheme`` made of the inputs in the rows ``anchor`` [m] of a set."""

    name: str
    scheme: Scheme
    images: torch.Tensor
    anchor: torch.Tensor


# ---------------------------------------------------------------------------------------------- what is observed
def make_all(
    schemes: Sequence[Scheme], images: Tensor, views: Tensor, companions: Mapping[str, Tensor] | None = None
) -> list[GeneratedPictures]:
    """What every scheme makes of images, a few at a time.

    Args:
        schemes: list of Scheme. images: [n, 3, h, w] in [-1, 1]. views: [n] values of ``View``.
        companions: {kind: images like these} for the schemes that are shown with them; None: there are none.
    Returns:
        list of GeneratedPictures, one per kind of picture that a scheme shows; kinds for which no image has the right
        view are left out.
    """
    everything, seen = torch.arange(len(views)), ((views == View.FRONT) | (views == View.REAR)).nonzero().flatten()
    pictures = []
    for scheme in schemes:
        anchor = seen if scheme.makes_other_view else everything
        parts = [
            pictures_of(scheme, images, views, companions or {}, rows) for rows in anchor.split(_AT_A_TIME) if len(rows)
        ]
        pictures += [
            GeneratedPictures(name, scheme, torch.cat([part[name] for part in parts]), anchor)
            for name in (parts[0] if parts else ())
        ]
    return pictures


def pictures_of(
    scheme: Scheme, images: Tensor, views: Tensor, companions: Mapping[str, Tensor], rows: Tensor
) -> dict[str, Tensor]:
    """What ``scheme.pictures`` makes of the rows [m] of images, shown with their companions where it takes some."""
    rows_there = rows.to(images.device)
    if not scheme.shown_with:
        return scheme.pictures(images[rows_there], views[rows])
    beside = {kind: found[rows_there] for kind, found in companions.items() if kind in scheme.shown_with}
    return scheme.pictures(images[rows_there], views[rows], beside)  # type: ignore[call-arg]


def embed(embedding: Embedding, pixels: Pixels, images: Tensor) -> Tensor:
    """Embeddings [n, dim] of images [n, 3, h, w] in [-1, 1], a few at a time."""
    return torch.cat([embedding(pixels.to_embedding(part)) for part in images.split(_AT_A_TIME)])


def observe(
    fixed: FixedImages, embedding: Embedding, pixels: Pixels, schemes: Sequence[Scheme], device: torch.device
) -> dict[str, NDArray[Any]]:
    """The arrays from which ``diagnose_arrays`` computes the numbers of an epoch, and which image is which.

    Args:
        fixed: FixedImages. embedding, schemes: in evaluation mode. pixels: PixelRange. device: where they are.
    Returns:
        {name: numpy array}, see ``diagnose_arrays``; also views [n] and images (names) [n].
    """
    images = pixels.to_generator(fixed.images.to(device))
    arrays: dict[str, Any] = {"real": embed(embedding, pixels, images), "pids": fixed.pids, "views": fixed.views}
    arrays = {name: value.cpu().numpy() for name, value in arrays.items()}
    arrays["images"] = np.array(fixed.names, dtype=np.str_)
    companions = {kind: pixels.to_generator(found.to(device)) for kind, found in fixed.companions.items()}
    pictures = make_all(schemes, images, fixed.views, companions)
    arrays["kinds"] = np.array([kind.name for kind in pictures], dtype=np.str_)
    for name, scheme, outputs, anchor in pictures:
        margins = [scheme.alpha] + ([scheme.beta1, scheme.beta2] if hasattr(scheme, "beta1") else [])
        arrays[f"{name}/embeddings"] = embed(embedding, pixels, outputs).cpu().numpy()
        arrays[f"{name}/anchor"] = anchor.numpy()
        arrays[f"{name}/margins"] = np.array(margins, dtype=np.float64)
        arrays[f"{name}/distance"] = np.array(scheme.distance)
        statistics = pixel_statistics(images[anchor.to(device)], outputs)
        arrays.update({f"{name}/{key}": np.asarray(value) for key, value in statistics.items()})
    return arrays


# ---------------------------------------------------------------------------------------------- fixed images
def fixed_images(
    loaders: Mapping[str, Any],
    views_of: ViewsOf,
    vehicles: int = VEHICLES,
    per_vehicle: int = PER_VEHICLE,
    schemes: Sequence[Scheme] = (),
) -> FixedImages:
    """A few images each of some test vehicles, front and rear in equal parts where the views are known.

    Args:
        loaders: {'query': DataLoader, 'gallery': DataLoader} of one dataset. views_of: paths to values of ``View``.
        vehicles, per_vehicle: at most so many; vehicles with a single image are passed over.
        schemes: list of Scheme whose companions are looked for, see ``partners.companion_images``.
    Returns:
        FixedImages, empty if no vehicle has two images.
    """
    datasets = [loaders[split].dataset for split in ("gallery", "query")]
    items = [item for dataset in datasets for item in dataset.data]
    views = views_of([item[0] for item in items])
    rows = choose_rows(items, views, vehicles, per_vehicle)
    both: ConcatDataset[Any]
    both, size = ConcatDataset(datasets), datasets[0][0]["img"].shape
    images = torch.stack([both[row]["img"] for row in rows]) if rows else torch.empty(0, *size)
    paths = tuple(items[row][0] for row in rows)
    folder = getattr(datasets[0], "dataset_dir", "")
    names = tuple(os.path.relpath(path, folder) if folder else os.path.basename(path) for path in paths)
    pids, camids = (torch.tensor([int(items[row][column]) for row in rows], dtype=torch.long) for column in (1, 2))
    names = tuple(name.replace(os.sep, "/") for name in names)
    return FixedImages(images, pids, camids, views[rows], paths, names, companion_images(loaders, views, rows, schemes))


def choose_rows(items: Sequence[tuple[Any, ...]], views: Tensor, vehicles: int, per_vehicle: int) -> list[int]:
    """Row numbers of the images of ``fixed_images``; a file that occurs twice (a VeRI-776 query) counts once.

    Args:
        items: tuples (path, pid, ...). views: [n] values of ``View``.
    """
    rows_of: dict[int, list[int]] = {}
    names: set[str] = set()
    for row, (path, pid, *_) in enumerate(items):
        if os.path.basename(path) not in names:
            names.add(os.path.basename(path))
            rows_of.setdefault(int(pid), []).append(row)
    view_of = views.tolist()
    usable = [pid for pid in sorted(rows_of) if len(rows_of[pid]) > 1]
    both = [pid for pid in usable if {int(View.FRONT), int(View.REAR)} <= {view_of[row] for row in rows_of[pid]}]
    pool = both if len(both) >= min(vehicles, len(usable)) else usable
    chosen = []
    for pid in spread(torch.tensor(pool, dtype=torch.long), vehicles):
        by_view = [
            spread(torch.tensor([row for row in rows_of[pid] if view_of[row] == view], dtype=torch.long), per_vehicle)
            for view in (View.FRONT, View.REAR)
        ]
        known = [row for pair in zip(*by_view) for row in pair]
        rest = [row for row in rows_of[pid] if row not in known]
        chosen += (known + rest)[:per_vehicle]
    return chosen


def sample_images(
    loaders: Mapping[str, Any], views_of: ViewsOf, schemes: Sequence[Scheme] = (), count: int = 8
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Fixed query images to watch the generators with: half front, half rear where the views are known.

    Args:
        loaders: {'query': DataLoader, 'gallery': DataLoader} of one dataset. count: images wanted.
        schemes: list of Scheme whose companions are looked for, see ``partners.companion_images``.
    Returns:
        (images [n, 3, h, w] normalized, views [n], {kind: companions [n, 3, h, w] normalized})
    """
    dataset = loaders["query"].dataset
    views = views_of([item[0] for split in ("gallery", "query") for item in loaders[split].dataset.data])
    before = len(loaders["gallery"].dataset.data)
    own = views[before:]
    chosen = [i for view in (View.FRONT, View.REAR) for i in spread((own == view).nonzero().flatten(), count // 2)]
    chosen = chosen or spread(torch.arange(len(own)), count)
    companions = companion_images(loaders, views, [before + row for row in chosen], schemes)
    return torch.stack([dataset[index]["img"] for index in chosen]), own[chosen], companions


def spread(indices: Tensor, count: int) -> list[int]:
    """At most ``count`` of the indices, evenly spread."""
    if not len(indices):
        return []
    step = max(1, len(indices) // count)
    return indices[::step][:count].tolist()
