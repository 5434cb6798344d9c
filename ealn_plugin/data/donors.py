"""Which images a region can be taken from so that it fits: those of other vehicles that look most alike.

An image of the same camera, pose and colour differs from the given one where the vehicles differ. Looked for once, in
thumbnails of the whole training set, as a batch of a few vehicles seldom holds one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

SIDE = 12
"""Height and width of the thumbnails, in pixels: enough for pose, colour and camera, too few for marks."""
_ROWS = 1024


def thumbnails(paths: Sequence[str], read: Callable[[str], Any], progress: bool = True) -> Tensor:
    """Small copies of images -> float32 [n, 3 * 12 * 12], values of the pixels in [0, 255].

    Args:
        paths: of the images.
        read: function of a path to uint8 [height, width, 3].
        progress: show a progress bar.
    Raises:
        What ``read`` raises.
    """
    small = np.empty((len(paths), SIDE, SIDE, 3), dtype=np.uint8)
    for row, path in enumerate(tqdm(paths, "looking for donors", unit="img", leave=False, disable=not progress)):
        small[row] = cv2.resize(read(path), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).float().flatten(1)


def nearest_donors(features: Tensor, pids: Tensor, views: Tensor, count: int) -> tuple[list[Tensor], list[Tensor]]:
    """The nearest images of other vehicles and of the own one, of the same view.

    Args:
        features: [n, dim], compared by Euclidean distance, such as ``thumbnails``.
        pids, views: [n]; images whose view is unknown, -1, are taken to be of one view.
        count: most images wanted of each kind.
    Returns:
        (donors, own): for each image the rows of the nearest images, nearest first. donors: of other vehicles, in
        another view only where its own has none; own: of the same vehicle in the same view; either may be empty.
    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count of donors is {count}, expected 1 or more")
    donors: list[Tensor] = []
    own: list[Tensor] = []
    for start in range(0, len(features), _ROWS):
        rows = torch.arange(start, min(start + _ROWS, len(features)))
        distance = torch.cdist(features[rows], features)
        same_vehicle = pids[rows, None] == pids[None]
        same_view = views[rows, None] == views[None]
        others = ~same_vehicle & same_view
        others = torch.where(others.any(dim=1, keepdim=True), others, ~same_vehicle)
        donors += _nearest(distance, others, count)
        itself = rows[:, None] == torch.arange(len(features))[None]
        own += _nearest(distance, same_vehicle & same_view & ~itself, count)
    return donors, own


def _nearest(distance: Tensor, candidates: Tensor, count: int) -> list[Tensor]:
    """Per row the columns of the ``count`` smallest distances among the candidates, or of all that there are."""
    found = distance.masked_fill(~candidates, torch.inf).topk(min(count, distance.shape[1]), dim=1, largest=False)
    return [columns[values < torch.inf] for values, columns in zip(found.values, found.indices)]


def donor_lists(
    paths: Sequence[str],
    pids: Sequence[int],
    views: Tensor,
    read: Callable[[str], Any],
    count: int,
    progress: bool = True,
) -> dict[str, dict[str, list[str]]]:
    """The donors of every image of a training set, by its path.

    Args:
        paths, pids, views: [n] of the images. read, progress: see ``thumbnails``. count: see ``nearest_donors``.
    Returns:
        {"donor": {path: paths of the nearest images of other vehicles}, "own": {path: the same of its own vehicle, the
        image itself where there is no other}}
    Raises:
        ValueError: all images are of one vehicle, or ``count`` is below 1.
    """
    if len(set(pids)) < 2:
        raise ValueError(
            f"regions are taken from other vehicles, but the {len(paths)} training images show {len(set(pids))}; give "
            "a training set of two vehicles or more"
        )
    found = nearest_donors(thumbnails(paths, read, progress), torch.tensor(pids), views, count)
    kinds = {}
    for kind, lists in zip(("donor", "own"), found):
        kinds[kind] = {path: [paths[row] for row in rows] or [path] for path, rows in zip(paths, lists)}
    return kinds
