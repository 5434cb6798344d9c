"""Engines that could hold a searchable gallery, each behind the same three calls, so that one command compares them.

``lance`` is what ``ealn search`` uses. ``milvus`` is Milvus Lite, embedded, by the client of a Milvus cluster
(pymilvus and milvus-lite, which no extra of the plugin installs). ``faiss`` is an index of FAISS in one file, read into
memory whole, as the plugin's own store was before (faiss-cpu).

Run as a module it is one measurement in a process of its own: ``python -m ealn_plugin.benchmark.engines JSON``.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from ealn_plugin.benchmark.asking import ask
from ealn_plugin.benchmark.vectors import ClusteredVectors
from ealn_plugin.search import Filter, IndexWriter, Records, SearchIndex, neighbours

MILVUS_BATCH = 1024  # a call of the client may not be longer than 64 MiB
MILVUS_SEGMENT = 100_000  # Milvus Lite joins no segments beyond it, and each has inverted lists of its own


class Searcher(Protocol):
    """An open gallery."""

    def search(self, queries: np.ndarray, k: int, cameras: Sequence[int] = ()) -> list[list[int]]:
        """Numbers of the k nearest vectors of each query, float32 [q, dim], in the cameras, counted from 0; () all."""


class Engine(Protocol):
    """One engine."""

    def build(self, folder: str, dim: int, pieces: Iterable[tuple[Records, np.ndarray]], count: int) -> None:
        """Make a gallery of ``count`` vectors in a folder, or go on where a killed process has stopped."""

    def open(self, folder: str) -> Searcher:
        """Open it."""


class Lance:
    """The plugin's own index."""

    def build(self, folder: str, dim: int, pieces: Iterable[tuple[Records, np.ndarray]], count: int) -> None:
        """See ``Engine``."""
        with IndexWriter(folder, dim, {"benchmark": True}) as writer:
            there, seen = writer.manifest.images, 0

            def missing() -> Any:
                nonlocal seen
                for records, vectors in pieces:
                    rows = np.arange(max(0, there - seen), len(records))
                    seen += len(records)
                    if len(rows):
                        yield records.take(rows), vectors[rows]

            writer.add(missing())
            writer.finish()

    def open(self, folder: str) -> Searcher:
        """See ``Engine``."""
        index = SearchIndex.open(folder)

        class Opened:
            def search(self, queries: np.ndarray, k: int, cameras: Sequence[int] = ()) -> list[list[int]]:
                """See ``Searcher``."""
                where = Filter(cameras=tuple(str(camera + 1) for camera in cameras)) if cameras else None
                return [[hit.id for hit in hits] for hits in index.search(queries, k, where)]

        return Opened()


class Milvus:
    """Milvus Lite; IVF_SQ8 beyond ``FLAT_UP_TO`` vectors."""

    _NAME, _PROBES = "images", 16

    def _client(self, folder: str) -> Any:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise RuntimeError(
                f"the engine milvus is not installed ({error}); pip install pymilvus milvus-lite"
            ) from error
        return MilvusClient(os.path.join(folder, "milvus.db"))

    def build(self, folder: str, dim: int, pieces: Iterable[tuple[Records, np.ndarray]], count: int) -> None:
        """See ``Engine``."""
        client = self._client(folder)
        from pymilvus import DataType

        if not client.has_collection(self._NAME):
            schema = client.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("path", DataType.VARCHAR, max_length=4096)
            schema.add_field("vehicle", DataType.INT64)
            schema.add_field("camera", DataType.INT64)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
            client.create_collection(self._NAME, schema=schema)
        first, there = 0, self._count(client)
        for records, vectors in pieces:
            for start in range(0, len(records), MILVUS_BATCH):
                part = range(start, min(start + MILVUS_BATCH, len(records)))
                rows = [
                    {
                        "id": first + row,
                        "path": records.paths[row],
                        "vehicle": int(records.pids[row]),
                        "camera": int(records.camids[row]),
                        "vector": vectors[row],
                    }
                    for row in part
                    if first + row >= there
                ]
                if rows:
                    client.insert(self._NAME, rows)
            first += len(records)
        client.flush(self._NAME)
        flat = count <= neighbours.FLAT_UP_TO
        lists = neighbours.default_nlist(min(count, MILVUS_SEGMENT))
        params = client.prepare_index_params()
        params.add_index(
            "vector",
            index_type="FLAT" if flat else "IVF_SQ8",
            metric_type="IP",
            params={} if flat else {"nlist": lists},
        )
        params.add_index("camera", index_type="INVERTED")
        client.create_index(self._NAME, params)
        client.close()

    def _count(self, client: Any) -> int:
        client.flush(self._NAME)
        return int(client.get_collection_stats(self._NAME)["row_count"])

    def open(self, folder: str) -> Searcher:
        """See ``Engine``."""
        client, name, probes = self._client(folder), self._NAME, self._PROBES
        client.load_collection(name)

        class Opened:
            def search(self, queries: np.ndarray, k: int, cameras: Sequence[int] = ()) -> list[list[int]]:
                """See ``Searcher``."""
                where = f"camera in {list(cameras)}" if cameras else ""
                params = {"metric_type": "IP", "params": {"nprobe": probes}}
                found = client.search(
                    name, data=queries, limit=k, filter=where, search_params=params, output_fields=["path", "vehicle"]
                )
                return [[hit["id"] for hit in hits] for hits in found]

        return Opened()


class Faiss:
    """FAISS in memory; IVF of the vectors themselves beyond ``FLAT_UP_TO``."""

    _PROBES = 32

    def _faiss(self) -> Any:
        try:
            import faiss
        except ImportError as error:
            raise RuntimeError(f"the engine faiss is not installed ({error}); pip install faiss-cpu") from error
        return faiss

    def build(self, folder: str, dim: int, pieces: Iterable[tuple[Records, np.ndarray]], count: int) -> None:
        """See ``Engine``."""
        faiss = self._faiss()
        pieces, cameras = iter(pieces), []
        index, first = faiss.IndexFlatIP(dim), []
        if count > neighbours.FLAT_UP_TO:
            lists = neighbours.default_nlist(count)
            needed = min(count, lists * neighbours.POINTS_PER_LIST)
            while sum(len(vectors) for _, vectors in first) < needed:
                first.append(next(pieces))  # those that it learns from are the first ones
            kmeans = faiss.Kmeans(dim, lists, niter=10, spherical=True, min_points_per_centroid=1, seed=1)
            kmeans.train(np.concatenate([vectors for _, vectors in first]))
            centres = faiss.IndexFlatIP(dim)
            centres.add(kmeans.centroids)
            index = faiss.IndexIVFFlat(centres, dim, lists, faiss.METRIC_INNER_PRODUCT)
            index.is_trained = True
        while first or (piece := next(pieces, None)) is not None:
            records, vectors = first.pop(0) if first else piece
            cameras.append(records.camids)
            index.add(vectors)
        faiss.write_index(index, os.path.join(folder, "vectors.faiss"))
        np.save(os.path.join(folder, "cameras.npy"), np.concatenate(cameras))

    def open(self, folder: str) -> Searcher:
        """See ``Engine``."""
        faiss, probes = self._faiss(), self._PROBES
        index = faiss.read_index(os.path.join(folder, "vectors.faiss"))
        known = np.load(os.path.join(folder, "cameras.npy"))

        class Opened:
            def search(self, queries: np.ndarray, k: int, cameras: Sequence[int] = ()) -> list[list[int]]:
                """See ``Searcher``."""
                options: dict[str, Any] = {"nprobe": probes} if isinstance(index, faiss.IndexIVF) else {}
                if cameras:
                    options["sel"] = faiss.IDSelectorBatch(np.flatnonzero(np.isin(known, cameras)))
                kind = faiss.SearchParametersIVF if "nprobe" in options else faiss.SearchParameters
                _, rows = index.search(queries, k, params=kind(**options))
                return [[int(row) for row in found if row >= 0] for found in rows]

        return Opened()


ENGINES: dict[str, type[Engine]] = {"lance": Lance, "milvus": Milvus, "faiss": Faiss}


def peak_mib() -> float:
    """The most memory that this process had so far, in MiB; NaN where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return math.nan
    return int(line.split()[1]) / 1024


def in_this_process(asked: dict[str, Any]) -> dict[str, Any]:
    """Build or ask, as one measurement.

    Args:
        asked: 'engine', 'folder', and 'build': (count, dim, seed), or 'ask': a .npy file of queries, of which the first
            is asked. Then, if wanted, all of them: 'all': True, for the answers; 'truth': a file of the true ones, for
            the figures of ``asking.ask`` in their place.
    """
    engine, before = ENGINES[asked["engine"]](), peak_mib()
    start, worked = time.perf_counter(), time.process_time()
    answers: Any = []
    if "build" in asked:
        data = ClusteredVectors(*asked["build"])
        engine.build(asked["folder"], data.dim, data.pieces(), data.count)
    else:
        queries = np.load(asked["ask"])
        opened = engine.open(asked["folder"])
        answers = opened.search(queries[:1], 10)
    figures = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - worked}
    figures |= {"memory_mib": peak_mib(), "memory_before_mib": before}
    if "ask" in asked and asked.get("all"):
        answers = opened.search(queries, 10)
    elif "truth" in asked:
        with np.load(asked["truth"]) as truth:
            answers = ask(opened, queries, truth)
    return {**figures, "answers": answers}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(in_this_process(json.loads(sys.argv[1]))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # an engine's threads may keep the process
