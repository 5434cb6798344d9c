"""The test protocols of the vehicle datasets, all from one extraction of features.

========================  ==========================================================================================
image                     torchreid's rule for any dataset: gallery images of the query's vehicle and camera are junk
veri_image                the same on VeRI-776, checked against gt_index.txt and jk_index.txt where these exist
veri_track                VeRI-776, image to track: a track's distance is the smallest over its images
vehicleid_cmc             ten draws of one gallery image per identity, all others are probes (mAP = mean reciprocal
                          rank); no junk
vehicleid_map             the same draws the other way round: the drawn image is the probe; no junk
same_view, cross_view,    Table II of the paper: only matches with the query's view, only those with another, or both.
all_views                 Queries without a view are skipped, the vehicle's gallery images without a view are junk.
                          On VehicleID within the ten draws of vehicleid_map, as the paper; where the dataset has a
                          split and cameras, on that split, and images of the query's camera are junk too
========================  ==========================================================================================
"""

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.interfaces import JunkRule
from ealn_plugin.evaluation.protocol import Protocol
from ealn_plugin.evaluation.query_ranks import NoValidQuery, QueryRanks
from ealn_plugin.evaluation.split_ranker import Ranker
from ealn_plugin.evaluation.splits import (
    DRAWS,
    SEED,
    ProtocolUnavailable,
    draw_one_per_identity,
    is_one_draw,
    own_split,
)
from ealn_plugin.evaluation.veri_protocols import VeriImageProtocol, VeriTrackProtocol
from ealn_plugin.system.randomness import _numpy_seeded

log = logging.getLogger(__name__)
DEFAULT_PROTOCOLS = ("image",)


@dataclass(frozen=True)
class ImageProtocol(Protocol):
    """torchreid's own rule, with its metric for CUHK03 as an option."""

    def _cmc_cuhk03(self, features: Features, ranker: Ranker, ranks: Sequence[int]) -> dict[str, float]:
        """{"rank1": float, ...}; the galleries are drawn from a fixed seed, so equal features give equal figures."""
        query, gallery = own_split(features)
        identities = len(np.unique(features.pids[gallery]))
        with _numpy_seeded(SEED):
            curve, _ = toolkit.evaluate_rank(
                ranker.distances(query, gallery),
                features.pids[query],
                features.pids[gallery],
                features.camids[query],
                features.camids[gallery],
                use_metric_cuhk03=True,
                max_rank=min(max(ranks), identities),
            )
        return {f"rank{rank}": float(curve[min(rank, identities) - 1]) for rank in ranks}


@dataclass(frozen=True)
class ViewProtocol(Protocol):
    """Retrieval within one view, across views, or both; ``matches`` is 'same', 'cross' or 'all'.

    Where the features' split is only one draw of many, as on VehicleID, the rule is applied within the ten draws of
    vehicleid_map (one probe per identity, all others are the gallery), and cameras play no part. Draws without one
    match of the asked view do not count.
    """

    matches: str = "all"

    def _draws(self, features: Features) -> bool:
        return is_one_draw(features)

    def _rank(self, features: Features, ranker: Ranker) -> list[QueryRanks]:
        several = self._draws(features)
        splits = draw_one_per_identity(features) if several else [own_split(features)]
        results, labelled = [], 0
        for query, gallery in tqdm(
            splits, self.name, DRAWS if several else 1, leave=False, delay=5, unit="draw", dynamic_ncols=True
        ):
            query = query[features.views[query] != View.UNKNOWN]
            labelled += len(query)
            with contextlib.suppress(NoValidQuery):
                if len(query):
                    results.append(ranker(query, gallery, self._junk(features, query, gallery)))
        if not labelled:
            raise ProtocolUnavailable("no query image has a view label; give the dataset a viewpoints.csv")
        if not results:
            raise ProtocolUnavailable(
                f"none of the {labelled} queries with a view label has a match of the asked "
                "view; label more gallery images or leave the protocol out"
            )
        if several and len(results) < DRAWS:
            log.warning(
                "%s: %d of %d draws have no match of the asked view and do not count",
                self.name,
                DRAWS - len(results),
                DRAWS,
            )
        return results

    def _junk(self, features: Features, query: NDArray[np.int64], gallery: NDArray[np.int64]) -> JunkRule:
        same_camera, views = super()._junk(features, query, gallery), features.views
        cameras_count = not self._draws(features)

        def junk(queries: NDArray[np.int64], entries: NDArray[np.int64]) -> NDArray[np.bool_]:
            entry_views = views[gallery[entries]]
            left_out = entry_views == View.UNKNOWN
            if cameras_count:
                left_out |= same_camera(queries, entries)
            if self.matches == "all":
                return left_out
            same_view = views[query[queries]] == entry_views
            return left_out | (same_view if self.matches == "cross" else ~same_view)

        return junk


@dataclass(frozen=True)
class VehicleIdProtocol(Protocol):
    """Ten seeded draws of one image per identity from query and gallery images together.

    Attributes:
        drawn_is: 'gallery' or 'probe', the side that the drawn images take; all others take the other.
        draws, seed: number of draws, and the seed that fixes them. Draw n is the same for both directions; it depends
            on the images' paths where these are known, and not on their order in the features.
    """

    drawn_is: str = "gallery"
    draws: int = DRAWS
    seed: int = SEED

    def _rank(self, features: Features, ranker: Ranker) -> list[QueryRanks]:
        results = []
        draws = draw_one_per_identity(features, self.draws, self.seed)
        for drawn, others in tqdm(draws, self.name, self.draws, leave=False, delay=5, unit="draw", dynamic_ncols=True):
            query, gallery = (others, drawn) if self.drawn_is == "gallery" else (drawn, others)
            results.append(ranker(query, gallery, None))
        return results

    def _draws(self, features: Features) -> bool:
        return True


def evaluate_protocols(features: Features, names: Iterable[str], **options: Any) -> dict[str, dict[str, float]]:
    """Evaluate several protocols on one set of features.

    Args:
        features: Features.
        names: protocol names, keys of PROTOCOLS.
        **options: as ``Protocol.evaluate``.
    Returns:
        {name: {metric: float}}; protocols that the features cannot support are left out with a warning in the log.
    Raises:
        ValueError: an unknown name, or anything else that is wrong in itself.
    """
    results = {}
    for name in check_protocols(names):
        try:
            metrics = PROTOCOLS[name].evaluate(features, **options)
            results[name] = {key: float(value) for key, value in metrics.items()}
        except ProtocolUnavailable as error:
            log.warning("protocol left out, %s", error)
    return results


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        ImageProtocol("image", "image to image; same vehicle and camera is junk"),
        VeriImageProtocol("veri_image", "VeRI-776, image to image"),
        VeriTrackProtocol("veri_track", "VeRI-776, image to track"),
        VehicleIdProtocol("vehicleid_cmc", "VehicleID, one gallery image per identity, ten draws", drawn_is="gallery"),
        VehicleIdProtocol("vehicleid_map", "VehicleID, one probe per identity, ten draws", drawn_is="probe"),
        ViewProtocol("same_view", "matches with the query's view", matches="same"),
        ViewProtocol("cross_view", "matches with another view than the query's", matches="cross"),
        ViewProtocol("all_views", "matches of any known view", matches="all"),
    )
}


def check_protocols(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, or raise ValueError for one that is not a protocol."""
    for name in names:
        if name not in PROTOCOLS:
            raise ValueError(f"{name!r} is not a protocol, expected some of {', '.join(PROTOCOLS)}; correct the name")
    return tuple(names)


def protocols_of(loaders: Mapping[str, Any], wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the protocols to run on a dataset: ``wanted``, else those of its class, else torchreid's own rule."""
    return tuple(wanted) or getattr(loaders["query"].dataset, "protocols", ()) or DEFAULT_PROTOCOLS
