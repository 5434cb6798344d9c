"""Evaluation of vehicle re-identification: exact ranking, the datasets' protocols, stored features."""

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS, Protocol, ProtocolUnavailable, evaluate_protocols
from ealn_plugin.evaluation.ranking import evaluate_rank, fast_ranking, rank_distances, rank_features
from ealn_plugin.evaluation.veri_lists import verify_veri_index

__all__ = [
    "PROTOCOLS",
    "Features",
    "Protocol",
    "ProtocolUnavailable",
    "evaluate_protocols",
    "evaluate_rank",
    "fast_ranking",
    "rank_distances",
    "rank_features",
    "verify_veri_index",
]
