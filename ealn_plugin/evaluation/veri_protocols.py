"""The protocols of VeRI-776: image to image, checked against the release's lists, and image to track."""

import logging
from dataclasses import dataclass

import numpy as np

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocol import Protocol
from ealn_plugin.evaluation.query_ranks import QueryRanks
from ealn_plugin.evaluation.ranking import rank_distances
from ealn_plugin.evaluation.split_ranker import Ranker
from ealn_plugin.evaluation.splits import own_split
from ealn_plugin.evaluation.veri_lists import gallery_tracks, has_index_files, release_folder, verify_veri_index

log = logging.getLogger(__name__)

_verified_folders: set[str] = set()


@dataclass(frozen=True)
class VeriImageProtocol(Protocol):
    """``Protocol`` that compares its junk with the release's index files, once per folder and process."""

    def _rank(self, features: Features, ranker: Ranker) -> list[QueryRanks]:
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

    def _rank(self, features: Features, ranker: Ranker) -> list[QueryRanks]:
        query, gallery = own_split(features)
        tracks = gallery_tracks(features.subset(gallery))
        order = np.argsort(tracks, kind="stable")
        first = np.flatnonzero(np.diff(tracks[order], prepend=-1))
        distances = ranker.distances(query, gallery[order])
        distances = np.minimum.reduceat(distances, first, axis=1)
        entries = gallery[order][first]
        return [
            rank_distances(
                distances,
                features.pids[query],
                features.pids[entries],
                features.camids[query],
                features.camids[entries],
                average_precision=ranker.average_precision,
            )
        ]
