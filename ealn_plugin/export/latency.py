"""How long PyTorch and the files take per call, as medians over repeated calls."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from ealn_plugin.export.checks import sample_inputs
from ealn_plugin.export.formats import Exported
from ealn_plugin.export.graphs import Graph

BATCHES = (1, 8)
_FEWEST = 3
_TITLES = {"PyTorch": "PyTorch", "program": "torch.export", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Latency:
    """Medians of ``calls`` calls in milliseconds, by the clock and of processor time, for a batch of so many images.

    The processor time is that of all threads; beside other programs it says more than the clock.
    """

    batch: int
    median_ms: float
    processor_ms: float
    calls: int


def measure_latencies(
    runs: Sequence[Callable[..., Any]], inputs: Sequence[torch.Tensor], calls: int = 20, seconds: float = 20.0
) -> list[Latency]:
    """Time functions in turn, one call of each after the other: other work on the machine slows all of them alike.

    Args:
        runs: list of functions of the tensors ``inputs``, the first of which has one row per image; each is called once
            before, to warm it up.
        calls: of each, to take the median of. seconds: on average per function, after which no further round is begun
            once there are three.
    Returns:
        list of Latency, one for each function
    """
    times, worked = [[] for _ in runs], [[] for _ in runs]
    with torch.no_grad():
        for run in runs:
            run(*inputs)
        while len(times[0]) < calls and (len(times[0]) < _FEWEST or sum(map(sum, times)) < seconds * len(runs)):
            for run, taken, work in zip(runs, times, worked):
                begin, begun = time.perf_counter(), time.process_time()
                run(*inputs)
                taken.append(time.perf_counter() - begin)
                work.append(time.process_time() - begun)
    return [
        Latency(len(inputs[0]), 1000 * statistics.median(taken), 1000 * statistics.median(work), len(taken))
        for taken, work in zip(times, worked)
    ]


def measure_files(
    graphs: Sequence[Graph], written: Sequence[Exported], calls: int = 20, progress: bool = True
) -> list[dict[str, Any]]:
    """Latencies of every graph in PyTorch, as the engine computes it, and of the files made of it, in turn.

    Args:
        graphs: list of Graph. written: list of Exported. calls: as ``measure_latencies``. progress: show a bar.
    Returns:
        list of {"graph", "runtime", "batch", "median_ms", "processor_ms", "calls"}
    """
    lines: list[dict[str, Any]] = []
    for graph, batch in tqdm(
        [(graph, batch) for graph in graphs for batch in BATCHES],
        desc="latency",
        unit="measurement",
        leave=False,
        disable=not progress,
        dynamic_ncols=True,
    ):
        runs = {"PyTorch": graph.reference, **{file.kind: file.run for file in written if file.graph == graph.name}}
        measured = measure_latencies(list(runs.values()), sample_inputs(graph, batch)[0], calls)
        lines += [
            {
                "graph": graph.name,
                "runtime": runtime,
                "batch": batch,
                "median_ms": latency.median_ms,
                "processor_ms": latency.processor_ms,
                "calls": latency.calls,
            }
            for runtime, latency in zip(runs, measured)
        ]
    return lines


def latency_table(latencies: Sequence[Mapping[str, Any]]) -> str:
    """What ``measure_files`` returned as text: a line per graph and batch, a column per runtime."""
    runtimes = list(dict.fromkeys(line["runtime"] for line in latencies))
    cells = {
        (line["graph"], line["batch"], line["runtime"]): f"{line['median_ms']:.1f} ({line['processor_ms']:.1f})"
        for line in latencies
    }
    lines = [
        f"median latency on the CPU, {torch.get_num_threads()} thread(s) [ms], in brackets the processor time",
        f"{'graph':10} {'batch':>5}" + "".join(f"{_TITLES[runtime]:>17}" for runtime in runtimes),
    ]
    for graph, batch in dict.fromkeys((line["graph"], line["batch"]) for line in latencies):
        lines.append(f"{graph:10} {batch:5}" + "".join(f"{cells[graph, batch, runtime]:>17}" for runtime in runtimes))
    return "\n".join(lines)
