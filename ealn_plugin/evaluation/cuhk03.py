"""torchreid's metric for the old CUHK03 split: one random image per gallery identity, ten times."""

import numpy as np

from ealn_plugin.evaluation.query_ranks import NoValidQuery

_REPEATS = 10


def evaluate_cuhk03(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """CMC over sampled galleries and mAP over the whole gallery.

    The draws come from numpy's global random state, in torchreid's order, so equal seeds give equal results. Where a
    sampled gallery holds fewer than max_rank identities the curve repeats its last value.

    Args:
        as ``ranking.evaluate_rank``, numpy arrays already checked.
    Returns:
        (float32 [max_rank], float): CMC and mAP, in [0, 1].
    Raises:
        NoValidQuery: no query has a match in the gallery.
    """
    curves, precisions = [], []
    for query, distances in enumerate(distmat):
        order = np.argsort(distances, kind="stable")
        order = order[(g_pids[order] != q_pids[query]) | (g_camids[order] != q_camids[query])]
        pids = g_pids[order]
        matches = pids == q_pids[query]
        if not matches.any():
            continue
        curves.append(_sampled_curve(pids, matches, max_rank))
        places = np.flatnonzero(matches)
        precisions.append(np.mean(np.arange(1, len(places) + 1) / (places + 1)))
    if not curves:
        raise NoValidQuery(
            f"none of the {len(distmat)} queries has a match among {distmat.shape[1]} gallery images of "
            "other cameras; check that query and gallery share identities and camera numbers differ"
        )
    return np.mean(curves, axis=0, dtype=np.float32), float(np.mean(precisions))


def _sampled_curve(pids, matches, max_rank):
    """Mean CMC [max_rank] over the repeats; pids, matches: [gallery], in ranked order."""
    _, first, inverse = np.unique(pids, return_index=True, return_inverse=True)
    by_identity = [np.flatnonzero(inverse == identity) for identity in np.argsort(first)]
    curve = np.zeros(max_rank, dtype=np.float32)
    for _ in range(_REPEATS):
        drawn = np.zeros(len(pids), dtype=bool)
        for places in by_identity:  # in the order of their best image, as torchreid draws
            drawn[np.random.choice(places)] = True  # noqa: NPY002
        curve[np.argmax(matches[drawn]) :] += 1
    return curve / _REPEATS
