"""A training step of the engine beside a plain one on the same networks and data, and the floor below both."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.benchmark.measuring import PeakMemory, machine
from ealn_plugin.benchmark.reference_edits import ReferenceEditStep
from ealn_plugin.benchmark.reference_step import ReferenceStep
from ealn_plugin.benchmark.workload import RandomImages
from ealn_plugin.config import CfgNode
from ealn_plugin.data.synthetic.presets import PRESETS
from ealn_plugin.engine import schedule
from ealn_plugin.engine.acceleration import keep_freed_memory
from ealn_plugin.runs import build
from ealn_plugin.schemes import EditingScheme

VERI_IDENTITIES = 575  # VeRI-776's training vehicles
MATRIX_SIDE = {"cuda": 8192, "cpu": 1024}
STEPS = {"cuda": 10, "cpu": 1}  # per round: a GPU works behind its caller, and only whole queues show how fast


def measure_training(
    config: CfgNode,
    identities: int | None = None,
    rounds: int = 10,
    warmup: int = 3,
    steps: int | None = None,
    scales: Sequence[int] = (1,),
) -> dict[str, Any]:
    """Images per second of the reference and of the engine's step, in alternating rounds of one run.

    Args:
        config: what ``load_config`` returned; its datasets are not looked at, images are random.
        identities: width of the classifier; None: the training vehicles of ``ealn.render.preset``, or VeRI-776's.
        rounds: measured rounds of each; warmup: steps of each before. steps: per round; None: 1 on the CPU, 10 on CUDA.
        scales: multiples of train.batch_size to measure, the first of which gives the figures at the top.
    Returns:
        dict, ready for JSON: 'device', 'image_size' [height, width], 'batch', 'precision' (of the engine; the reference
        has float32), 'reference_images_per_s',
        'engine_images_per_s', 'ratio', 'floor_images_per_s', 'peak_memory_bytes' (of the engine's step alone), and
        more. 'cpu_ratio' is the ratio of the processor time of both, which other work on the machine sways less.
    """
    scales = list(scales)
    if identities is None:
        preset = config.ealn.render.preset
        identities = PRESETS[preset].train_vehicles if preset else VERI_IDENTITIES
    batches = [config.train.batch_size * scale for scale in scales]
    measured = []
    with tqdm(total=len(batches) * (2 * warmup + 2 * rounds + 2), unit="round", dynamic_ncols=True) as bar:
        for batch in batches:
            bar.set_description(f"batch {batch}")
            measured.append(measure_batch(config, batch, identities, rounds, warmup, steps, bar))
    return {
        **measured[0],
        "machine": machine(),
        "scheme": config.ealn.scheme,
        "model": config.model.name,
        "identities": identities,
        "by_batch": measured,
    }


def measure_batch(
    config: CfgNode, batch: int, identities: int, rounds: int, warmup: int, steps: int | None, bar: Any
) -> dict[str, Any]:
    """The figures for one batch size, see ``measure_training``.

    The engine's memory is taken while nothing else has run: a process keeps what it once had.
    """
    device = torch.device("cuda" if config.use_gpu and torch.cuda.is_available() else "cpu")
    steps = steps or STEPS[device.type]
    data = RandomImages(
        config.data.height,
        config.data.width,
        batch,
        config.sampler.num_instances,
        identities,
        seed=config.train.seed,
        pin_memory=device.type == "cuda",
    )
    with peak_memory(device, bar) as memory:
        engine = joint_engine(config, data)
        run(engine.forward_backward, data.batches, warmup, device, bar)
    reference = reference_of(config, engine)
    run(reference, data.batches, warmup, device, bar)
    seconds, cpu_seconds = {"reference": [], "engine": []}, {"reference": [], "engine": []}
    for number in range(rounds):
        for name, step in (("reference", reference), ("engine", engine.forward_backward)):
            cpu = time.process_time()
            seconds[name].append(run(step, data.batches, steps, device, first=number * steps) / steps)
            cpu_seconds[name].append((time.process_time() - cpu) / steps)
            bar.update()
    speeds = {name: batch / statistics.median(values) for name, values in seconds.items()}
    phases = seconds_by_phase(engine, data.batches, max(1, rounds // 3), device)
    bar.update()
    flops = flops_of(engine, data.batches[0])
    rate = matrix_rate(device, torch.bfloat16 if engine.step.amp else torch.float32)
    bar.update()
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else machine()["processor"] or "cpu",
        "image_size": [config.data.height, config.data.width],
        "batch": batch,
        "precision": engine.precision.name,
        "reference_images_per_s": speeds["reference"],
        "engine_images_per_s": speeds["engine"],
        "ratio": speeds["engine"] / speeds["reference"],
        "cpu_ratio": statistics.median(cpu_seconds["reference"]) / statistics.median(cpu_seconds["engine"]),
        "floor_images_per_s": rate / (flops / batch),
        "peak_memory_bytes": memory["bytes"],
        "flops_per_image": flops / batch,
        "matrix_flops_per_s": rate,
        "phase_seconds": phases,
        "reference_seconds": seconds["reference"],
        "engine_seconds": seconds["engine"],
        "reference_cpu_seconds": cpu_seconds["reference"],
        "engine_cpu_seconds": cpu_seconds["engine"],
    }


def joint_engine(config: CfgNode, data: Any) -> Any:
    """The engine of a configuration on ``RandomImages``, where all networks learn."""
    engine = build.build_engine(config, data, data.views)
    if engine.device.type == "cpu":
        keep_freed_memory()  # as a run does; the reference shares the process and so the gain
    engine.stage = schedule.JOINT
    engine.embedding.train()
    for scheme in engine.schemes:
        scheme.train()
        scheme.begin_epoch(0, config.train.max_epoch)
    engine.precision.settle(engine, len(data.batches[0]["img"]))
    return engine


def reference_of(config: CfgNode, engine: Any) -> ReferenceStep:
    """The reference step with the engine's present weights and the configuration's optimisers."""
    options = configuration.optimizer_options(config)
    edits = any(isinstance(scheme, EditingScheme) for scheme in engine.schemes)
    return (ReferenceEditStep if edits else ReferenceStep)(
        engine,
        lambda model: toolkit.build_optimizer(model, **options),
        config.ealn.gan_lr,
        (config.ealn.gan_beta1, config.ealn.gan_beta2),
    )


def run(
    step: Callable[[Any], Any],
    batches: Sequence[Any],
    count: int,
    device: torch.device,
    bar: Any = None,
    first: int = 0,
) -> float:
    """Seconds that ``count`` steps take, from batch ``first`` on round and round, the device's last work included."""
    synchronize(device)
    start = time.perf_counter()
    for number in range(first, first + count):
        step(batches[number % len(batches)])
        if bar is not None:
            bar.update()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def peak_memory(device: torch.device, bar: Any) -> Iterator[dict[str, Any]]:
    """Context whose {'bytes': n} holds, on leaving, the most memory that was in use, above that at entry.

    On CUDA that of tensors on the device, elsewhere the resident memory of the process; None where neither is known.
    """
    found = {"bytes": None}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield found
        found["bytes"] = torch.cuda.max_memory_allocated(device) - before
        return
    with PeakMemory(bar) as memory:
        yield found
    found["bytes"] = None if memory.peak_mib is None else round(memory.peak_mib * 2**20)


def seconds_by_phase(engine: Any, batches: Sequence[Any], count: int, device: torch.device) -> dict[str, float]:
    """{phase: median seconds}, 'rest' being what lies outside of the phases; the device is awaited at each border."""
    found = {}

    @contextlib.contextmanager
    def watch(phase: str) -> Iterator[None]:
        synchronize(device)
        start = time.perf_counter()
        yield
        synchronize(device)
        found.setdefault(phase, []).append(time.perf_counter() - start)

    before, engine.step.watch = engine.step.watch, watch
    try:
        for number in range(count):
            start = time.perf_counter()
            engine.forward_backward(batches[number % len(batches)])
            whole = time.perf_counter() - start
            found.setdefault("rest", []).append(
                whole - sum(times[-1] for name, times in found.items() if name != "rest")
            )
    finally:
        engine.step.watch = before
    return {name: statistics.median(times) for name, times in found.items()}


def flops_of(engine: Any, batch: Any) -> int:
    """Floating-point operations of one step, counted: two per multiply-add of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter, torch.compiler.set_stance("force_eager"):
        engine.forward_backward(batch)
    return counter.get_total_flops()


def matrix_rate(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """Floating-point operations per second of a large square matrix product, the fastest of a few."""
    side = MATRIX_SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(repeats + 1):  # the first one warms up and may as well be the fastest
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest


def training_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_training`` as lines of text."""
    height, width = result["image_size"]
    lines = [
        f"One step of {result['scheme']} with {result['model']}, {height}x{width} pixels, "
        f"{result['machine']['threads']} threads, {result['device']}",
        f"{'batch':>6}{'reference':>12}{'engine':>12}{'ratio':>8}{'floor':>12}{'of floor':>10}{'peak MiB':>10}"
        "   images/s",
    ]
    for row in result["by_batch"]:
        peak = "?" if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 2**20:.0f}"
        lines.append(
            f"{row['batch']:>6}{row['reference_images_per_s']:>12.2f}{row['engine_images_per_s']:>12.2f}"
            f"{row['ratio']:>8.2f}{row['floor_images_per_s']:>12.2f}"
            f"{row['engine_images_per_s'] / row['floor_images_per_s']:>10.1%}{peak:>10}"
        )
    for row in result["by_batch"]:
        phases = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in row["phase_seconds"].items())
        lines.append(
            f"batch {row['batch']}, phases of the engine's step: {phases}; "
            f"{row['flops_per_image'] / 1e9:.2f} GFLOP per image, matrix products at "
            f"{row['matrix_flops_per_s'] / 1e12:.3f} TFLOP/s in {row['precision']}"
        )
    return lines
