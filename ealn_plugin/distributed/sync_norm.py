"""Batch normalization over the rows of all processes, on any device.

torch's SyncBatchNorm runs on CUDA alone, takes no account of rows that only fill a process up, and cannot be told
to leave its running statistics alone as ``untouched_statistics`` does. This one is a few sums and one small exchange
per pass.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from ealn_plugin.distributed.world import World

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_WITH_ACTIVATION = ("BatchNormAct2d",)
"""Names of timm's layers that do the same, and put ``drop`` and ``act`` behind it."""


class SyncNorm(_BatchNorm):
    """A batch normalization layer whose statistics, while training, are those of all processes' rows together.

    It is the layer that it replaces - same parameters, buffers and names in a checkpoint - whenever rows are not
    shared, and in evaluation mode.

    Args:
        layer: BatchNorm1d, 2d or 3d, or timm's with an activation behind it; its tensors are used, not copied.
        sharing: ``RowSharing``.
        synchronised: False: each process uses the statistics of its own rows (and of those that fill it up), unless
            one of them has fewer than two.
    """

    def __init__(self, layer: Any, sharing: Any, synchronised: bool = True) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, affine=False, track_running_stats=False)
        vars(self).update(vars(layer))
        self.sharing, self.synchronised = sharing, synchronised

    def _check_input_dim(self, input: Tensor) -> None:
        """Any input that has channels; what does not fit the layer does not fit its parameters either."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch's layer, with the statistics of the rows of all processes while training."""
        rows, together = self.sharing.rows, self.synchronised or (self.sharing.fewest or 0) < 2
        if rows is None or not self.training or not together:
            return self._activated(super().forward(input))
        output, mean, variance, count = _Normalize.apply(
            input, self.weight, self.bias, self.eps, self.sharing.world, rows
        )
        if self.track_running_stats and self.running_mean is not None:
            self._follow(mean, variance * count / (count - 1).clamp(min=1))
        return self._activated(output)

    def _activated(self, output: Tensor) -> Tensor:
        for part in self.children():  # none in torch's own layers
            output = part(output)
        return output

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += share * (mean - self.running_mean)
        self.running_var += share * (variance - self.running_var)


class _Normalize(Function):
    """Input [n, channels, ...] to (output, mean, variance and number of values of each channel over all processes).

    Only the first ``rows`` of the input are this process's own.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, world: World, rows: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalize with the statistics of the first ``rows`` of every process."""
        own = _precise(input[:rows])
        around = [0, *range(2, input.dim())]
        count = own.new_full((1,), own.numel() // own.shape[1])
        mean = own.sum(around) / count.clamp(min=1)
        squares = (own - _along(mean, own)).square().sum(around)
        # Means and sums of squares of the parts give those of the whole without cancellation (Chan et al., 1979).
        parts = world.gather_rows(torch.cat([count, mean, squares])[None])
        counts, means, squares = parts.split([1, len(mean), len(mean)], dim=1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (squares.sum(0) + (counts * (means - mean).square()).sum(0)) / total
        output = functional.batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(input, weight, mean, torch.rsqrt(variance + eps), total)
        ctx.world, ctx.rows, ctx.around = world, rows, around
        ctx.mark_non_differentiable(mean, variance, total)
        return output, mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Slopes of the input, zero in others' rows, and this process's part of those of weight and bias."""
        input, weight, mean, inverse, total = ctx.saved_tensors
        gradient = _precise(gradient)
        scaled = (_precise(input) - _along(mean, input)) * _along(inverse, input)
        own = torch.stack([gradient[: ctx.rows].sum(ctx.around), (gradient * scaled)[: ctx.rows].sum(ctx.around)])
        slope_bias, slope_weight = own.clone()
        level, tilt = ctx.world.sum(own) / total
        result = (gradient - _along(level, input) - scaled * _along(tilt, input)) * _along(inverse, input)
        if weight is not None:
            result = result * _along(weight.to(result.dtype), input)
        result[ctx.rows :] = 0
        slopes = (None, None) if weight is None else (slope_weight.to(weight.dtype), slope_bias.to(weight.dtype))
        return result.to(input.dtype), *slopes, None, None, None


def _precise(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _along(channels: Tensor, tensor: Tensor) -> Tensor:
    """Values [channels] so that they meet the channels of ``tensor`` [n, channels, ...]."""
    return channels.view(1, -1, *[1] * (tensor.dim() - 2))


def synchronise(model: nn.Module, sharing: Any, synchronised: bool = True) -> list[SyncNorm]:
    """Put a ``SyncNorm`` in the place of every batch normalization layer below ``model``; parameters stay the same.

    Returns:
        list of the new layers.
    """
    made = {}
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) in _PLAIN or type(layer).__name__ in _WITH_ACTIVATION:
                made.setdefault(layer, SyncNorm(layer, sharing, synchronised))
                setattr(parent, name, made[layer])
    return list(made.values())


def running_statistics_of(layers: Iterable[nn.Module]) -> list[Tensor]:
    """The floating-point buffers of normalization layers, for ``World.average``."""
    return [buffer for layer in layers for buffer in layer.buffers() if buffer.is_floating_point()]
