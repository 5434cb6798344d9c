"""The embedding network D_emb: an L2-normalized feature over any single-branch torchreid backbone.

Also the two context managers with which an engine runs D_emb without changing it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ealn_plugin.models.modes import untouched_statistics

# Shorter features than this are taken for zero vectors. Far below any real feature's length and, as a float32
# square, still representable.
_SHORTEST = 1e-6


def l2_normalize(features: Tensor) -> Tensor:
    """features [n, dim] scaled to length 1, row by row, in float32 at least.

    Rows shorter than 1e-6, zero vectors above all, are returned as they are with slope 1. F.normalize gives
    the same value for a zero vector but multiplies its gradient by 1 / eps, which one optimiser step does not
    survive.
    """
    features = _full_precision(features)
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / torch.where(length < _SHORTEST, torch.ones_like(length), length)


def _full_precision(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class EmbeddingNetwork(nn.Module):
    """D_emb: f(x) of Eq. 2, the L2-normalized output of a backbone.

    Args:
        backbone (nn.Module): in train mode returns (logits [batch, classes], features [batch, dim]), in eval
            mode features [batch, dim]; torchreid's models built with loss='triplet' do. In train mode a third
            part may follow, {name: tensor [batch, ...]}, what its own loss looks at. `check_backbone` verifies it.

    forward: images [batch, 3, height, width] -> train mode: (logits, embeddings), and the third part where there is
    one, as the backbone gives it; eval mode: embeddings alone, within ``named_when_frozen`` (embeddings, that part).
    Embeddings are [batch, dim] of length 1. All of them are float32 in mixed precision too.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Any:
        found = self.backbone(images)
        if not self.training:
            return l2_normalize(found) if torch.is_tensor(found) else (l2_normalize(found[0]), *_named(found[1:]))
        logits, features, *more = found
        return _full_precision(logits), l2_normalize(features), *_named(more)


def _named(outputs: Any) -> list[dict[str, Tensor]]:
    return [{name: _full_precision(value) for name, value in named.items()} for named in outputs]


@contextlib.contextmanager
def named_when_frozen(*modules: nn.Module) -> Iterator[None]:
    """Within it, evaluation mode gives the named outputs too, of backbones that have ``names_outputs`` to say so."""
    networks: list[Any] = [part for module in modules for part in module.modules() if hasattr(part, "names_outputs")]
    for network in networks:
        network.names_outputs = True
    try:
        yield
    finally:
        for network in networks:
            network.names_outputs = False


def named_outputs(outputs: Any) -> dict[str, Tensor]:
    """What a backbone, or an EmbeddingNetwork, has returned in train mode beside its features, by name.

    Returns:
        {"logits": [batch, classes]} and the further tensors of a backbone that has some.
    """
    logits, _, *more = outputs
    return {"logits": logits, **(more[0] if more else {})}


class Probed(NamedTuple):
    """What ``probe_backbone`` has seen: classes of the logits, length of the features, names of further outputs."""

    classes: int
    dim: int
    outputs: tuple[str, ...]


def check_backbone(backbone: nn.Module, height: int, width: int) -> int:
    """The length of a backbone's features, after trying whether EmbeddingNetwork can wrap it: ``probe_backbone``."""
    return probe_backbone(backbone, height, width).dim


def probe_backbone(backbone: nn.Module, height: int, width: int) -> Probed:
    """Try whether EmbeddingNetwork can wrap a backbone, and see what it returns.

    Runs two black images of height x width pixels through it in train and in eval mode, where it is.
    Parameters, running statistics, training flags and random states are afterwards what they were.

    Raises ValueError with one sentence for models with several branches, models built for softmax alone,
    outputs of other shapes, and models that cannot process such images.
    """
    name = type(backbone).__name__
    parameter = next(backbone.parameters(), torch.zeros(()))
    images = torch.zeros(2, 3, height, width, device=parameter.device, dtype=parameter.dtype)
    training = [(layer, layer.training) for layer in backbone.modules()]
    try:
        with torch.no_grad(), _kept_random_state(backbone), untouched_statistics(backbone):
            outputs = _probe(backbone.train(), images, f"{name} in train mode")
            features = _probe(backbone.eval(), images, f"{name} in eval mode")
    finally:
        for layer, flag in training:
            layer.training = flag
    return _check_outputs(name, outputs, features)


def _kept_random_state(backbone: nn.Module) -> AbstractContextManager[None]:
    devices = {parameter.device.index for parameter in backbone.parameters() if parameter.is_cuda}
    devices.update(getattr(backbone, "device_ids", None) or ())
    return torch.random.fork_rng(devices=sorted(devices))


def _probe(backbone: nn.Module, images: Tensor, what: str) -> Any:
    try:
        return backbone(images)
    except Exception as error:  # whatever a user's model raises
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise ValueError(
            f"{what} cannot process two images of {images.shape[2]}x{images.shape[3]} pixels "
            f"({type(error).__name__}: {reason}); set an image size that this model takes or another "
            f"model.name"
        ) from error


def _check_outputs(name: str, outputs: Any, features: Any) -> Probed:
    single = "EALN needs a single-branch model built with loss='triplet', such as osnet_x1_0 or resnet50"
    if torch.is_tensor(outputs):
        raise ValueError(
            f"{name} returns only logits in train mode; build it with loss='triplet', so that it returns "
            f"logits and features"
        )
    parts = list(outputs) if isinstance(outputs, (tuple, list)) else []
    named = parts.pop() if len(parts) == 3 and isinstance(parts[-1], Mapping) else {}
    if len(parts) != 2 or not all(torch.is_tensor(output) for output in (*parts, features)):
        raise ValueError(
            f"{name} has several branches: it returns nested outputs where one tensor of logits and one of "
            f"features are expected; {single}"
        )
    shapes = [tuple(output.shape) for output in (*parts, features)]
    if any(len(shape) != 2 or shape[0] != 2 for shape in shapes) or shapes[1] != shapes[2]:
        raise ValueError(
            f"{name} returns logits {shapes[0]} and features {shapes[1]} in train mode and features "
            f"{shapes[2]} in eval mode for two images; expected [2, classes], [2, dim] and "
            f"[2, dim]; {single}"
        )
    for key, value in named.items():
        if key == "logits" or not torch.is_tensor(value) or not value.shape or len(value) != 2:
            shape = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
            raise ValueError(
                f"{name} returns {key!r}, {shape}, in train mode beside logits and features of two images; expected "
                "tensors [2, ...] under names other than 'logits'"
            )
    return Probed(shapes[0][1], shapes[2][1], tuple(named))
