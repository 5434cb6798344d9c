"""Re-ranking alone, from given features: torchreid's and ours, in one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.benchmark.measuring import PeakMemory, machine, return_freed_memory
from ealn_plugin.benchmark.rank import RANK_SIZES
from ealn_plugin.evaluation.reranking import rerank

_NOISE = 1.2  # of an image around its vehicle, whose numbers have a deviation of 1


def clustered_features(size: Any, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Made-up features of vehicles, float32 [queries, dim] and [gallery, dim], each vehicle a cluster."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(size.vehicles, dim))
    vehicles = random.integers(0, size.vehicles, size.queries + size.gallery)
    features = (centres[vehicles] + _NOISE * random.normal(size=(len(vehicles), dim))).astype(np.float32)
    return features[: size.queries], features[size.queries :]


def torchreids(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """torchreid's re-ranking with the three distance matrices that it needs."""
    q, g = torch.from_numpy(queries), torch.from_numpy(gallery)
    matrices = [toolkit.distance_matrix(a, b).numpy() for a, b in ((q, g), (q, q), (g, g))]
    return toolkit.re_ranking(*matrices)


def measure_reranking(name: str = "veri776", dim: int = 512, python: bool = True, seed: int = 0) -> dict[str, Any]:
    """Time both on one size, each once.

    Args:
        name: in ``RANK_SIZES``. dim: numbers of a feature. python: measure torchreid's as well.
        seed: of the features.
    Returns:
        dict, ready for JSON; see ``reranking_table``. "peak_mib" is what was held above the features.
    """
    features = clustered_features(RANK_SIZES[name], dim, seed)
    methods: dict[str, Callable[..., Any]] = {"ours": rerank, **({"torchreid": torchreids} if python else {})}
    measured, found = {}, {}
    with tqdm(total=len(methods), unit="run", dynamic_ncols=True) as bar:
        for method, run in methods.items():
            bar.set_description(f"{name}: {method}")
            return_freed_memory()
            with PeakMemory(bar) as memory:
                start, processor = time.perf_counter(), time.process_time()
                found[method] = run(*features)
                seconds, processor = time.perf_counter() - start, time.process_time() - processor
            measured[method] = {"seconds": seconds, "processor_seconds": processor, "peak_mib": memory.peak_mib}
            bar.update()
    result = {"machine": machine(), "size": name, "dim": dim, **asdict(RANK_SIZES[name]), "methods": measured}
    if python:
        result["largest_difference"] = float(np.abs(found["ours"] - found["torchreid"]).max())
        result["times_faster"] = measured["torchreid"]["processor_seconds"] / measured["ours"]["processor_seconds"]
    return result


def reranking_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_reranking`` as lines of text."""
    lines = [
        f"Re-ranking {result['queries']:,} x {result['gallery']:,} made-up features of {result['dim']} numbers, "
        f"{result['machine']['threads']} threads ({result['machine']['processor']})",
        f"{'method':<11}{'seconds':>10}{'processor seconds':>19}{'peak MiB':>10}",
    ]
    for method, values in result["methods"].items():
        peak = "?" if values["peak_mib"] is None else f"{values['peak_mib']:.0f}"
        lines.append(f"{method:<11}{values['seconds']:>10.2f}{values['processor_seconds']:>19.2f}{peak:>10}")
    if "times_faster" in result:
        lines.append(
            f"ours takes {result['times_faster']:.1f} times less processor time; largest difference of a distance: "
            f"{result['largest_difference']:.1e}"
        )
    return lines
