"""Exact CMC and mAP: from a distance matrix with torchreid's signature, or straight from features in blocks.

Both routes rank every query in the order of a STABLE sort: among equal distances the gallery's own order counts.
torchreid sorts unstably, so wherever distances tie its result is one of several; without ties both agree.
"""

import logging
import numbers
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ealn_plugin import toolkit
from ealn_plugin.evaluation.cuhk03 import evaluate_cuhk03
from ealn_plugin.evaluation.distances import BlockDistances, check_features
from ealn_plugin.evaluation.query_ranks import (
    AVERAGE_PRECISIONS,
    GalleryIndex,
    QueryRanks,
    ranks_from_positions,
    stable_positions,
    stable_positions_on_device,
)

log = logging.getLogger(__name__)

# Entries of a distance matrix that one thread ranks at a time (2 MB of float32: they stay in a core's cache) ...
_ENTRIES_PER_RANKING = 2**19
# ... and that rank_features computes at a time (64 MB of float32).
_ENTRIES_PER_BLOCK = 2**24


def evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank=50, use_metric_cuhk03=False, use_cython=True):
    """CMC curve and mAP of a distance matrix, as ``torchreid.metrics.evaluate_rank``, in a fraction of its time.

    Gallery images with the query's identity and camera are junk; queries without a match are left out.

    Args:
        distmat: numpy [queries, gallery] of any real type, without NaN; small means similar.
        q_pids, q_camids: [queries], identity and camera numbers; g_pids, g_camids: [gallery].
        max_rank: length of the CMC curve, at least 1; cut to the gallery's size with a warning in the log.
        use_metric_cuhk03: sample one image per gallery identity, ten times, from numpy's global random state, as
            torchreid's metric for the old CUHK03 split.
        use_cython: accepted because torchreid's function has it; without effect.
    Returns:
        (float32 [max_rank], float): CMC and mAP, both in [0, 1].
    Raises:
        ValueError: not a matrix, sizes that disagree, NaN, or no query with a match.
    """
    distmat, labels = _check_matrix(distmat), (q_pids, g_pids, q_camids, g_camids)
    labels = _check_labels(*labels, *distmat.shape)
    max_rank = _check_max_rank(max_rank, distmat.shape[1])
    if use_metric_cuhk03:
        _check_numbers(distmat, 0)
        return evaluate_cuhk03(distmat, *labels, max_rank)
    ranks = rank_distances(distmat, *labels)
    return ranks.cmc(max_rank).astype(np.float32), ranks.mean_average_precision


def rank_distances(distmat, q_pids, g_pids, q_camids=None, g_camids=None, junk="same_camera", average_precision="mean"):
    """Rank every query of a distance matrix.

    Args:
        distmat: numpy [queries, gallery], without NaN.
        q_pids, g_pids, q_camids, g_camids: as ``evaluate_rank``; cameras are needed for junk='same_camera' alone.
        junk: which gallery entries of the query's own vehicle are left out of its list: 'same_camera', None (nothing),
            or a function (query_indices, gallery_indices) -> bool array, called with int64 arrays of pairs.
        average_precision: 'mean' or 'trapezoid', see ``positions.ranks_from_positions``.
    Returns:
        QueryRanks
    Raises:
        ValueError: as ``evaluate_rank``.
    """
    distmat = _check_matrix(distmat)
    q_pids, g_pids, junk = _check_task(q_pids, g_pids, q_camids, g_camids, distmat.shape, junk, average_precision)
    ranks = _rank_block(distmat, 0, q_pids, GalleryIndex(g_pids), junk, average_precision)
    return ranks.require_valid(distmat.shape[1])


def rank_features(
    query_features,
    gallery_features,
    q_pids,
    g_pids,
    q_camids=None,
    g_camids=None,
    *,
    metric="euclidean",
    junk="same_camera",
    average_precision="mean",
    block=None,
    device=None,
):
    """Rank every query straight from features, a block of queries at a time; the whole matrix is never held.

    Args:
        query_features, gallery_features: numpy arrays or torch tensors [queries, dim] and [gallery, dim].
        q_pids, g_pids, q_camids, g_camids, junk, average_precision: as ``rank_distances``.
        metric: 'euclidean' (squared) or 'cosine', with torchreid's own arithmetic.
        block: queries per block; by default as many as make 64 MB of float32 distances.
        device: torch device that computes and sorts the distances; by default where gallery_features lie.
    Returns:
        QueryRanks, those of ``rank_distances`` on the whole matrix.
    Raises:
        ValueError: as ``evaluate_rank``, and for features that do not fit together or an unknown metric.
    """
    query_features, gallery_features = check_features(query_features, gallery_features)
    shape = len(query_features), len(gallery_features)
    q_pids, g_pids, junk = _check_task(q_pids, g_pids, q_camids, g_camids, shape, junk, average_precision)
    device = torch.device(device) if device is not None else gallery_features.device
    block = _block_size(block, shape[1])
    distances, index, parts = BlockDistances(gallery_features, metric, device), GalleryIndex(g_pids), []
    for start in range(0, shape[0], block):
        rows = slice(start, start + block)
        values = distances(query_features[rows])
        values = values.numpy() if device.type == "cpu" else values
        parts.append(_rank_block(values, start, q_pids[rows], index, junk, average_precision))
    return QueryRanks.join(parts).require_valid(shape[1])


def fast_ranking(enabled=True):
    """Let ``torchreid.metrics.evaluate_rank``, and so every torchreid engine, rank with this module (or stop it).

    Args:
        enabled: True puts ``evaluate_rank`` into the slot that torchreid keeps for its compiled ranking; False puts
            back what was there.
    """
    toolkit.set_fast_ranking(_in_torchreids_slot if enabled else None)


def _in_torchreids_slot(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03):
    return evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03)


def _rank_block(distances, first_query, q_pids, index, junk, average_precision):
    """QueryRanks of the rows of ``distances`` (numpy, or a tensor on an accelerator); threads share numpy's rows."""
    if isinstance(distances, torch.Tensor):
        return _rank_rows(distances, first_query, q_pids, index, junk, average_precision)
    step = max(1, _ENTRIES_PER_RANKING // distances.shape[1])

    def rank(start):
        rows = slice(start, start + step)
        return _rank_rows(distances[rows], first_query + start, q_pids[rows], index, junk, average_precision)

    starts = range(0, len(distances), step)
    threads = min(torch.get_num_threads(), len(starts))
    if threads == 1:
        return QueryRanks.join([rank(start) for start in starts])
    with ThreadPoolExecutor(threads) as pool:
        return QueryRanks.join(list(pool.map(rank, starts)))


def _rank_rows(distances, first_query, q_pids, index, junk, average_precision):
    _check_numbers(distances, first_query)
    rows, columns = index.pairs(q_pids)
    on_device = isinstance(distances, torch.Tensor)
    positions = (stable_positions_on_device if on_device else stable_positions)(distances, rows, columns)
    is_junk = np.asarray(junk(rows + first_query, columns), dtype=bool)
    return ranks_from_positions(rows, positions, is_junk, len(q_pids), len(index), average_precision)


# ---------------------------------------------------------------------------------------------- checking arguments
def _check_matrix(distmat):
    if not isinstance(distmat, np.ndarray):
        raise ValueError(
            f"distmat is a {type(distmat).__module__}.{type(distmat).__name__}, expected a numpy array; "
            "pass distmat.cpu().numpy() for a tensor and numpy.asarray(distmat) for a list"
        )
    if distmat.ndim != 2 or 0 in distmat.shape:
        raise ValueError(
            f"distmat has shape {distmat.shape}, expected [queries, gallery] with at least one of each; "
            "check that the query and gallery sets are not empty"
        )
    if distmat.dtype.kind not in "fiu":
        raise ValueError(f"distmat holds {distmat.dtype}, expected real numbers; convert it to float32")
    return distmat


def _check_numbers(distances, first_query):
    """Refuse NaN: it has no place in an order."""
    if isinstance(distances, torch.Tensor):
        if not bool(torch.isnan(distances).any()):
            return
        distances = distances.cpu().numpy()
    elif distances.dtype.kind != "f" or not np.isnan(distances.max()):  # the maximum is NaN if any value is
        return
    row, column = np.argwhere(np.isnan(distances))[0]
    raise ValueError(
        f"the distance of query {first_query + row} to gallery entry {column} is NaN, expected a number; "
        "look for NaN or infinite values in the features of these two"
    )


def _check_labels(q_pids, g_pids, q_camids, g_camids, num_query, num_gallery):
    checked = []
    for name, values, size in (
        ("q_pids", q_pids, num_query),
        ("g_pids", g_pids, num_gallery),
        ("q_camids", q_camids, num_query),
        ("g_camids", g_camids, num_gallery),
    ):
        values = np.asarray(values)
        if values.shape != (size,):
            side = "queries" if name.startswith("q") else "gallery entries"
            raise ValueError(
                f"{name} has shape {values.shape}, expected ({size},) as there are {size} {side}; give "
                "one value per image, in the order of the distances"
            )
        checked.append(values)
    return checked


def _check_task(q_pids, g_pids, q_camids, g_camids, shape, junk, average_precision):
    """Checked q_pids, g_pids and the junk rule as a function of (query_indices, gallery_indices)."""
    if average_precision not in AVERAGE_PRECISIONS:
        raise ValueError(
            f"average_precision is {average_precision!r}, expected one of {AVERAGE_PRECISIONS}; use "
            "'mean' unless you compare with VeRI-776's own script"
        )
    if isinstance(junk, str) and junk != "same_camera" or not (isinstance(junk, str) or junk is None or callable(junk)):
        raise ValueError(
            f"junk is {junk!r}, expected 'same_camera', None or a function of (query_indices, "
            "gallery_indices); use 'same_camera' for torchreid's rule"
        )
    if junk != "same_camera":
        q_camids, g_camids = np.zeros(shape[0]), np.zeros(shape[1])
    elif q_camids is None or g_camids is None:
        raise ValueError(
            f"junk='same_camera' needs q_camids and g_camids, got {q_camids!r} and {g_camids!r}; give "
            "both or pass junk=None"
        )
    q_pids, g_pids, q_camids, g_camids = _check_labels(q_pids, g_pids, q_camids, g_camids, *shape)
    if junk is None:
        return q_pids, g_pids, lambda queries, entries: np.zeros(len(queries), dtype=bool)
    if callable(junk):
        return q_pids, g_pids, junk
    return q_pids, g_pids, lambda queries, entries: q_camids[queries] == g_camids[entries]


def _check_max_rank(max_rank, num_gallery):
    if not isinstance(max_rank, numbers.Integral) or max_rank < 1:
        raise ValueError(f"max_rank is {max_rank!r}, expected a whole number of at least 1; torchreid's default is 50")
    if max_rank > num_gallery:
        log.warning("max_rank %d is larger than the gallery: the CMC curve ends at rank %d", max_rank, num_gallery)
    return min(int(max_rank), num_gallery)


def _block_size(block, num_gallery):
    if block is None:
        return max(1, _ENTRIES_PER_BLOCK // num_gallery)
    if not isinstance(block, numbers.Integral) or block < 1:
        raise ValueError(f"block is {block!r}, expected a number of queries of at least 1; leave it out for 64 MB")
    return int(block)
