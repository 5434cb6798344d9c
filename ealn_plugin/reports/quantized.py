"""A run's network in 8-bit integers: calibrated on the training images, kept if it ranks the test set as well."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ealn_plugin.data import VIEWPOINTS
from ealn_plugin.data.own.names import build_dataset
from ealn_plugin.evaluation.extraction import FeatureExtraction
from ealn_plugin.evaluation.protocols import evaluate_protocols, protocols_of
from ealn_plugin.export.quantization import quantize
from ealn_plugin.inference.image_inputs import to_network
from ealn_plugin.inference.networks import OnnxNetwork
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.runs.folder import splits_of_run
from ealn_plugin.system.files import replacing
from ealn_plugin.system.randomness import own_randomness

LARGEST_LOSS = 0.005
"""Of mAP, in [0, 1]: a file that loses as much or more is not kept."""
IMAGES = 256
_BATCH = 32


class QuantizationLossError(ValueError):
    """The network ranks worse in 8-bit integers; the message says by how much."""


@dataclass(frozen=True)
class Quantized:
    """A file of 8-bit integers and what it costs.

    Attributes:
        path: of the file. size: in bytes. measured: 'DATASET/PROTOCOL' that judged it.
        before, after: mAP in [0, 1] of the file in floating point and of this one.
    """

    path: str
    size: int
    measured: str
    before: float
    after: float


def quantize_run(run: str, source: str, target: str, images: int = IMAGES) -> Quantized:
    """Write ``target`` from the ONNX file of a run's embedding network, and keep it only if it ranks as well.

    Args:
        run: run folder or checkpoint, whose datasets are there. source: ONNX file of its embedding network.
        target: the file to write. images: of its training images to calibrate with.
    Raises:
        QuantizationLossError: mAP falls by ``LARGEST_LOSS`` or more; nothing is left under the name.
        ValueError: there are no training images. OSError: images or files cannot be read or written.
    """
    subject = RunSubject(run, "run")
    with _nothing_left_after_a_loss(target), replacing(target) as temporary:
        quantize(source, temporary, _calibration(subject, OnnxNetwork(source, "cpu"), images))
        with own_randomness():
            engine = subject.engine()
        name = next(iter(engine.test_loader))
        protocol = protocols_of(engine.test_loader[name])[0]
        before, after = (
            _mean_average_precision(OnnxNetwork(path, "cpu"), engine.test_loader[name], name, protocol, subject)
            for path in (source, temporary)
        )
        if not before - after < LARGEST_LOSS:
            raise QuantizationLossError(
                f"8-bit integers lose {100 * (before - after):.1f} of {100 * before:.1f} mAP on {name}, expected less "
                f"than {100 * LARGEST_LOSS:.1f}, so {os.path.basename(target)} was not kept; deploy the file in "
                "floating point"
            )
    return Quantized(target, os.path.getsize(target), f"{name}/{protocol}", before, after)


@contextlib.contextmanager
def _nothing_left_after_a_loss(path: str) -> Iterator[None]:
    """An older file of the name is removed too: it must not be taken for the result of what was refused."""
    try:
        yield
    except QuantizationLossError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def _calibration(subject: RunSubject, network: OnnxNetwork, count: int) -> Iterator[Tensor]:
    """Batches of the run's training images, spread evenly over them."""
    config = subject.config
    recorded = splits_of_run(subject.folder)
    options = {"split_id": config.data.split_id, **({"recorded_splits": recorded} if recorded else {})}
    paths = [item[0] for name in config.data.sources for item in build_dataset(name, config.data.root, **options).train]
    chosen = [paths[row] for row in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))] if paths else []
    for first in range(0, len(chosen), _BATCH):
        part = chosen[first : first + _BATCH]
        yield torch.stack([to_network(path, network.transform, network.size) for path in part])


class _FileExtraction(FeatureExtraction):
    """``FeatureExtraction`` whose features an ONNX file computes."""

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__(None, None, (), VIEWPOINTS.lookup, torch.device("cpu"))  # type: ignore[arg-type]
        self.network = network

    def batch(self, images: Tensor, views: Tensor) -> tuple[Tensor, None]:
        """The file's features [n, dim], and no others."""
        return self.network.features(images, views), None


def _mean_average_precision(network: OnnxNetwork, loaders: Any, name: str, protocol: str, subject: RunSubject) -> float:
    own, _ = _FileExtraction(network).dataset(loaders, f"{name} by {os.path.basename(network.path)}")
    return float(evaluate_protocols(own, [protocol], **subject.ranking())[protocol]["mAP"])  # type: ignore[arg-type]
