"""The work of a step shared between processes: every network runs a part of the rows, everything else runs everywhere.

All processes hold the whole batch. Where a network is called with [n, ...] rows, each process passes its own n / size
of them through it and the outputs of all are put together again, so that each process goes on with the whole output.
What happens between the networks - choosing negatives, distances, losses - is cheap, and every process does all of it
with the same numbers. A scheme therefore is the same code for one process and for many, and whatever it averages over,
it averages over the whole batch, however unevenly the views are spread.

Gradients. Outside the networks tensors are the same in all processes, and so are their gradients. With the two
functions here
    split: forward, the own rows;   backward, the gradients of all rows put together, divided by the size
    join:  forward, all rows;       backward, the gradient of the own rows, times the size
the mean of the parameters' gradients over the processes is the gradient of the whole batch: for networks, of which
each process has seen a part, and for anything that a scheme computes outside of them. Both can be differentiated
twice, which a gradient penalty needs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from ealn_plugin.distributed.sync_norm import running_statistics_of, synchronise
from ealn_plugin.distributed.world import World


class RowSharing:
    """Shares the rows that networks are called with; only within ``with``, and only between several processes.

    Args:
        world: ``World``.
    Attributes:
        rows: how many of the rows in the running network are this process's own (the rest repeats the last one, so
            that all processes have equally many); None outside.
        fewest: the same for the process that has the fewest.
    """

    def __init__(self, world: World) -> None:
        self.world, self.active = world, False
        self._outside()

    def _outside(self) -> None:
        self.rows: int | None = None
        self.fewest: int | None = None
        self._depth = self._count = 0

    def __enter__(self) -> None:
        self.active = self.world.size > 1

    def __exit__(self, *error: object) -> None:
        self.active = False
        self._outside()

    def share(self, network: nn.Module) -> None:
        """Have the rows of every call of ``network`` shared.

        The rows are those of its positional tensors; its output is a tensor with as many, or a tuple of such tensors
        and of {name: such a tensor}. The network has to be called as a module, ``network(images)``.
        """
        if self.world.size > 1:
            network.register_forward_pre_hook(self._before)
            network.register_forward_hook(self._after)

    @torch.compiler.disable
    def _before(self, network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self.active:
            return None
        self._depth += 1
        if self._depth > 1 or not len(inputs[0]):
            return None
        self._count, size = len(inputs[0]), self.world.size
        each = rows_each(self._count, size)
        self.rows, self.fewest = (min(each, max(0, self._count - rank * each)) for rank in (self.world.rank, size - 1))
        return tuple(_Split.apply(value, self.world, True) if torch.is_tensor(value) else value for value in inputs)

    @torch.compiler.disable
    def _after(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if not self.active:
            return None
        self._depth -= 1
        if self._depth or not self._count:
            return None
        count = self._count
        self._outside()
        return self._joined(output, count)

    def _joined(self, output: Any, count: int) -> Any:
        """Every tensor of an output put together again, in order."""
        if torch.is_tensor(output):
            return _Join.apply(output, self.world, count)
        if isinstance(output, dict):
            return {name: self._joined(part, count) for name, part in output.items()}
        return tuple(self._joined(part, count) for part in output)


def rows_each(count: int, size: int) -> int:
    """How many of ``count`` rows each of ``size`` processes passes through a network; the last ones may repeat rows."""
    return -(-count // size)


def own_rows(whole: Tensor, world: World, repeat: bool) -> Tensor:
    """The rows of this process out of [n, ...], filled up to ``rows_each`` by its last row, or else by zeros."""
    each = rows_each(len(whole), world.size)
    own = whole[world.rank * each : (world.rank + 1) * each]
    missing = each - len(own)
    if not missing:
        return own.clone()
    last = whole[-1:] if repeat else torch.zeros_like(whole[-1:])
    return torch.cat([own, last.expand(missing, *whole.shape[1:])])


class _Split(Function):
    """[n, ...] to this process's rows."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, world: World, repeat: bool) -> Tensor:
        ctx.world, ctx.count = world, len(whole)
        return own_rows(whole, world, repeat)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Join.apply(gradient, ctx.world, ctx.count) / ctx.world.size, None, None


class _Join(Function):
    """Every process's rows to [n, ...]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: World, count: int) -> Tensor:
        ctx.world = world
        whole = world.gather_rows(rows)
        return whole if len(whole) == count else whole[:count].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Split.apply(gradient, ctx.world, False) * ctx.world.size, None, None


def share_work(
    world: World,
    embedding: nn.Module,
    schemes: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    sync_norm: bool,
) -> RowSharing:
    """Have the processes share the rows of every network, and average gradients before each update.

    Args:
        world: ``World``. embedding: ``EmbeddingNetwork``. schemes: list of ``Scheme``.
        optimizers: all that the step uses, the embedding network's first.
        sync_norm: see ``SyncNorm``; without it the running statistics are averaged in each step.
    Returns:
        ``RowSharing``, within which a step has to run.
    """
    sharing = RowSharing(world)
    if world.size == 1:
        return sharing
    sharing.share(embedding)
    for scheme in schemes:
        for network in (*scheme.generators.values(), *scheme.discriminators.values()):
            sharing.share(network)
    layers = [layer for module in (embedding, *schemes) for layer in synchronise(module, sharing, sync_norm)]
    statistics = running_statistics_of(layers)

    def average(optimizer: torch.optim.Optimizer, *_: object) -> None:
        world.average_gradients([parameter for group in optimizer.param_groups for parameter in group["params"]])
        if optimizer is optimizers[0] and not sync_norm:
            world.average(statistics)

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(average)
    return sharing
