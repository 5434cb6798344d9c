"""A searchable gallery of many vectors: building, opening and asking it, with the recall that the speed costs."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from ealn_plugin.benchmark.measuring import PeakMemory, machine, return_freed_memory
from ealn_plugin.search import IndexWriter, Records, SearchIndex, neighbours

_PIECE = 1024
_TOP = 10
_SPREAD = 0.8  # of an image around its vehicle, against 1 between vehicles: rank 1 is nearly always right, rank 20 not
IMAGES_PER_VEHICLE = 20


class ClusteredVectors:
    """Random vectors of length 1 around random centres, as features of vehicles are, made piece by piece.

    Args:
        count, dim: how many, of which length; seed: of the draws. Every vehicle has about 20 images.
    """

    def __init__(self, count: int, dim: int, seed: int = 0) -> None:
        self.count, self.dim, self.seed = count, dim, seed
        self.vehicles = max(1, count // IMAGES_PER_VEHICLE)

    def _vectors(self, pids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # a centre is drawn anew from its vehicle's number: a million images need no table of 50,000 centres
        centres = np.stack(
            [np.random.default_rng([self.seed, int(pid)]).standard_normal(self.dim, dtype=np.float32) for pid in pids]
        )
        vectors = centres + _SPREAD * rng.standard_normal((len(pids), self.dim), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def pieces(self) -> Iterator[tuple[Records, np.ndarray]]:
        """Yield (Records, float32 [n, dim]) until there are ``count``."""
        for first in range(0, self.count, _PIECE):
            rows = np.arange(first, min(first + _PIECE, self.count))
            rng = np.random.default_rng([self.seed, 1, first])
            pids = rng.integers(0, self.vehicles, len(rows))
            yield Records([f"/gallery/{row:08d}.jpg" for row in rows], pids), self._vectors(pids, rng)

    def queries(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [count, dim], vehicle numbers int [count]): new images of the same vehicles."""
        rng = np.random.default_rng([self.seed, 2])
        pids = rng.integers(0, self.vehicles, count)
        return self._vectors(pids, rng), pids


def measure_search(
    count: int,
    dim: int = 1024,
    kinds: Sequence[str] = ("flat", "ivf"),
    queries: int = 200,
    folder: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Build an index of every kind on disk, open it, and ask it one query at a time and all at once.

    Args:
        count: vectors; dim: their length; kinds: of ('flat', 'ivf'); queries: how many are asked.
        folder: where the index is built for the time being; it takes count * dim * 4 bytes. None: the system's.
        seed: of the vectors.
    Returns:
        dict ready for JSON; see ``search_table``. Recall is the share of the true 10 nearest that are found; memory
        is the most that was resident above what the process had before, files that are mapped included. Processor
        times are of all threads together; beside other programs they say more than those of the clock.
    """
    faiss = neighbours.import_faiss()
    data = ClusteredVectors(count, dim, seed)
    asked, pids = data.queries(queries)
    result = {
        "machine": {**machine(), "faiss": faiss.__version__, "faiss_threads": faiss.omp_get_max_threads()},
        "vectors": count,
        "dim": dim,
        "queries": queries,
        "kinds": {},
    }
    truth = None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = os.path.join(place, "index")
        result["generating_seconds"] = _generate(data)
        for kind in kinds:
            measured, index = _measure_kind(data, made, kind)
            measured.update(_ask(index, asked, pids))
            result["kinds"][kind] = measured  # type: ignore[index]
            truth = _exact(index, asked) if truth is None else truth
            measured["recall"] = _recall(measured.pop("rows"), truth)
            del index
    return result


def _generate(data: ClusteredVectors):
    """Seconds that making the vectors takes, which are taken off the build's."""
    start = time.perf_counter()
    for _ in tqdm(data.pieces(), total=-(-data.count // _PIECE), desc="generating", leave=False, dynamic_ncols=True):
        pass
    return time.perf_counter() - start


def _measure_kind(data: ClusteredVectors, folder: str, kind):
    """Build the index, or bring the one that is there to another kind, and open it."""
    bar = tqdm(data.pieces(), total=-(-data.count // _PIECE), desc=f"building {kind}", leave=False, dynamic_ncols=True)
    return_freed_memory()
    with bar, PeakMemory(bar) as build_memory:
        start, worked = time.perf_counter(), time.process_time()
        with IndexWriter(folder, data.dim, {"benchmark": True}, kind=kind) as writer:
            if not writer.manifest.images:
                writer.add(bar)
            added, worked_adding = time.perf_counter(), time.process_time()
            writer.finish()
        finished, worked_learning = time.perf_counter(), time.process_time()
    manifest = writer.manifest
    return_freed_memory()
    with PeakMemory(bar) as open_memory:
        opening = time.perf_counter()
        index = SearchIndex.open(folder)
        opened = time.perf_counter()
    return {
        "adding_seconds": added - start,
        "learning_seconds": finished - added,
        "opening_seconds": opened - opening,
        "adding_processor_seconds": worked_adding - worked,
        "learning_processor_seconds": worked_learning - worked_adding,
        "build_peak_mib": build_memory.peak_mib,
        "open_peak_mib": open_memory.peak_mib,
        "disk_mib": sum(file["bytes"] for file in manifest.files.values()) / 2**20,
        "nlist": index.nlist,
        "nprobe": index.nprobe,
    }, index


def _ask(index, queries, pids):
    """Latency of single queries, of all at once, and how often the first answer is the right vehicle."""
    index.search(queries[:1], _TOP)  # the first one starts threads
    seconds, hits, worked = [], [], time.process_time()
    for query in tqdm(queries, desc="asking", leave=False, dynamic_ncols=True):
        start = time.perf_counter()
        hits += index.search(query[None], _TOP)
        seconds.append(time.perf_counter() - start)
    worked = (time.process_time() - worked) / len(queries)
    start = time.perf_counter()
    index.search(queries, _TOP)
    batch = time.perf_counter() - start
    return {
        "median_latency_ms": 1000 * statistics.median(seconds),
        "p95_latency_ms": 1000 * _quantile(seconds, 0.95),
        "processor_ms_per_query": 1000 * worked,
        "batch_ms_per_query": 1000 * batch / len(queries),
        "rank1": float(np.mean([found[0].pid == pid for found, pid in zip(hits, pids)])),
        "rows": [[hit.id for hit in found] for found in hits],
    }


def _exact(index, queries):
    """The ids of the true nearest."""
    exact = index.exact(queries, _TOP)
    return [[hit.id for hit in found] for found in exact]


def _recall(found, truth):
    return float(np.mean([len(set(one) & set(true)) / len(true) for one, true in zip(found, truth)]))


def _quantile(values, share):
    return float(np.quantile(values, share))


def search_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_search`` as lines of text."""
    computer = result["machine"]
    lines = [
        f"{result['vectors']:,} clustered vectors of {result['dim']} numbers, {result['queries']} queries, "
        f"{computer['faiss_threads']} threads ({computer['processor']}), FAISS {computer['faiss']}",
        f"{'kind':<6}{'lists':>12}{'add s':>9}{'learn s':>9}{'CPU s':>8}{'open s':>8}{'build MiB':>11}"
        f"{'open MiB':>10}{'disk MiB':>10}{'median ms':>11}{'95% ms':>9}{'CPU ms':>8}{'batch ms':>10}"
        f"{'recall@10':>11}{'rank 1':>8}",
    ]
    for kind, values in result["kinds"].items():
        lists = f"{values['nprobe']} of {values['nlist']}" if values["nlist"] else "exact"
        memory = "".join(
            f"{'?' if values[key] is None else format(values[key], '.0f'):>{width}}"
            for key, width in (("build_peak_mib", 11), ("open_peak_mib", 10))
        )
        lines.append(
            f"{kind:<6}{lists:>12}{values['adding_seconds']:>9.1f}{values['learning_seconds']:>9.1f}"
            f"{values['adding_processor_seconds'] + values['learning_processor_seconds']:>8.1f}"
            f"{values['opening_seconds']:>8.1f}{memory}{values['disk_mib']:>10.0f}"
            f"{values['median_latency_ms']:>11.2f}{values['p95_latency_ms']:>9.2f}"
            f"{values['processor_ms_per_query']:>8.2f}"
            f"{values['batch_ms_per_query']:>10.2f}{values['recall']:>11.3f}{values['rank1']:>8.3f}"
        )
    lines.append(
        f"add s includes making the vectors ({result['generating_seconds']:.1f} s); the second kind learns "
        "from the same files, so it adds nothing; CPU: processor time of all threads"
    )
    return lines
