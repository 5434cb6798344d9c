"""Images from which regions are pasted into a few test images, chosen as training chooses those of its own images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import ConcatDataset

from ealn_plugin.data.annotations import APPEARANCE
from ealn_plugin.data.donors import SIDE
from ealn_plugin.losses.selection import first_of
from ealn_plugin.schemes.base import Scheme

_CONSIDERED = 24
"""Candidates that are compared with an image, spread evenly over all: more would read a whole gallery for a picture."""


def companion_images(
    loaders: Mapping[str, Any], views: Tensor, rows: Sequence[int], schemes: Sequence[Scheme]
) -> dict[str, Tensor]:
    """An image beside each of some test images, of every kind that the schemes are shown with.

    'donor': of another vehicle of the same view and, where colour and type are known, of the same group; 'own': of the
    same vehicle and view, the image itself where there is none. With a scheme's ``donors`` it is the one that looks
    most alike, as in training (data/donors.py), else any, as in a training batch.

    Args:
        loaders: {'query': DataLoader, 'gallery': DataLoader} of one dataset.
        views: [n] values of ``View`` of all gallery images, then all query images. rows: those looked at among them.
        schemes: list of Scheme.
    Returns:
        {kind: [len(rows), 3, h, w]}, normalized as the data manager does; {} where no scheme asks for any.
    """
    asking = [scheme for scheme in schemes if scheme.shown_with]
    if not asking or not rows:
        return {}
    datasets = [loaders[split].dataset for split in ("gallery", "query")]
    items = [item for dataset in datasets for item in dataset.data]
    every: ConcatDataset[Any] = ConcatDataset(datasets)
    read: dict[int, Tensor] = {}

    def image(row: int) -> Tensor:
        if row not in read:
            read[row] = every[row]["img"]
        return read[row]

    alike = any(scheme.donors for scheme in asking)
    labels = candidates_of(items, views, rows)
    random = torch.Generator().manual_seed(0)
    found = {}
    for kind in dict.fromkeys(kind for scheme in asking for kind in scheme.shown_with):
        chosen = [_choose(row, pool, image, alike, random) for row, pool in zip(rows, labels[kind])]
        found[kind] = torch.stack([image(row) for row in chosen])
    return found


def candidates_of(items: Sequence[tuple[Any, ...]], views: Tensor, rows: Sequence[int]) -> dict[str, list[Tensor]]:
    """Which images may stand beside those of some rows, {"donor" | "own": a tensor of rows for each; may be empty}.

    Args:
        items: tuples (path, pid, ...). views: [n] values of ``View``. rows: at most n.
    """
    paths = [item[0] for item in items]
    pids, groups = torch.tensor([int(item[1]) for item in items]), APPEARANCE.lookup(paths)
    names = [str(path).replace("\\", "/").rpartition("/")[2] for path in paths]
    own_rows = torch.tensor(list(rows))
    same_vehicle = pids[own_rows, None] == pids[None]
    same_view = views[own_rows, None] == views[None]
    same_group = (groups[own_rows, None] == groups[None]) & (groups[own_rows, None] >= 0)
    others = ~same_vehicle
    donors = first_of([others & same_view & same_group, others & same_view, others])
    same_file = torch.tensor([[names[row] == name for name in names] for row in rows])  # a query of VeRI-776 is twice
    own = same_vehicle & same_view & ~same_file
    return {kind: [row.nonzero().flatten() for row in mask] for kind, mask in (("donor", donors), ("own", own))}


def _choose(row: int, pool: Tensor, image: Any, alike: bool, random: torch.Generator) -> int:
    """One of the candidates: that which looks most alike, or any."""
    if not len(pool):
        return row
    if not alike:
        return int(pool[torch.randint(len(pool), (), generator=random)])
    considered = pool[torch.linspace(0, len(pool) - 1, min(_CONSIDERED, len(pool))).round().long()].tolist()
    small = torch.stack([_thumbnail(image(other)) for other in considered])
    return considered[int((small - _thumbnail(image(row))).pow(2).sum(dim=1).argmin())]


def _thumbnail(image: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(image[None], SIDE).flatten()
