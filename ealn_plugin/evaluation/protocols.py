"""The test protocols of the vehicle datasets, all from one extraction of features.

========================  ==========================================================================================
image                     torchreid's rule for any dataset: gallery images of the query's vehicle and camera are junk
veri_image                the same on VeRI-776, checked against gt_index.txt and jk_index.txt where these exist
veri_track                VeRI-776, image to track: a track's distance is the smallest over its images
vehicleid_cmc             ten draws of one gallery image per identity, all others are probes (mAP = mean reciprocal
                          rank); no junk
vehicleid_map             the same draws the other way round: the drawn image is the probe; no junk
same_view, cross_view,    Table II of the paper: only matches with the query's view, only those with another, or both.
all_views                 Queries without a view are skipped, the vehicle's gallery images without a view are junk,
                          and so are those of the query's camera
========================  ==========================================================================================
"""
import logging
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.distances import check_metric, normalize_rows
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.positions import NoValidQuery
from ealn_plugin.evaluation.ranking import rank_distances, rank_features
from ealn_plugin.evaluation.veri_lists import gallery_tracks, has_index_files, release_folder, verify_veri_index

log = logging.getLogger(__name__)

RERANKING_LIMIT = 20000  # query and gallery images together: re-ranking holds about five matrices of that side

_verified_folders = set()


class ProtocolUnavailable(ValueError):
    """The features cannot support the protocol, for instance because they have no view labels."""


@dataclass(frozen=True)
class Protocol:
    """A way of turning features into figures.

    Attributes:
        name: the key in results.json.
        description: one line for a table's caption.
    """

    name: str
    description: str = ""

    def evaluate(self, features, dist_metric="euclidean", normalize_feature=False, ranks=(1, 5, 10), rerank=False,
                 average_precision="mean", device=None):
        """Rank and summarise.

        Args:
            features: Features.
            dist_metric: 'euclidean' (squared) or 'cosine'.
            normalize_feature: scale every embedding to length 1 first.
            ranks: the CMC ranks to report, counted from 1.
            rerank: apply torchreid's k-reciprocal re-ranking to the distances.
            average_precision: 'mean' of precisions, or 'trapezoid' as VeRI-776's own script.
            device: torch device for the distances and their order; by default the CPU.
        Returns:
            dict of floats in [0, 1]: mAP, rank1 ..., mINP; protocols of several draws give means, and the standard
            deviations over the draws as mAP_std and so on.
        Raises:
            ProtocolUnavailable: the features cannot support the protocol.
            ValueError: an option or the features are wrong in themselves.
        """
        ranks = _check_ranks(ranks)
        draws = self.rank(features, dist_metric=dist_metric, normalize_feature=normalize_feature, rerank=rerank,
                          average_precision=average_precision, device=device)
        return self._summary([_metrics(draw, ranks) for draw in draws])

    def rank(self, features, dist_metric="euclidean", normalize_feature=False, rerank=False, average_precision="mean",
             device=None):
        """The outcome per query, for CMC curves and further figures; arguments as ``evaluate``.

        Returns:
            list of QueryRanks, one per draw (one for protocols without draws).
        """
        ranker = _Ranker(features, check_metric(dist_metric), normalize_feature, rerank, average_precision, device)
        try:
            return self._rank(features, ranker)
        except (ProtocolUnavailable, NoValidQuery) as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _rank(self, features, ranker):
        query, gallery = _split(features)
        return [ranker(query, gallery, self._junk(features, query, gallery))]

    def _junk(self, features, query, gallery):
        camids = features.camids
        return lambda queries, entries: camids[query[queries]] == camids[gallery[entries]]

    def _summary(self, draws):
        return draws[0]


@dataclass(frozen=True)
class VeriImageProtocol(Protocol):
    """``Protocol`` that compares its junk with the release's index files, once per folder and process."""

    def _rank(self, features, ranker):
        folder = release_folder(features.paths)
        if folder and folder not in _verified_folders and has_index_files(folder):
            _verified_folders.add(folder)
            try:
                verify_veri_index(folder, features)
            except ValueError as error:
                log.warning("the index files could not be compared: %s", error)
        return super()._rank(features, ranker)


@dataclass(frozen=True)
class VeriTrackProtocol(Protocol):
    """Image to track: one gallery entry per track, at the smallest distance of the track's images."""

    def _rank(self, features, ranker):
        query, gallery = _split(features)
        tracks = gallery_tracks(features.subset(gallery))
        order = np.argsort(tracks, kind="stable")
        first = np.flatnonzero(np.diff(tracks[order], prepend=-1))
        distances = ranker.distances(query, gallery[order])
        distances = np.minimum.reduceat(distances, first, axis=1)
        entries = gallery[order][first]
        return [rank_distances(distances, features.pids[query], features.pids[entries], features.camids[query],
                               features.camids[entries], average_precision=ranker.average_precision)]


@dataclass(frozen=True)
class ViewProtocol(Protocol):
    """Retrieval within one view, across views, or both; ``matches`` is 'same', 'cross' or 'all'."""

    matches: str = "all"

    def _rank(self, features, ranker):
        query, gallery = _split(features)
        query = query[features.views[query] != View.UNKNOWN]
        if not len(query):
            raise ProtocolUnavailable("no query image has a view label; give the dataset a viewpoints.csv")
        try:
            return [ranker(query, gallery, self._junk(features, query, gallery))]
        except NoValidQuery:
            raise ProtocolUnavailable(f"none of the {len(query)} queries with a view label has a match of the asked "
                                      "view; label more gallery images or leave the protocol out") from None

    def _junk(self, features, query, gallery):
        same_camera, views = super()._junk(features, query, gallery), features.views

        def junk(queries, entries):
            entry_views = views[gallery[entries]]
            left_out = same_camera(queries, entries) | (entry_views == View.UNKNOWN)
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
    draws: int = 10
    seed: int = 0

    def _rank(self, features, ranker):
        results = []
        draws = draw_one_per_identity(features, self.draws, self.seed)
        for drawn, others in tqdm(draws, self.name, self.draws, leave=False, delay=5, unit="draw", dynamic_ncols=True):
            query, gallery = (others, drawn) if self.drawn_is == "gallery" else (drawn, others)
            results.append(ranker(query, gallery, None))
        return results

    def _summary(self, draws):
        means = {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}
        deviations = {f"{key}_std": float(np.std([draw[key] for draw in draws])) for key in draws[0]}
        return {**means, **deviations}


def draw_one_per_identity(features, draws=10, seed=0):
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
    usable = np.concatenate([order[start:start + count] for start, count in zip(starts, counts)])
    starts = np.cumsum(counts) - counts
    for draw in range(draws):
        drawn = starts + np.random.default_rng([seed, draw]).integers(0, counts)
        yield usable[drawn], np.delete(usable, drawn)


@dataclass(frozen=True)
class _Ranker:
    """How to rank one set of features: the options that all protocols share."""

    features: Features
    metric: str
    normalize_feature: bool
    rerank: bool
    average_precision: str
    device: object

    def __call__(self, query, gallery, junk):
        """QueryRanks of row numbers ``query`` against row numbers ``gallery``."""
        pids = self.features.pids[query], self.features.pids[gallery]
        if self.rerank:
            return rank_distances(self.distances(query, gallery), *pids, junk=junk,
                                  average_precision=self.average_precision)
        return rank_features(self._embeddings(query), self._embeddings(gallery), *pids, metric=self.metric, junk=junk,
                             average_precision=self.average_precision, device=self.device)

    def distances(self, query, gallery):
        """The whole matrix, numpy [queries, gallery], re-ranked if asked for."""
        images = len(query) + len(gallery)
        if self.rerank and images > RERANKING_LIMIT:
            raise ProtocolUnavailable(f"re-ranking {images} images needs about {20 * images ** 2 / 2**30:.0f} GiB, the "
                                      f"limit is {RERANKING_LIMIT} images; evaluate without re-ranking")
        query, gallery = (self._embeddings(rows).to(self.device or "cpu") for rows in (query, gallery))
        matrix = self._matrix(query, gallery)
        if not self.rerank:
            return matrix
        return toolkit.re_ranking(matrix, self._matrix(query, query), self._matrix(gallery, gallery))

    def _embeddings(self, rows):
        """A tensor of its own, so that nothing but the rows asked for is copied and normalized."""
        embeddings = torch.from_numpy(self.features.embeddings[rows])
        return normalize_rows(embeddings) if self.normalize_feature else embeddings

    def _matrix(self, a, b):
        return toolkit.distance_matrix(a, b, self.metric).cpu().numpy()


def evaluate_protocols(features, names, **options):
    """Evaluate several protocols on one set of features.

    Args:
        features: Features.
        names: protocol names, keys of PROTOCOLS.
        **options: as ``Protocol.evaluate``.
    Returns:
        dict of name -> metrics; protocols that the features cannot support are left out with a warning in the log.
    Raises:
        ValueError: an unknown name, or anything else that is wrong in itself.
    """
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a protocol, expected some of {', '.join(PROTOCOLS)}; correct the name")
    results = {}
    for name in names:
        try:
            results[name] = PROTOCOLS[name].evaluate(features, **options)
        except ProtocolUnavailable as error:
            log.warning("protocol left out, %s", error)
    return results


def _split(features):
    query, gallery = np.flatnonzero(features.is_query), np.flatnonzero(~features.is_query)
    if not len(query) or not len(gallery):
        raise ProtocolUnavailable(f"there are {len(query)} query and {len(gallery)} gallery images, expected some of "
                                  "each; set is_query in the features")
    return query, gallery


def _check_ranks(ranks):
    ranks = [int(rank) for rank in ranks]
    if not ranks or min(ranks) < 1:
        raise ValueError(f"ranks is {ranks}, expected whole numbers of at least 1; use (1, 5, 10)")
    return ranks


def _metrics(result, ranks):
    curve = result.cmc(max(ranks))
    return {"mAP": result.mean_average_precision, **{f"rank{rank}": float(curve[rank - 1]) for rank in ranks},
            "mINP": result.mean_inverse_negative_penalty}


PROTOCOLS = {protocol.name: protocol for protocol in (
    Protocol("image", "image to image; same vehicle and camera is junk"),
    VeriImageProtocol("veri_image", "VeRI-776, image to image"),
    VeriTrackProtocol("veri_track", "VeRI-776, image to track"),
    VehicleIdProtocol("vehicleid_cmc", "VehicleID, one gallery image per identity, ten draws", drawn_is="gallery"),
    VehicleIdProtocol("vehicleid_map", "VehicleID, one probe per identity, ten draws", drawn_is="probe"),
    ViewProtocol("same_view", "matches with the query's view", matches="same"),
    ViewProtocol("cross_view", "matches with another view than the query's", matches="cross"),
    ViewProtocol("all_views", "matches of any known view", matches="all"),
)}
