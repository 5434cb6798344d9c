"""Asking an open gallery: latency of queries alone and many at once, without and with a filter, and recall."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

TOP, BATCH, ASKED_CAMERAS = 10, 50, (2, 3)


def ask(opened: Any, queries: np.ndarray, truth: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Latency and recall of queries alone and ``BATCH`` at once, without and with a filter.

    Args:
        opened: ``Searcher``. queries: float32 [q, dim]. truth: int [q, TOP], the true nearest: 'all', 'filtered'.
    """
    figures = {}
    for name, cameras in (("all", ()), ("filtered", ASKED_CAMERAS)):
        opened.search(queries[:1], TOP, cameras)  # the first one starts threads
        seconds, found, worked = [], [], time.process_time()
        for query in tqdm(queries, desc="asking", leave=False, dynamic_ncols=True):
            start = time.perf_counter()
            found += opened.search(query[None], TOP, cameras)
            seconds.append(time.perf_counter() - start)
        worked = (time.process_time() - worked) / len(queries)
        start = time.perf_counter()
        opened.search(queries[:BATCH], TOP, cameras)
        batch = time.perf_counter() - start
        figures[name] = {
            "median_latency_ms": 1000 * statistics.median(seconds),
            "p95_latency_ms": 1000 * float(np.quantile(seconds, 0.95)),
            "processor_ms_per_query": 1000 * worked,
            "batch_ms_per_query": 1000 * batch / len(queries[:BATCH]),
            "recall": recall(found, truth[name]),
        }
    return figures


def recall(found: Sequence[Sequence[int]], truth: np.ndarray) -> float:
    """The share of the true nearest, int [q, k], -1 for none, that is among the numbers found for each query."""
    true = [set(row[row >= 0].tolist()) for row in truth]
    return float(np.mean([len(set(one) & wanted) / len(wanted) for one, wanted in zip(found, true) if wanted]))
