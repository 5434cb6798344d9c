"""The weight of generated other views in the fused feature, chosen on training vehicles so that fusing cannot harm.

Whether the generated half adds anything is a question of how good the generator is: fused with the true other view a
feature gains a lot, with one that lacks the vehicle's marks it loses as much. The training vehicles can tell.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch.utils.data import DataLoader

from ealn_plugin.evaluation.extraction import fuse
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.query_ranks import NoValidQuery
from ealn_plugin.evaluation.ranking import rank_features

WEIGHTS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
VEHICLES, IMAGES = 300, 24
"""Most vehicles, and images of each, that are looked at."""
_CONFIDENCE = 0.95


class Weight(NamedTuple):
    """A weight, and what it adds to the mean average precision of the vehicles that it was not chosen on.

    Attributes:
        value: in [0, 1]. gain, low: mean difference to the own feature over those vehicles, and the lower end of its
            95% interval; 0 where no weight but 0 was in question.
        vehicles: how many they are.
    """

    value: float
    gain: float
    low: float
    vehicles: int


def choose_weight(
    own: Features, other: NDArray[Any], fusion: str = "by_view", weights: Sequence[float] = WEIGHTS, seed: int = 0
) -> Weight:
    """The weight of the other views that ranks training vehicles best, or 0 where that is not sure to be a gain.

    The best weight is chosen on one half of the vehicles. It is taken if on the other half the mean over the vehicles
    of what it gains is above zero with its 95% interval (Student's t), else 0 is.

    Args:
        own: features of training images, is_query and paths aside.
        other: [n, dim] embeddings of their other views.
        fusion: see ``fuse``.
        weights: those in question, 0 among them.
        seed: of the halves.
    """
    vehicles = np.unique(own.pids)
    order = np.random.default_rng(seed).permutation(len(vehicles))
    halves = [np.sort(vehicles[order[start::2]]) for start in range(2)]
    rows = [np.flatnonzero(np.isin(own.pids, half)) for half in halves]
    found = [_precision(own, other, rows[0], fusion, weight).mean() for weight in weights]
    best = float(weights[int(np.argmax(found))])
    if best == 0.0 or max(found) <= found[list(weights).index(0.0)]:
        return Weight(0.0, 0.0, 0.0, len(halves[1]))
    gains = _precision(own, other, rows[1], fusion, best) - _precision(own, other, rows[1], fusion, 0.0)
    gain, low = float(gains.mean()), -np.inf
    if len(gains) > 1:
        low = gain - stats.t.ppf(0.5 + _CONFIDENCE / 2, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return Weight(best if low > 0 else 0.0, gain, float(low), len(gains))


def _precision(
    own: Features, other: NDArray[Any], rows: NDArray[np.int64], fusion: str, weight: float
) -> NDArray[np.float64]:
    """Average precision of each vehicle that has a match [vehicles], a mean over its queries, among these rows alone.

    One image of each vehicle, camera and view is a query. Images of its vehicle in its camera are junk; where that
    leaves no match, as with unknown cameras, only itself is.
    """
    if not len(rows):
        return np.zeros(1)
    first, second = (torch.from_numpy(np.ascontiguousarray(part[rows])) for part in (own.embeddings, other))
    features = first if weight == 0.0 else fuse(first, second, torch.from_numpy(own.views[rows]), fusion, weight)
    pids, camids = own.pids[rows], own.camids[rows]
    labels = np.stack([pids, camids, own.views[rows]], axis=1)
    queries = np.sort(np.unique(labels, axis=0, return_index=True)[1])
    for cameras in (camids, np.arange(len(rows))):
        try:
            ranks = rank_features(features[queries], features, pids[queries], pids, cameras[queries], cameras)
        except NoValidQuery:
            continue
        precision, vehicles = ranks.average_precision[ranks.valid], pids[queries][ranks.valid]
        return np.array([precision[vehicles == vehicle].mean() for vehicle in np.unique(vehicles)])
    return np.zeros(1)


def loader_of(items: Sequence[Any], like: Any, seed: int = 0) -> DataLoader[Any]:
    """A loader of some training images, read as those of a test are.

    Args:
        items: dataset tuples (path, pid, ...) of the training set.
        like: torchreid's loader of a test set, whose transform and batch size are used.
        seed: of the choice of at most 300 vehicles with at most 24 images each.
    """
    rng = np.random.default_rng(seed)
    by_vehicle: dict[int, list[Any]] = {}
    for item in items:
        by_vehicle.setdefault(item[1], []).append(item)
    chosen = []
    for vehicle in sorted(rng.permutation(sorted(by_vehicle))[:VEHICLES].tolist()):
        own = by_vehicle[vehicle]
        chosen += [own[row] for row in sorted(rng.permutation(len(own))[:IMAGES].tolist())]
    dataset = copy.copy(like.dataset)
    dataset.data = chosen
    return DataLoader(dataset, batch_size=like.batch_size, num_workers=like.num_workers, collate_fn=like.collate_fn)
