"""What an extractor computes features with: the networks of a run in PyTorch, or a file of ``ealn export``."""

import contextlib
import functools
import json
from collections.abc import Callable
from os import PathLike, fspath
from typing import Any, Protocol

import torch
from torch import Tensor

from ealn_plugin import toolkit
from ealn_plugin.evaluation.feature_store import fingerprint_of_networks
from ealn_plugin.runs.loading import LoadedRun
from ealn_plugin.system.entrances import command
from ealn_plugin.system.extras import check_extra

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_NEEDED = ("image_height", "image_width", "mean", "std", "feature_dim", "network", "weights_sha256")


class FeatureNetwork(Protocol):
    """Images to features.

    Attributes:
        size: (height, width) of the images in pixels. normalization: (mean, std) for pixels in [0, 1].
        transform: RGB ``PIL.Image`` to a normalized tensor [3, height, width]. dim: length of a feature.
        identity: all that the features depend on but the images and the precision, as JSON values.
    """

    size: tuple[int, int]
    normalization: tuple[list[float], list[float]]
    dim: int

    @property
    def transform(self) -> Any: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    def features(self, images: Tensor, views: Tensor) -> Tensor:
        """float32 [n, dim] on the CPU of normalized images [n, 3, height, width] and their views, int64 [n]."""
        ...


class TorchNetwork:
    """The networks of a run in PyTorch; see ``FeatureNetwork``.

    Args:
        run: ``LoadedRun``. fusion: give the fused feature where the run has a generator of other views.
        precision: a name of ``PRECISIONS``.
    """

    def __init__(self, run: LoadedRun, fusion: bool = True, precision: str = "fp32") -> None:
        self.run, self.precision = run, precision
        self.fusing = run.fusing if fusion else None
        self.size, self.normalization, self.transform = run.size, run.normalization, run.transform
        self.dim = run.dim if self.fusing is None else 2 * run.dim
        self._extraction = run.extraction()

    @property
    def identity(self) -> dict[str, Any]:
        """See ``FeatureNetwork``."""
        networks = [self.run.embedding.backbone] + ([] if self.fusing is None else [self.fusing.generators])
        return _identity(
            fingerprint_of_networks(*networks),
            self.run.config.model.name,
            self,
            "" if self.fusing is None else self.run.fusion,
        )

    def features(self, images: Tensor, views: Tensor) -> Tensor:
        """See ``FeatureNetwork``."""
        device, kind = self.run.device, PRECISIONS[self.precision]
        autocast = torch.autocast(device.type, dtype=kind) if kind else contextlib.nullcontext()
        images = images.to(device)
        with torch.inference_mode(), autocast:
            if self.fusing is None:
                found = self.run.embedding(images)
            else:
                _, found = self._extraction.batch(images, views)
        return found.float().cpu().clone()


class OnnxNetwork:
    """An ONNX file of ``ealn export``, run by onnxruntime on all threads that PyTorch may use; see ``FeatureNetwork``.

    A fused file takes the views as well. The identity is that of the run that was exported, so that features of both
    may be compared; a file of 8-bit integers has one of its own.

    Args:
        path: the file. device: None: a GPU where onnxruntime has one, else 'cpu' or 'cuda'.

    Attributes:
        description: {key: text} that the file says of itself.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: no such file, onnxruntime is missing, the file is broken or not one
            of ours, or onnxruntime has no GPU; one sentence.
    """

    def __init__(self, path: str | PathLike[str], device: Any = None) -> None:
        check_extra("export", ("onnxruntime",), "features from an ONNX file")
        self.path = fspath(path)
        self._session = open_session(self.path, device, f"export it again with {command('export')}")
        self.description = dict(self._session.get_modelmeta().custom_metadata_map)
        missing = [key for key in _NEEDED if key not in self.description]
        if missing:
            raise ValueError(
                f"{self.path!r} does not say its {missing[0]}, expected an ONNX file of {command('export')}; export "
                "the network with it"
            )
        self.size = int(self.description["image_height"]), int(self.description["image_width"])
        self.normalization = json.loads(self.description["mean"]), json.loads(self.description["std"])
        self.dim = int(self.description["feature_dim"])
        self._inputs = [value.name for value in self._session.get_inputs()]

    @functools.cached_property
    def transform(self) -> Callable[[Any], Tensor]:
        """See ``FeatureNetwork``."""
        return toolkit.test_transform(*self.size, *self.normalization)

    @property
    def identity(self) -> dict[str, Any]:
        """See ``FeatureNetwork``."""
        said = self.description
        found = _identity(said["weights_sha256"], said["network"], self, said.get("fusion", ""))
        return {**found, "quantization": said["quantization"]} if "quantization" in said else found

    def features(self, images: Tensor, views: Tensor) -> Tensor:
        """See ``FeatureNetwork``."""
        given = {"images": images.numpy(), "views": views.numpy()}
        return torch.from_numpy(self._session.run(None, {name: given[name] for name in self._inputs})[0])


def _identity(weights: str, model: str, network: FeatureNetwork, fusion: str) -> dict[str, Any]:
    mean, std = network.normalization
    return {
        "weights": weights,
        "model": model,
        "image size": list(network.size),
        "normalization": [mean, std],
        "dim": network.dim,
        "fusion": fusion,
    }


def open_session(path: str, device: Any, otherwise: str) -> Any:
    """onnxruntime's session of an ONNX file, on all threads that PyTorch may use.

    Args:
        path: the file. device: None: a GPU where onnxruntime has one, else 'cpu' or 'cuda'.
        otherwise: what to do about a file that it cannot run, for the message.
    Raises:
        FileNotFoundError, ValueError: no such file, a broken one, or no GPU; one sentence.
    """
    import onnxruntime

    with open(path, "rb"):
        pass  # a FileNotFoundError rather than onnxruntime's own
    kind = "" if device is None else torch.device(device).type
    has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" and not has_gpu:
        raise ValueError(
            f"device is {str(device)!r}, but this onnxruntime has no GPU; use 'cpu', or install onnxruntime-gpu"
        )
    gpu = ["CUDAExecutionProvider"] if has_gpu and kind != "cpu" else []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=[*gpu, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no class of their own
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise ValueError(f"{path!r} is no ONNX file that onnxruntime can run ({reason}); {otherwise}") from error
