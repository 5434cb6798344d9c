"""Ranking alone, on given random distances: torchreid's Python ranking, its compiled one if present, and ours."""

import importlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.benchmark.measuring import PeakMemory, machine
from ealn_plugin.evaluation.ranking import evaluate_rank


@dataclass(frozen=True)
class RankSize:
    """The size of a ranking task; cameras 0 stands for VehicleID's way, where no gallery image is junk."""

    queries: int
    gallery: int
    vehicles: int
    cameras: int


RANK_SIZES = {
    "veri776": RankSize(1678, 11579, 200, 20),
    "vehicleid_large": RankSize(17638, 2400, 2400, 0),
    "small": RankSize(60, 400, 20, 4),
}


def rank_task(size: RankSize, seed: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Random distances float32 [queries, gallery] and labels (q_pids, g_pids, q_camids, g_camids)."""
    rng = np.random.default_rng(seed)
    distmat = rng.random((size.queries, size.gallery), dtype=np.float32)
    q_pids = rng.integers(0, size.vehicles, size.queries)
    if not size.cameras:
        return distmat, (
            q_pids,
            np.arange(size.gallery) % size.vehicles,
            np.zeros(size.queries, dtype=np.int64),
            np.ones(size.gallery, dtype=np.int64),
        )
    return distmat, (
        q_pids,
        rng.integers(0, size.vehicles, size.gallery),
        rng.integers(0, size.cameras, size.queries),
        rng.integers(0, size.cameras, size.gallery),
    )


def rank_methods() -> dict[str, Callable[..., Any]]:
    """{name: function of (distmat, four label arrays) -> (cmc, mAP)}; the compiled ranking only where it is present."""
    metrics = toolkit.torchreid.metrics
    methods = {"python": lambda *task: metrics.evaluate_rank(*task, use_cython=False)}
    try:
        compiled = importlib.import_module(f"{metrics.__name__}.rank_cylib.rank_cy")
        methods["compiled"] = lambda *task: compiled.evaluate_cy(*task, 50, False)
    except ImportError:
        pass
    methods["ours"] = lambda *task: evaluate_rank(*task)
    return methods


def measure_ranking(
    sizes: Sequence[str], repeats: int = 5, python_repeats: int = 1, python: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Time every method on every size.

    Args:
        sizes: names in ``RANK_SIZES``.
        repeats: runs of the fast methods; python_repeats: of the Python ranking, which takes minutes.
        python: measure the Python ranking at all.
        seed: of the random distances.
    Returns:
        dict: {"machine": ..., "sizes": {name: its figures}}, ready for JSON; see ``rank_table``.
    """
    methods = {name: method for name, method in rank_methods().items() if python or name != "python"}
    runs = {name: python_repeats if name == "python" else repeats for name in methods}
    result = {"machine": machine(), "sizes": {}}
    with tqdm(total=sum(runs.values()) * len(sizes), unit="run", dynamic_ncols=True) as bar:
        for size_name in sizes:
            task = rank_task(RANK_SIZES[size_name], seed)
            measured = {}
            for name, method in methods.items():
                bar.set_description(f"{size_name}: {name}")
                measured[name] = measure_rank(method, task, runs[name], bar)
            result["sizes"][size_name] = {
                **asdict(RANK_SIZES[size_name]),
                "methods": measured,
                **compare_rank(measured),
            }
            del task
    return result


def measure_rank(method: Callable[..., Any], task: Any, repeats: int, bar: Any) -> dict[str, Any]:
    """Seconds of every run, their median, peak memory above the task's own, and the figures that came out."""
    distmat, labels = task
    seconds = []
    with PeakMemory(bar) as memory:
        for _ in range(repeats):
            start = time.perf_counter()
            cmc, mean_average_precision = method(distmat, *labels)
            seconds.append(time.perf_counter() - start)
            bar.update()
    return {
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "peak_mib": memory.peak_mib,
        "mAP": float(mean_average_precision),
        "rank1": float(cmc[0]),
    }


def compare_rank(measured: Mapping[str, Any]) -> dict[str, Any]:
    """How many times faster ours is than each other method, and the largest difference in mAP and rank 1."""
    ours = measured["ours"]
    others = {name: values for name, values in measured.items() if name != "ours"}
    ratios = {name: values["median_seconds"] / ours["median_seconds"] for name, values in others.items()}
    return {
        "times_faster": ratios,
        "largest_difference": max(
            (abs(values[key] - ours[key]) for values in others.values() for key in ("mAP", "rank1")), default=0.0
        ),
    }


def rank_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_ranking`` as lines of text."""
    lines = [
        f"Ranking random distances, median of the runs, {result['machine']['threads']} threads "
        f"({result['machine']['processor']})",
        f"{'size':<17}{'queries x gallery':<20}{'method':<11}{'seconds':>9}{'ours faster by':>16}{'peak MiB':>10}"
        f"{'mAP':>13}",
    ]
    for name, size in result["sizes"].items():
        for method, values in size["methods"].items():
            ratio = size["times_faster"].get(method)
            ratio = f"{ratio:.1f} x" if ratio else ""
            shape = f"{size['queries']:,} x {size['gallery']:,}"
            peak = "?" if values["peak_mib"] is None else f"{values['peak_mib']:.0f}"
            lines.append(
                f"{name:<17}{shape:<20}{method:<11}{values['median_seconds']:>9.3f}{ratio:>16}"
                f"{peak:>10}{values['mAP']:>13.9f}"
            )
        lines.append(f"{name:<17}largest difference of mAP and rank 1: {size['largest_difference']:.1e}")
    if not any("compiled" in size["methods"] for size in result["sizes"].values()):
        lines.append("torchreid's compiled ranking is not installed here (PyPI's package has none)")
    return lines
