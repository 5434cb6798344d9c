"""What networks of FastReID and TransReID do otherwise than those of torchreid and timm that have the same weights.

FastReID: He et al., FastReID: A Pytorch Toolbox for General Instance Re-identification, 2020. TransReID: He et al.,
TransReID: Transformer-based Object Re-Identification, ICCV 2021. Written from the papers and from what the published
code computes; nothing of it is copied.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST = 1e-6


class GeneralizedMean(nn.Module):
    """Pooling [n, c, h, w] -> [n, c, 1, 1]: the mean of powers p, and its root (Radenovic et al., TPAMI 2019).

    Args:
        p: 1 is the average of what is positive, infinity the maximum.
    """

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.register_buffer("p", torch.tensor(float(p)))

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        powers = maps.clamp(min=_SMALLEST).pow(self.p)  # type: ignore[arg-type]
        return F.adaptive_avg_pool2d(powers, 1).pow(1 / self.p)  # type: ignore[operator]


class NonLocal(nn.Module):
    """x + W(mean over all places j of <theta(x_i), phi(x_j)> g(x_j)): the dot product of Wang et al., CVPR 2018.

    Args:
        channels: of x. inner: channels of theta, phi and g; FastReID has 1.
    """

    def __init__(self, channels: int, inner: int = 1) -> None:
        super().__init__()
        self.g, self.theta, self.phi = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [n, channels, h, w] -> the same shape."""
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        likeness = theta.transpose(1, 2) @ phi / phi.shape[2]
        seen = (likeness @ g.transpose(1, 2)).transpose(1, 2)
        return x + self.W(seen.unflatten(2, x.shape[2:]))


def is_torchreid_resnet(model: nn.Module) -> bool:
    """Whether a backbone has the parts that torchreid's ResNets have, with or without IBN."""
    return all(hasattr(model, part) for part in ("conv1", "bn1", "relu", "maxpool", "layer4", "fc")) and (
        pooling_of(model) != ""
    )


def pooling_of(model: nn.Module) -> str:
    """What torchreid calls a ResNet's last pooling, '' where there is none."""
    return next((name for name in ("global_avgpool", "avgpool") if hasattr(model, name)), "")


def as_in_fastreid(model: Any, ceiled: bool, power: float | None, non_local: Mapping[str, Tensor]) -> None:
    """Have torchreid's ResNet compute in place what FastReID's does, its last stride apart.

    Args:
        ceiled: the first pooling has no padding and takes cut windows at the far sides, as since the end of 2020.
        power: p of ``GeneralizedMean``; None: the average.
        non_local: {NL_<stage>.<number>.<layer>: tensor}, that of their first 1 x 1 convolution gives their sizes. The
            blocks of a stage stand behind its last residual blocks, one behind each.
    """
    if ceiled:
        model.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    if power is not None:
        setattr(model, pooling_of(model), GeneralizedMean(power))
    blocks = {tuple(name.split(".")[:2]) for name in non_local}
    for stage, number in sorted(blocks):
        layer = getattr(model, f"layer{stage.removeprefix('NL_')}")
        count = sum(other == stage for other, _ in blocks)
        weight = non_local[f"{stage}.{number}.g.weight"]
        block = NonLocal(weight.shape[1], weight.shape[0])
        own = f"{stage}.{number}."
        block.load_state_dict(
            {name.removeprefix(own): value for name, value in non_local.items() if name.startswith(own)}
        )
        place = len(layer) - count + int(number)
        layer[place] = nn.Sequential(layer[place], block)


def overlap_patches(model: Any, stride: int, size: tuple[int, int]) -> None:
    """Have timm's vision transformer cut patches that overlap, in place; its positions become as many, at zero.

    Args:
        model: TimmBackbone of a vision transformer. stride: from patch to patch in pixels.
        size: (height, width) of the images.
    """
    body = model.body
    embed = body.patch_embed
    grid = patch_grid(size, embed.patch_size, stride)
    embed.proj.stride = (stride, stride)
    embed.grid_size, embed.num_patches = grid, grid[0] * grid[1]
    places = body.num_prefix_tokens + embed.num_patches
    body.pos_embed = nn.Parameter(torch.zeros(1, places, body.pos_embed.shape[2]))


def patch_grid(size: tuple[int, int], patch: tuple[int, int], stride: int) -> tuple[int, int]:
    """(rows, columns) of the patches of an image of ``size`` pixels, ``stride`` pixels apart."""
    return (size[0] - patch[0]) // stride + 1, (size[1] - patch[1]) // stride + 1
