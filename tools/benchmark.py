"""Measure the plugin against torchreid: one sub-command per subject.

    python tools/benchmark.py rank --json FILE
"""
import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import threading
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.cli import exit_code
from ealn_plugin.evaluation.ranking import evaluate_rank
from ealn_plugin.writing import check_writable, write_atomically

SAMPLING_SECONDS = 0.005


# ---------------------------------------------------------------------------------------------- rank
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


def rank_task(size, seed):
    """Random distances float32 [queries, gallery] and labels (q_pids, g_pids, q_camids, g_camids)."""
    rng = np.random.default_rng(seed)
    distmat = rng.random((size.queries, size.gallery), dtype=np.float32)
    q_pids = rng.integers(0, size.vehicles, size.queries)
    if not size.cameras:
        return distmat, (q_pids, np.arange(size.gallery) % size.vehicles, np.zeros(size.queries, dtype=np.int64),
                         np.ones(size.gallery, dtype=np.int64))
    return distmat, (q_pids, rng.integers(0, size.vehicles, size.gallery),
                     rng.integers(0, size.cameras, size.queries), rng.integers(0, size.cameras, size.gallery))


def rank_methods():
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


def run_rank(args):
    """Time every method on every size and write the outcome; returns the exit status."""
    methods = {name: method for name, method in rank_methods().items() if not (args.no_python and name == "python")}
    repeats = {"python": args.python_repeats}
    steps = sum(repeats.get(name, args.repeats) for name in methods) * len(args.sizes)
    result = {"command": "python tools/benchmark.py " + " ".join(args.given), "machine": machine(), "sizes": {}}
    with tqdm(total=steps, unit="run", dynamic_ncols=True) as bar:
        for size_name in args.sizes:
            task = rank_task(RANK_SIZES[size_name], args.seed)
            measured = {}
            for name, method in methods.items():
                bar.set_description(f"{size_name}: {name}")
                measured[name] = measure_rank(method, task, repeats.get(name, args.repeats), bar)
            result["sizes"][size_name] = {**asdict(RANK_SIZES[size_name]), "methods": measured,
                                          **compare_rank(measured)}
            del task
    print_rank(result)
    if args.json:
        write_atomically(args.json, json.dumps(result, indent=2) + "\n")
    return 0


def measure_rank(method, task, repeats, bar):
    """Seconds of every run, their median, peak memory above the task's own, and the figures that came out."""
    distmat, labels = task
    seconds = []
    with PeakMemory(bar) as memory:
        for _ in range(repeats):
            start = time.perf_counter()
            cmc, mean_average_precision = method(distmat, *labels)
            seconds.append(time.perf_counter() - start)
            bar.update()
    return {"seconds": seconds, "median_seconds": statistics.median(seconds), "peak_mib": memory.peak_mib,
            "mAP": float(mean_average_precision), "rank1": float(cmc[0])}


def compare_rank(measured):
    """How many times faster ours is than each other method, and the largest difference in mAP and rank 1."""
    ours = measured["ours"]
    others = {name: values for name, values in measured.items() if name != "ours"}
    ratios = {name: values["median_seconds"] / ours["median_seconds"] for name, values in others.items()}
    return {"times_faster": ratios,
            "largest_difference": max((abs(values[key] - ours[key]) for values in others.values()
                                       for key in ("mAP", "rank1")), default=0.0)}


def print_rank(result):
    """Print the table."""
    print(f"Ranking random distances, median of the runs, {result['machine']['threads']} threads "
          f"({result['machine']['processor']})")
    print(f"{'size':<17}{'queries x gallery':<20}{'method':<11}{'seconds':>9}{'ours faster by':>16}{'peak MiB':>10}"
          f"{'mAP':>13}")
    for name, size in result["sizes"].items():
        for method, values in size["methods"].items():
            ratio = size["times_faster"].get(method)
            ratio = f"{ratio:.1f} x" if ratio else ""
            shape = f"{size['queries']:,} x {size['gallery']:,}"
            peak = "?" if values["peak_mib"] is None else f"{values['peak_mib']:.0f}"
            print(f"{name:<17}{shape:<20}{method:<11}{values['median_seconds']:>9.3f}{ratio:>16}"
                  f"{peak:>10}{values['mAP']:>13.9f}")
        print(f"{name:<17}largest difference of mAP and rank 1: {size['largest_difference']:.1e}")
    if not any("compiled" in size["methods"] for size in result["sizes"].values()):
        print("torchreid's compiled ranking is not installed here (PyPI's package has none)")


def add_rank(commands):
    """The sub-command ``rank``."""
    parser = commands.add_parser("rank", help="torchreid's Python ranking, its compiled one if present, and ours",
                                 description="Time ranking alone, on given random distance matrices.")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--sizes", nargs="+", choices=sorted(RANK_SIZES), default=["veri776", "vehicleid_large"])
    parser.add_argument("--repeats", type=positive, default=5, help="runs of the fast methods (default: 5)")
    parser.add_argument("--python-repeats", type=positive, default=1, help="runs of the Python ranking (default: 1)")
    parser.add_argument("--no-python", action="store_true", help="leave the Python ranking out: it takes minutes")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the random distances (default: 0)")
    parser.set_defaults(run=run_rank)


# ---------------------------------------------------------------------------------------------- shared
class PeakMemory:
    """Context that watches the resident memory of this process and keeps a progress bar's clock going.

    Attributes:
        peak_mib: highest value above that at entry, in MiB; None where the system does not tell.
    """

    def __init__(self, bar):
        self.bar, self.peak_mib, self._done = bar, None, threading.Event()

    def __enter__(self):
        self._start = self._peak = resident_bytes()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()
        if self._start is not None:
            self.peak_mib = (self._peak - self._start) / 2**20

    def _watch(self):
        refreshed = time.monotonic()
        while not self._done.wait(SAMPLING_SECONDS):
            if self._start is not None:
                self._peak = max(self._peak, resident_bytes())
            if time.monotonic() - refreshed > 1:
                refreshed = time.monotonic()
                self.bar.refresh()


def resident_bytes():
    """Memory of this process that lies in RAM, in bytes; None on systems without /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def machine():
    """What a reader needs to know of the computer to judge the figures."""
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), processor)
    except OSError:
        pass
    return {"processor": processor, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}


def positive(text):
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def not_negative(text):
    """A whole number of at least 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not at least 0")
    return value


def main(argv=None):
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_rank(commands)
    args = parser.parse_args(argv)
    args.given = argv
    return exit_code(lambda: checked(args), "stopped; nothing was written, run the same command to start again")


def checked(args):
    """Run the sub-command, unless its figures could not be written afterwards: they may take minutes."""
    if args.json:
        check_writable(args.json, "--json")
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
