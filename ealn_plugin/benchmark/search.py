"""A searchable gallery of many vectors: building, opening and asking it, with the recall that the speed costs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from ealn_plugin.benchmark.asking import ASKED_CAMERAS, BATCH, TOP, recall
from ealn_plugin.benchmark.measuring import machine
from ealn_plugin.benchmark.vectors import CAMERAS, PIECE, ClusteredVectors
from ealn_plugin.system.messages import sentence

_LIMIT = 24 * 3600


def measure_search(
    count: int,
    dim: int = 1024,
    engines: Sequence[str] = ("lance",),
    queries: int = 200,
    folder: str | None = None,
    seed: int = 0,
    faults: bool = False,
) -> dict[str, Any]:
    """Build a gallery with every engine, open it in a process that has seen nothing yet, and ask it.

    Args:
        count: vectors; dim: their length; engines: of ``ENGINES``; queries: how many are asked.
        folder: where the galleries stay, so that the same call goes on where it was stopped; it takes up to
            count * dim * 9 bytes an engine. None: in the system's folder for temporary files, and removed.
        seed: of the vectors.
        faults: also kill a process that adds, and flip bytes of the largest file; needs another copy of the gallery.
    Returns:
        dict ready for JSON; see ``search_table``. Recall is the share of the true 10 nearest that are found. Processor
        times are of all threads together; beside other programs they say more than those of the clock.
    """
    data = ClusteredVectors(count, dim, seed)
    asked, pids = data.queries(queries)
    result: dict[str, Any] = {"machine": machine(), "vectors": count, "dim": dim, "queries": queries, "engines": {}}
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or temporary
        os.makedirs(place, exist_ok=True)
        truth = _truth(data, asked, place)
        result["nearest_is_right"] = float((truth["vehicles"] == pids).mean())
        for name in engines:
            try:
                result["engines"][name] = _measured(name, place, data, asked, truth, faults)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                result["engines"][name] = {"failed": sentence(error)}
    return result


def _measured(
    name: str, place: str, data: ClusteredVectors, asked: np.ndarray, truth: Any, faults: bool
) -> dict[str, Any]:
    """The figures of one engine, each part in a process of its own, whose end is the end of that engine alone."""
    there, file = os.path.join(place, name), os.path.join(place, "queries.npy")
    measured = _built(name, there, data)
    np.save(file, asked)
    cold = _child(engine=name, folder=there, ask=file)
    measured.update({f"cold_{key}": value for key, value in cold.items() if key != "answers"})
    measured.update(_child(engine=name, folder=there, ask=file, truth=_truth_file(data, asked, place))["answers"])
    if faults:
        measured["faults"] = _faults(name, place, data, truth)
    return measured


def _truth_file(data: ClusteredVectors, queries: np.ndarray, place: str) -> str:
    return os.path.join(place, f"truth-{data.count}-{data.dim}-{data.seed}-{len(queries)}.npz")


def _truth(data: ClusteredVectors, queries: np.ndarray, place: str) -> dict[str, np.ndarray]:
    """'all' and 'filtered': int [q, 10], the true nearest; 'vehicles': of the nearest."""
    file = _truth_file(data, queries, place)
    if os.path.exists(file):
        return dict(np.load(file))
    best = {name: (np.full((len(queries), TOP), -np.inf, np.float32), None) for name in ("all", "filtered")}
    ids = {name: np.full((len(queries), TOP), -1) for name in best}
    vehicles, first = [], 0
    for records, vectors in tqdm(data.pieces(), total=-(-data.count // PIECE), desc="exact", leave=False):
        scores = queries @ vectors.T
        vehicles.append(records.pids)
        for name in best:
            if name == "filtered":
                scores[:, ~np.isin(records.camids, ASKED_CAMERAS)] = -np.inf
            joined = np.concatenate([best[name][0], scores], axis=1)
            rows = np.broadcast_to(np.arange(first, first + len(records)), scores.shape)
            order = np.argsort(-joined, axis=1, kind="stable")[:, :TOP]
            best[name] = (np.take_along_axis(joined, order, 1), None)
            ids[name] = np.take_along_axis(np.concatenate([ids[name], rows], axis=1), order, 1)
        first += len(records)
    found = {**ids, "vehicles": np.concatenate(vehicles)[ids["all"][:, 0]]}
    np.savez(file, **found)
    return found


def _child(limit: float = _LIMIT, **asked: Any) -> dict[str, Any]:
    """What a process of its own measures; see ``engines.in_this_process``.

    Raises:
        RuntimeError: it failed, with the last line that it wrote; or was killed, as for want of memory.
    """
    command = [sys.executable, "-m", "ealn_plugin.benchmark.engines", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:400]
        if done.returncode < 0:
            why = f"it was ended by signal {-done.returncode}, as where memory is short"
        raise RuntimeError(f"the engine {asked['engine']} failed ({why}); see its own documentation")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _built(name: str, folder: str, data: ClusteredVectors) -> dict[str, Any]:
    """Build the gallery, or take the figures of an earlier call."""
    done, want = os.path.join(folder, "built.json"), [data.count, data.dim, data.seed]
    if os.path.exists(done):
        with open(done, encoding="utf-8") as file:
            known = json.load(file)
        if known.pop("of") == want:
            return known
        shutil.rmtree(folder)
    os.makedirs(folder, exist_ok=True)
    figures = _child(engine=name, folder=folder, build=want)
    figures.pop("answers")
    built = {f"build_{key}": value for key, value in figures.items()}
    built["disk_mib"] = _size(folder)
    with open(done, "w", encoding="utf-8") as file:
        json.dump({"of": want, **built}, file)
    return built


def _size(folder: str) -> float:
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names) / 2**20


def _faults(name: str, place: str, data: ClusteredVectors, truth: Any) -> dict[str, str]:
    """What a kill in the middle of adding, and flipped bytes, do; one sentence each."""
    folder, file = os.path.join(place, f"{name}-faults"), os.path.join(place, "queries.npy")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    want = [data.count, data.dim, data.seed]
    command = [sys.executable, "-m", "ealn_plugin.benchmark.engines"]
    building = subprocess.Popen(
        [*command, json.dumps({"engine": name, "folder": folder, "build": want})], stderr=subprocess.DEVNULL
    )
    half = data.count * data.dim * 4 / 2**21  # MiB of half the vectors
    deadline = time.monotonic() + _LIMIT
    while building.poll() is None and _size(folder) < half and time.monotonic() < deadline:
        time.sleep(0.02)
    building.send_signal(signal.SIGKILL)
    building.wait()

    def outcome(**more: Any) -> str:
        try:
            answers = _child(engine=name, folder=folder, **more)["answers"]
        except RuntimeError as error:
            return f"refused: {error}"
        return f"recall {recall(answers, truth['all']):.3f}" if answers else "done"

    found = {"after a kill": outcome(ask=file, all=True)}
    found["built again"] = outcome(build=want)
    found["then"] = outcome(ask=file, all=True)
    largest = max(
        (os.path.join(at, entry) for at, _, entries in os.walk(folder) for entry in entries), key=os.path.getsize
    )
    with open(largest, "r+b") as handle:
        handle.seek(os.path.getsize(largest) // 2)
        byte = handle.read(1)[0]
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte ^ 0x40]))
    found["a flipped byte in the largest file"] = outcome(ask=file, all=True)
    shutil.rmtree(folder)
    return found


def search_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_search`` as lines of text."""
    computer = result["machine"]
    failed = {name: found["failed"] for name, found in result["engines"].items() if "failed" in found}
    names = [name for name in result["engines"] if name not in failed]
    lines = [
        f"{result['vectors']:,} clustered vectors of {result['dim']} numbers, {result['queries']} queries, "
        f"{computer['cores']} cores ({computer['processor']})",
        *(f"{name}: {why}" for name, why in failed.items()),
    ]
    if not names:
        return lines
    lines.append(f"{'':<58}" + "".join(f"{name:>12}" for name in names))

    def line(title: str, value: Any, form: str) -> None:
        lines.append(f"{title:<58}" + "".join(f"{value(result['engines'][name]):>12{form}}" for name in names))

    line("build, vectors included: seconds", lambda e: e["build_seconds"], ".1f")
    line("build: processor seconds", lambda e: e["build_processor_seconds"], ".1f")
    line("build: memory, MiB", lambda e: e["build_memory_mib"], ",.0f")
    line("disk, MiB", lambda e: e["disk_mib"], ",.0f")
    line("a new process opens and asks once: seconds", lambda e: e["cold_seconds"], ".2f")
    line("  processor seconds", lambda e: e["cold_processor_seconds"], ".2f")
    line(
        "  memory above that of the imports, MiB", lambda e: e["cold_memory_mib"] - e["cold_memory_before_mib"], ",.0f"
    )
    line("  memory in all, MiB", lambda e: e["cold_memory_mib"], ",.0f")
    for kind, title in (("all", "a query"), ("filtered", f"a query in {len(ASKED_CAMERAS)} of {CAMERAS} cameras")):
        line(f"{title}: median ms", lambda e, kind=kind: e[kind]["median_latency_ms"], ".1f")
        line(f"{title}: processor ms", lambda e, kind=kind: e[kind]["processor_ms_per_query"], ".1f")
        line(f"{title} of {BATCH} at once: ms", lambda e, kind=kind: e[kind]["batch_ms_per_query"], ".1f")
        line(f"{title}: recall@{TOP}", lambda e, kind=kind: e[kind]["recall"], ".3f")
    for name in names:
        for what, outcome in result["engines"][name].get("faults", {}).items():
            lines.append(f"{name}, {what}: {outcome}")
    return lines
