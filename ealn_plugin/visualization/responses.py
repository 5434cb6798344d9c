"""Response maps: where in an image the last convolution of a backbone answers."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ealn_plugin.models.neck import NeckedBackbone
from ealn_plugin.visualization.sheets import to_picture


def last_response(backbone: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The backbone's last feature map before it is pooled to a vector.

    A backbone that tells its maps itself (``feature_maps``, as those of timm do) is asked. In any other one a forward
    hook on every module keeps the last output that still has a height or width above 1.

    Args:
        backbone: network in evaluation mode. images: tensor [n, 3, h, w] as it takes them.
    Returns:
        tensor [n, rows, columns], the root of the sum of squares over channels.
    Raises:
        ValueError: no layer of it makes feature maps.
    """
    if isinstance(backbone, NeckedBackbone):
        backbone = backbone.backbone
    if hasattr(backbone, "feature_maps"):
        with torch.no_grad():
            return _strength(backbone.feature_maps(images))
    kept = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if torch.is_tensor(output) and output.dim() == 4 and output.shape[-2] * output.shape[-1] > 1:
            kept[:] = [output]

    hooks = [module.register_forward_hook(keep) for module in backbone.modules()]
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not kept:
        raise ValueError(
            f"{type(backbone).__name__} has no layer that makes feature maps, expected a convolutional "
            "backbone; response maps cannot be drawn for it"
        )
    return _strength(kept[0])


def _strength(maps: torch.Tensor) -> torch.Tensor:
    return maps.float().pow(2).sum(dim=1).sqrt()


def overlay(image: torch.Tensor, response: torch.Tensor, strongest: Any) -> np.ndarray:
    """A response map as colours over its image.

    Args:
        image: tensor [3, h, w] in [-1, 1]. response: tensor [rows, columns]. strongest: the response drawn in the
            strongest colour.
    Returns:
        float array [h, w, 3] in [0, 1]
    """
    from matplotlib import colormaps

    enlarged = F.interpolate(response[None, None], size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    share = (enlarged / max(float(strongest), 1e-12)).clamp(0, 1).cpu().numpy()
    grey = to_picture(image).mean(axis=2, keepdims=True)
    return np.clip(0.45 * grey + 0.55 * colormaps["inferno"](share)[..., :3], 0, 1)
