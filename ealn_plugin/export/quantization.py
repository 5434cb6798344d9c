"""An ONNX file of 8-bit integers made of one in floating point: a quarter of the size, faster on a processor."""

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch

PACKAGES = ("onnx", "onnxruntime")
KEY, VALUE = "quantization", "int8, static"
"""What such a file says of itself among its metadata."""


def quantize(source: str, target: str, batches: Iterable[torch.Tensor]) -> None:
    """Static quantization (Jacob et al., CVPR 2018) of weights, channel by channel, and of activations.

    The ranges of the activations are the extremes over the images. Weights take 7 of the 8 bits, so that processors
    without VNNI instructions do not saturate.

    Args:
        source: ONNX file of ``export_graph`` with the input ``images`` alone. target: the file to write.
        batches: normalized images [n, 3, height, width] such as the network will see.
    Raises:
        ValueError: the file takes more than images, or there are no images. OSError: ``target`` cannot be written.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(source)
    inputs = [value.name for value in model.graph.input]
    if inputs != ["images"]:
        raise ValueError(
            f"{source} takes {' and '.join(inputs)}, expected images alone; quantize the file of the embedding network"
        )
    metadata = {item.key: item.value for item in model.metadata_props}
    first = next(batches := iter(batches), None)
    if first is None or not len(first):
        raise ValueError("there are no images to calibrate with, expected at least one; give some")
    with _quiet():
        quant_pre_process(source, target, skip_symbolic_shape=True)
        quantize_static(
            target,
            target,
            _Reader(itertools.chain([first], batches)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(target)
        onnx.helper.set_model_props(made, {**metadata, KEY: VALUE})
        onnx.save_model(made, target)


class _Reader:
    """onnxruntime's CalibrationDataReader of batches of images."""

    def __init__(self, batches: Iterable[torch.Tensor]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch as the inputs of the network, None behind the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch.numpy()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice on quantization out of the root logger."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
