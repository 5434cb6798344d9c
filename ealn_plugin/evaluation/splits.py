"""Which images are queries and which are the gallery: the split that a dataset comes with, or seeded draws."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ealn_plugin.evaluation.features import Features

DRAWS, SEED = 10, 0
"""The draws of the protocols for data without a split of its own; the authors of VehicleID average over ten too."""


class ProtocolUnavailable(ValueError):
    """The features cannot support the protocol, for instance because they have no view labels."""


def own_split(features: Features) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(query, gallery): row numbers int64 of the split that the features come with.

    Raises:
        ProtocolUnavailable: one of them is empty.
    """
    query, gallery = np.flatnonzero(features.is_query), np.flatnonzero(~features.is_query)
    if not len(query) or not len(gallery):
        raise ProtocolUnavailable(
            f"there are {len(query)} query and {len(gallery)} gallery images, expected some of "
            "each; set is_query in the features"
        )
    return query, gallery


def is_one_draw(features: Features) -> bool:
    """Whether the split that the features come with is one draw of many, as VehicleID's; bool.

    That is so where no camera tells two images apart (the queries share one number, and so does the gallery) and the
    gallery has one image per identity, or there is no query at all: then the release fixes no split.
    """
    camids, query = features.camids, features.is_query
    if len(np.unique(camids[query])) > 1 or len(np.unique(camids[~query])) > 1:
        return False
    gallery = features.pids[~query]
    return not query.any() or len(np.unique(gallery)) == len(gallery)


def draw_one_per_identity(
    features: Features, draws: int = DRAWS, seed: int = SEED
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (drawn, others) per draw: row numbers int64, one image of every identity, and all its other images.

    Identities with a single image are skipped altogether.

    Raises:
        ProtocolUnavailable: no identity has two images.
    """
    keys = (features.paths, features.pids) if features.paths else (features.pids,)
    order = np.lexsort(keys)
    _, starts, counts = np.unique(features.pids[order], return_index=True, return_counts=True)
    starts, counts = starts[counts > 1], counts[counts > 1]
    if not len(starts):
        raise ProtocolUnavailable(f"none of the {len(features)} images shares its identity with another; check pids")
    usable = np.concatenate([order[start : start + count] for start, count in zip(starts, counts)])
    starts = np.cumsum(counts) - counts
    for draw in range(draws):
        drawn = starts + np.random.default_rng([seed, draw]).integers(0, counts)
        yield usable[drawn], np.delete(usable, drawn)
