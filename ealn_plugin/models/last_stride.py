"""The last reduction of a backbone's maps taken out: four times as many places for the last layers to answer in.

Sun et al., Beyond Part Models, ECCV 2018, and Luo et al., CVPRW 2019, section 3.4: stride 1 instead of 2 in the last
stage of a ResNet costs little and keeps every weight.
"""

from typing import Any

import torch
from torch import nn

from ealn_plugin.models.modes import evaluating

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def remove_last_stride(model: nn.Module, height: int, width: int, name: str = "") -> None:
    """Set the stride of the last convolutions that reduce a backbone's maps to 1, in place.

    Those are the last one that reduces and the shortcuts beside it, which read maps of the same size.

    Args:
        model: backbone. height, width: of the images in pixels, to see which convolutions those are.
        name: what messages call the model.
    Raises:
        ValueError: something else than convolutions of odd size reduces the last maps, or nothing does.
    """
    name = name or type(model).__name__
    reducing = _reducing_layers(model, height, width)
    if not reducing:
        raise ValueError(f"ealn.last_stride is 1, but no layer of {name} halves its maps; set ealn.last_stride 2")
    last = [layer for layer, size in reducing if size == reducing[-1][1]]
    for layer in last:
        odd = isinstance(layer, nn.Conv2d) and all(side % 2 for side in layer.kernel_size)
        if not odd or _pair(layer.stride) != (2, 2):
            kind = f"{type(layer).__name__} of kernel {layer.kernel_size} and stride {layer.stride}"
            raise ValueError(
                f"ealn.last_stride is 1, but a {kind} reduces the last maps of {name}, where a convolution of odd size "
                "and stride 2 is expected; set ealn.last_stride 2"
            )
    for layer in last:
        layer.stride = (1, 1)
    with evaluating(model):
        model(torch.zeros(2, 3, height, width))


def _reducing_layers(model: nn.Module, height: int, width: int) -> list[tuple[Any, tuple[int, int]]]:
    """Layers that reduce their maps, in the order in which they work, with the (height, width) of what they read."""
    found: list[tuple[Any, tuple[int, int]]] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        if inputs and inputs[0].dim() == 4 and output.dim() == 4 and output.shape[-1] < inputs[0].shape[-1]:
            found.append((layer, tuple(inputs[0].shape[-2:])))

    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, *_POOLS))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with evaluating(model):
            model(torch.zeros(2, 3, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return [(layer, size) for layer, size in found if max(_pair(layer.stride)) > 1]


def _pair(stride: Any) -> tuple[int, int]:
    return (stride, stride) if isinstance(stride, int) else tuple(stride)
