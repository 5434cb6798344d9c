"""Loading alone: torchreid's loader and ours, without and with the image cache, on the same images in one run.

Images per second and core are images by seconds of processor time, so a busy machine changes them little. The kinds
take turns, and every kind loads the same images in the same order.
"""

import contextlib
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset, default_collate
from tqdm import tqdm

from ealn_plugin import toolkit
from ealn_plugin.benchmark.measuring import machine
from ealn_plugin.data.cache import open_cache
from ealn_plugin.data.images import FastTransform, ImageReader
from ealn_plugin.data.own.names import registered
from ealn_plugin.data.synthetic import render_dataset
from ealn_plugin.engine.epochs import EpochLoader, SeededSamples
from ealn_plugin.system.randomness import derived_seed, own_randomness, seed_transforms

KINDS = ("torchreid", "cache off", "cache on")
SIZES = {"1x": 4, "2x": 2, "4x": 1}  # what part of the training images
STAGE_IMAGES = 200


def measure_loading(
    root: str = "",
    source: str = "veri776",
    height: int = 64,
    width: int = 64,
    transforms: Sequence[str] = ("random_flip",),
    batch_size: int = 32,
    repeats: int = 5,
    workers: int = 2,
    seed: int = 0,
    preset: str = "tiny",
) -> dict[str, Any]:
    """Load training images in every way.

    Args:
        root: data folder that holds the dataset ``source``; '': render ``preset`` into a temporary one.
        height, width, transforms, batch_size: as in torchreid's data manager.
        repeats: epochs of each kind and size, the medians of which count.
        workers: data workers of the second measurement, in which the wall clock counts; 0: leave it out.
        seed: of the augmentation.
    Returns:
        dict of JSON values: 'images_per_s_per_core' {size: {kind: value}}, 'pixels_equal' {kind: bool}, and more.
    Raises:
        ValueError: there are not four batches of training images.
    """
    with contextlib.ExitStack() as stack:
        if not root:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="ealn_images_"))
            render_dataset(root, preset=preset)
        stack.enter_context(one_thread())
        plain = training_images(root, source, height, width, transforms, batch_size)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ealn_cache_"))
        datasets, cache = three_datasets(plain, source, folder, workers)
        counts = {name: len(plain) // part // batch_size * batch_size for name, part in SIZES.items()}
        result = {
            "machine": machine(),
            "source": source,
            "image_size": [height, width],
            "transforms": list(transforms),
            "batch_size": batch_size,
            "images": {**counts, "compared": len(plain)},
            "cache": cache,
            "pixels_equal": compare_pixels(datasets, seed),
            "images_per_s_per_core": time_epochs(datasets, counts, batch_size, repeats, seed),
            "microseconds_per_image": time_stages(datasets, batch_size, repeats, seed),
        }
        if workers:
            result["workers"] = workers
            result["images_per_s_with_workers"] = time_workers(
                datasets, counts["4x"], batch_size, repeats, workers, seed
            )
    result["times_faster"] = {
        size: {kind: values[kind] / values["torchreid"] for kind in KINDS[1:]}
        for size, values in result["images_per_s_per_core"].items()  # type: ignore[attr-defined]
    }
    return result


def training_images(root: str, source: str, height: int, width: int, transforms: Sequence[str], batch_size: int) -> Any:
    """torchreid's own training dataset of ``source``, with at least four batches; arguments as ``measure_loading``.

    Raises:
        ValueError: it has fewer images.
    """
    manager = toolkit.build_datamanager(
        root=root,
        sources=registered([source])[source],
        height=height,
        width=width,
        transforms=list(transforms),
        workers=0,
        batch_size_train=batch_size,
        batch_size_test=batch_size,
        train_sampler="SequentialSampler",
        use_gpu=False,
    )
    images = manager.train_loader.dataset
    if len(images) < 4 * batch_size:
        raise ValueError(
            f"{source} has {len(images)} training images, expected at least 4 batches of {batch_size}; "
            "lower --batch-size"
        )
    return images


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes with one thread, so that a core is a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def three_datasets(plain: Any, name: str, folder: str, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """{kind: torchreid dataset} that differ in how images are read, and what filling the cache took."""
    datasets = {kind: copy.copy(plain) for kind in KINDS}
    transform = FastTransform(plain.transform)
    start = time.perf_counter()
    cache = open_cache(folder, name, [item[0] for item in plain.data], transform.resize, workers)
    if cache is None:
        raise OSError(
            f"the image cache cannot be kept in {folder!r}, see the warning above; set TMPDIR to a folder "
            "with more room"
        )
    seconds = time.perf_counter() - start
    toolkit.set_image_reader(datasets["cache off"], ImageReader(transform))
    toolkit.set_image_reader(datasets["cache on"], ImageReader(transform, [cache]))
    height, width = transform.resize.size
    return datasets, {
        "seconds_to_fill": seconds,
        "processes": max(workers, 1),
        "mib": len(plain) * height * width * 3 / 2**20,
    }


def compare_pixels(datasets: Mapping[str, Any], seed: int) -> dict[str, bool]:
    """{kind: whether every training image is torchreid's own, bit for bit, augmented from the same random numbers}."""
    equal = dict.fromkeys(KINDS[1:], True)
    sampled = {kind: SeededSamples(dataset, seed) for kind, dataset in datasets.items()}
    for index in tqdm(range(len(datasets["torchreid"])), desc="comparing pixels", unit="img", dynamic_ncols=True):
        expected = sampled["torchreid"][0, index, index]["img"]
        for kind in equal:
            equal[kind] &= torch.equal(sampled[kind][0, index, index]["img"], expected)
    return equal


# ---------------------------------------------------------------------------------------------- whole epochs
def time_epochs(
    datasets: Mapping[str, Any], counts: Mapping[Any, int], batch_size: int, repeats: int, seed: int
) -> dict[Any, dict[str, float]]:
    """{size: {kind: images per second of processor time}}, all in this process; medians."""
    seconds = {(size, kind): [] for size in counts for kind in KINDS}
    with tqdm(total=repeats * len(seconds), desc="loading", unit="epoch", dynamic_ncols=True) as bar:
        for _ in range(repeats):
            for (size, kind), found in seconds.items():
                loader = epoch_of(kind, datasets[kind], counts[size], batch_size, 0, seed)
                start = time.process_time()
                exhaust(loader(0))
                found.append(time.process_time() - start)
                bar.update()
    return {size: {kind: counts[size] / statistics.median(seconds[size, kind]) for kind in KINDS} for size in counts}


def time_workers(
    datasets: Mapping[str, Any], count: int, batch_size: int, repeats: int, workers: int, seed: int
) -> dict[str, float]:
    """{kind: images per second of the wall clock} with data workers, epoch after epoch, their start included."""
    seconds = {kind: [] for kind in KINDS}
    loaders = {kind: epoch_of(kind, datasets[kind], count, batch_size, workers, seed) for kind in KINDS}
    with tqdm(
        total=repeats * len(KINDS), desc=f"loading with {workers} workers", unit="epoch", dynamic_ncols=True
    ) as bar:
        for epoch in range(repeats):
            for kind, loader in loaders.items():
                start = time.perf_counter()
                exhaust(loader(epoch))
                seconds[kind].append(time.perf_counter() - start)
                bar.update()
    return {kind: count / statistics.median(values) for kind, values in seconds.items()}


def epoch_of(
    kind: str, dataset: Any, count: int, batch_size: int, workers: int, seed: int
) -> Callable[[int], Iterable[Any]]:
    """A function of an epoch's number that returns its batches, of the first ``count`` images."""
    loader = DataLoader(Subset(dataset, range(count)), batch_size=batch_size, num_workers=workers, drop_last=True)
    if kind == "torchreid":
        return lambda epoch: loader
    epochs = EpochLoader(loader, seed)
    return lambda epoch: epochs.epoch(epoch)[0]


def exhaust(batches: Iterable[Any]) -> None:
    """Load every batch."""
    for _ in batches:
        pass


# ---------------------------------------------------------------------------------------------- where the time goes
def time_stages(datasets: Mapping[str, Any], batch_size: int, repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """{'torchreid' | 'ours': {stage: microseconds of processor time per image}}, medians over the repeats."""
    plain, reader = datasets["torchreid"], datasets["cache on"].image_reader
    paths = [item[0] for item in plain.data[:STAGE_IMAGES]]
    resize, *steps = plain.transform.transforms
    middle = next(number for number, step in enumerate(steps) if type(step).__name__ == "ToTensor")

    def through(chain):
        def run(value):
            for step in chain:
                value = step(value)
            return value

        return run

    def batches(tensors):
        return [tensors[start : start + batch_size] for start in range(0, len(tensors), batch_size)]

    chains = {
        "torchreid": (
            paths,
            {
                "decode": toolkit.read_image,
                "resize": resize,
                "augment pictures": through(steps[:middle]),
                "to tensor, normalize": through(steps[middle : middle + 2]),
                "augment tensors": through(steps[middle + 2 :]),
            },
        ),
        "ours": (paths, {"cache": reader.caches[0].get, "augment and normalize": reader.transform}),
    }
    found = {}
    with own_randomness(derived_seed(seed, "stages")):
        for kind, (values, stages) in chains.items():
            found[kind] = {}
            for stage, function in stages.items():
                found[kind][stage] = microseconds(function, values, repeats)
                values = [function(value) for value in values]
            found[kind]["batch"] = (
                microseconds(default_collate, batches(values), repeats) * len(batches(values)) / len(values)
            )
        found["ours"]["seed"] = microseconds(
            lambda path: seed_transforms(derived_seed(seed, "sample", 0, path)), paths, repeats
        )
    return found


def microseconds(function: Callable[[Any], Any], values: Sequence[Any], repeats: int) -> float:
    """Median microseconds of processor time that ``function`` takes for one of ``values``."""
    measured = []
    for _ in range(repeats):
        start = time.process_time()
        for value in values:
            function(value)
        measured.append((time.process_time() - start) / len(values) * 1e6)
    return statistics.median(measured)


# ---------------------------------------------------------------------------------------------- the table
def loading_table(result: Mapping[str, Any]) -> list[str]:
    """The figures as lines of text."""
    height, width = result["image_size"]
    lines = [
        f"Loading {result['source']}, {height} x {width}, {', '.join(result['transforms']) or 'no augmentation'}, "
        f"images per second of one core, medians ({result['machine']['processor']})",
        f"{'dataset':<10}{'images':>8}" + "".join(f"{kind:>14}" for kind in KINDS) + f"{'faster by':>20}",
    ]
    for size, values in result["images_per_s_per_core"].items():
        ratios = " / ".join(f"{result['times_faster'][size][kind]:.2f} x" for kind in KINDS[1:])
        lines.append(
            f"{size:<10}{result['images'][size]:>8,}"
            + "".join(f"{values[kind]:>14,.0f}" for kind in KINDS)
            + f"{ratios:>20}"
        )
    if "workers" in result:
        values = result["images_per_s_with_workers"]
        lines.append(
            f"{result['workers']} workers, wall clock"
            + "".join(f"{values[kind]:>{14 if number else 17}.0f}" for number, kind in enumerate(KINDS))
        )
    lines.append("")
    for kind, stages in result["microseconds_per_image"].items():
        parts = ", ".join(f"{stage} {value:.0f}" for stage, value in stages.items())
        lines.append(f"microseconds per image, {kind}: {parts}; {sum(stages.values()):.0f} in all")
    for kind, equal in result["pixels_equal"].items():
        lines.append(
            f"pixels with {kind}: {'equal to' if equal else 'NOT THOSE OF'} torchreid's, all "
            f"{result['images']['compared']:,} images"
        )
    cache = result["cache"]
    lines.append(
        f"filling the cache: {cache['seconds_to_fill']:.1f} s with {cache['processes']} process(es), "
        f"{cache['mib']:.0f} MiB"
    )
    return lines
