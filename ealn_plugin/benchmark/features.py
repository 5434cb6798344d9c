"""Features alone, of image files of a usual size: PyTorch and an exported ONNX file, in one run."""

import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ealn_plugin import config as configuration
from ealn_plugin.benchmark.measuring import machine
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.export import export_graph, graphs_of
from ealn_plugin.export.metadata import metadata_of
from ealn_plugin.inference.extractor import FeatureExtractor
from ealn_plugin.models.embedding import EmbeddingNetwork
from ealn_plugin.runs import build
from ealn_plugin.runs.loading import LoadedRun
from ealn_plugin.system.randomness import own_randomness

BATCHES = (1, 64)
_CROP = (240, 320)  # height and width of the made-up files, as crops of vehicles from traffic cameras have
_FEWEST = 3


def measure_features(
    model: str = "resnet50", size: tuple[int, int] = (224, 224), images: int = 128, rounds: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Extract the features of the same files by both, in turn, in batches of 1 and of 64.

    Args:
        model: a torchreid model with random weights. size: (height, width) that it takes, in pixels.
        images: files, JPEGs of 240 x 320 pixels. rounds: of each; the median counts. seed: of weights and images.
    Returns:
        dict, ready for JSON; see ``features_table``.
    Raises:
        ValueError: no such model, or it cannot be exported.
    """
    options = ["ealn.scheme", "en", "model.name", model, "model.pretrained", False]
    config = configuration.load_config("", [*options, "data.height", size[0], "data.width", size[1]])
    with own_randomness(seed=seed):
        network = EmbeddingNetwork(build.build_embedding_backbone(config, 1))
    pixels = PixelRange(config.data.norm_mean, config.data.norm_std)
    run = LoadedRun(config, network, [], pixels, torch.device("cpu"), "random weights")
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_images(folder, images, seed)
        export_graph(graphs_of(run, metadata_of(run))[0], folder, ["onnx"])
        methods = {"PyTorch": run, "onnxruntime": os.path.join(folder, "embedding.onnx")}
        measured, found = _in_turn(methods, paths, rounds)
    differences = [float((found["PyTorch", n] - found["onnxruntime", n]).abs().max()) for n in BATCHES]
    return {
        "machine": machine(),
        "model": model,
        "size": list(size),
        "images": images,
        "methods": measured,
        "largest_difference": max(differences),
    }


def _write_images(folder: str, count: int, seed: int) -> list[str]:
    """JPEG files of smooth random pictures, which take as long to decode as photographs."""
    random = np.random.default_rng(seed)
    paths = [os.path.join(folder, f"{number:05}.jpg") for number in range(count)]
    for path in paths:
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3)).astype(np.uint8))
        coarse.resize(_CROP[::-1], Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def _in_turn(methods: Mapping[str, Any], paths: list[str], rounds: int) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """A line for each method and size of batch, and {(method, batch): features}."""
    extractors = {
        (name, batch): FeatureExtractor(run, device="cpu", batch_size=batch)
        for batch in BATCHES
        for name, run in methods.items()
    }
    times: dict[Any, list[tuple[float, float]]] = {key: [] for key in extractors}
    found = {}
    for extractor in extractors.values():
        extractor(paths[:_FEWEST])  # the first call allocates
    with tqdm(total=rounds * len(extractors), unit="run", dynamic_ncols=True) as bar:
        for _ in range(rounds):
            for key, extractor in extractors.items():
                bar.set_description(f"{key[0]}, batches of {key[1]}")
                start, processor = time.perf_counter(), time.process_time()
                found[key] = extractor(paths)
                times[key].append((time.perf_counter() - start, time.process_time() - processor))
                bar.update()
    lines = []
    for (name, batch), taken in times.items():
        clock, processor = (float(np.median([pair[place] for pair in taken])) for place in (0, 1))
        line = {"method": name, "batch": batch, "images_per_second": len(paths) / clock}
        lines.append({**line, "processor_ms_per_image": 1000 * processor / len(paths)})
    return lines, found


def features_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_features`` as lines of text."""
    height, width = result["size"]
    lines = [
        f"Features of {result['images']} files by {result['model']} at {height} x {width}, "
        f"{result['machine']['threads']} threads ({result['machine']['processor']})",
        f"{'method':<12}{'batch':>6}{'images/s':>10}{'processor ms/image':>20}",
    ]
    rates = {}
    for line in result["methods"]:
        rates[line["method"], line["batch"]] = line["images_per_second"]
        lines.append(
            f"{line['method']:<12}{line['batch']:>6}{line['images_per_second']:>10.1f}"
            f"{line['processor_ms_per_image']:>20.1f}"
        )
    faster = ", ".join(f"{rates['onnxruntime', n] / rates['PyTorch', n]:.2f} in batches of {n}" for n in BATCHES)
    lines.append(f"onnxruntime over PyTorch: {faster}; largest difference {result['largest_difference']:.1e}")
    return lines
