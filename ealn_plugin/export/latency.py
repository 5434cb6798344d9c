"""How long PyTorch and the files take per call, as medians over repeated calls."""
import statistics
import time
from dataclasses import dataclass

import torch
from tqdm import tqdm

from ealn_plugin.export.checks import sample_inputs

BATCHES = (1, 8)
_FEWEST = 3
_TITLES = {"PyTorch": "PyTorch", "program": "torch.export", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Latency:
    """Median of ``calls`` calls in milliseconds, for a batch of so many images."""

    batch: int
    median_ms: float
    calls: int


def measure_latency(run, inputs, calls=20, seconds=20.0):
    """Time a function that was called once before, to warm it up.

    Args:
        run: function of the tensors ``inputs``, the first of which has one row per image.
        calls: to take the median of. seconds: after which no further call is begun, once there are three.
    Returns:
        Latency
    """
    times = []
    with torch.no_grad():
        run(*inputs)
        while len(times) < calls and (len(times) < _FEWEST or sum(times) < seconds):
            begin = time.perf_counter()
            run(*inputs)
            times.append(time.perf_counter() - begin)
    return Latency(len(inputs[0]), 1000 * statistics.median(times), len(times))


def measure_files(graphs, written, calls=20, progress=True):
    """Latencies of every graph in PyTorch, as the engine computes it, and of the files made of it.

    Args:
        graphs: list of Graph. written: list of Exported. calls: as ``measure_latency``. progress: show a progress bar.
    Returns:
        list of {"graph", "runtime", "batch", "median_ms", "calls"}
    """
    tasks = [(graph, runtime, run, batch) for graph in graphs for batch in BATCHES
             for runtime, run in [("PyTorch", graph.reference),
                                  *((file.kind, file.run) for file in written if file.graph == graph.name)]]
    found = []
    for graph, runtime, run, batch in tqdm(tasks, desc="latency", unit="measurement", leave=False, disable=not progress,
                                           dynamic_ncols=True):
        latency = measure_latency(run, sample_inputs(graph, batch)[0], calls)
        found.append({"graph": graph.name, "runtime": runtime, "batch": batch, "median_ms": latency.median_ms,
                      "calls": latency.calls})
    return found


def latency_table(latencies):
    """What ``measure_files`` returned as text: a line per graph and batch, a column per runtime."""
    runtimes = list(dict.fromkeys(line["runtime"] for line in latencies))
    cells = {(line["graph"], line["batch"], line["runtime"]): f"{line['median_ms']:.1f}" for line in latencies}
    lines = [f"median latency on the CPU, {torch.get_num_threads()} thread(s) [ms]",
             f"{'graph':10} {'batch':>5}" + "".join(f"{_TITLES[runtime]:>14}" for runtime in runtimes)]
    for graph, batch in dict.fromkeys((line["graph"], line["batch"]) for line in latencies):
        lines.append(f"{graph:10} {batch:5}" + "".join(f"{cells[graph, batch, runtime]:>14}" for runtime in runtimes))
    return "\n".join(lines)
