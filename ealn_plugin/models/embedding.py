"""The embedding network D_emb: an L2-normalized feature over any single-branch torchreid backbone.

Also the two context managers with which an engine runs D_emb without changing it.
"""

import torch
from torch import nn

from ealn_plugin.models.modes import untouched_statistics

# Shorter features than this are taken for zero vectors. Far below any real feature's length and, as a float32
# square, still representable.
_SHORTEST = 1e-6


def l2_normalize(features):
    """features [n, dim] scaled to length 1, row by row, in float32 at least.

    Rows shorter than 1e-6, zero vectors above all, are returned as they are with slope 1. F.normalize gives
    the same value for a zero vector but multiplies its gradient by 1 / eps, which one optimiser step does not
    survive.
    """
    features = _full_precision(features)
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / torch.where(length < _SHORTEST, torch.ones_like(length), length)


def _full_precision(values):
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class EmbeddingNetwork(nn.Module):
    """D_emb: f(x) of Eq. 2, the L2-normalized output of a backbone.

    Args:
        backbone (nn.Module): in train mode returns (logits [batch, classes], features [batch, dim]), in eval
            mode features [batch, dim]; torchreid's models built with loss='triplet' do. `check_backbone`
            verifies it.

    forward: images [batch, 3, height, width] -> train mode: (logits, embeddings); eval mode: embeddings
    alone. Embeddings are [batch, dim] of length 1. Both are float32 in mixed precision too.
    """

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        if not self.training:
            return l2_normalize(self.backbone(images))
        logits, features = self.backbone(images)
        return _full_precision(logits), l2_normalize(features)


def check_backbone(backbone, height, width):
    """Try whether EmbeddingNetwork can wrap a backbone, and return the length of its features.

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


def _kept_random_state(backbone):
    devices = {parameter.device.index for parameter in backbone.parameters() if parameter.is_cuda}
    devices.update(getattr(backbone, "device_ids", None) or ())
    return torch.random.fork_rng(devices=sorted(devices))


def _probe(backbone, images, what):
    try:
        return backbone(images)
    except Exception as error:  # whatever a user's model raises
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise ValueError(
            f"{what} cannot process two images of {images.shape[2]}x{images.shape[3]} pixels "
            f"({type(error).__name__}: {reason}); set an image size that this model takes or another "
            f"model.name"
        ) from error


def _check_outputs(name, outputs, features):
    single = "EALN needs a single-branch model built with loss='triplet', such as osnet_x1_0 or resnet50"
    if torch.is_tensor(outputs):
        raise ValueError(
            f"{name} returns only logits in train mode; build it with loss='triplet', so that it returns "
            f"logits and features"
        )
    pair = isinstance(outputs, (tuple, list)) and len(outputs) == 2
    if not pair or not all(torch.is_tensor(output) for output in (*outputs, features)):
        raise ValueError(
            f"{name} has several branches: it returns nested outputs where one tensor of logits and one of "
            f"features are expected; {single}"
        )
    shapes = [tuple(output.shape) for output in (*outputs, features)]
    if any(len(shape) != 2 or shape[0] != 2 for shape in shapes) or shapes[1] != shapes[2]:
        raise ValueError(
            f"{name} returns logits {shapes[0]} and features {shapes[1]} in train mode and features "
            f"{shapes[2]} in eval mode for two images; expected [2, classes], [2, dim] and "
            f"[2, dim]; {single}"
        )
    return shapes[2][1]
