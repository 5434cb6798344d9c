"""Several processes that train one model, started by torchrun: who they are, what they exchange, how they end together.

One process per device. CPU tensors travel over gloo and CUDA tensors over nccl, so that what is decided on the CPU
(labels, requests to stop) never waits for a device. With one process every method here returns at once what it was
given.
"""

import contextlib
import datetime
import hashlib
import logging
import os

import torch
import torch.distributed as dist

log = logging.getLogger(__name__)

# A process that dies is noticed at once by its closed connections; a process that renders a benchmark or ranks a large
# gallery for the others may take hours.
TIMEOUT = datetime.timedelta(days=1)

# Its name since torch 2.13, and the one before.
_ALL_GATHER = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)


class WorkerLostError(RuntimeError):
    """Another process of the run has ended; the message has its last words."""


class World:
    """The processes of a run, this one among them.

    Every method that communicates has to be called by all processes in the same order.

    Args:
        rank: number of this process, from 0; size: number of processes.
        local_rank: number of this process on its machine, which is the number of its device.
        store: torch.distributed's store, for the last words of a process that fails; None with one process.
    """

    def __init__(self, rank=0, size=1, local_rank=0, store=None):
        self.rank, self.size, self.local_rank, self._store = rank, size, local_rank, store

    @property
    def is_main(self):
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def own_part(self, batches):
        """What this process loads of global batches, lists of a length that ``check_batch`` has accepted."""
        each = [len(batch) // self.size for batch in batches]
        return [batch[self.rank * count : (self.rank + 1) * count] for batch, count in zip(batches, each)]

    # ------------------------------------------------------------------------------------------ tensors
    def gather_rows(self, tensor):
        """Rows [n, ...] of every process, n the same on all, in the order of the processes: [size * n, ...]."""
        if self.size == 1:
            return tensor
        gathered = tensor.new_empty(self.size * len(tensor), *tensor.shape[1:])
        self._call(_ALL_GATHER, gathered, tensor.contiguous())
        return gathered

    def gather_columns(self, *columns):
        """``gather_rows`` of several tensors [n] of whole numbers on the CPU, in one go: a list of [size * n]."""
        if self.size == 1:
            return list(columns)
        return list(self.gather_rows(torch.stack(columns, dim=1)).unbind(1))

    def sum(self, tensor):
        """The sum of a tensor over all processes, in its place."""
        if self.size > 1:
            self._call(dist.all_reduce, tensor)
        return tensor

    def average_gradients(self, parameters):
        """Replace every gradient by its mean over all processes; a process that has none counts as zero.

        A parameter without a gradient on any process keeps none, so that optimisers pass it over as they would in one
        process.
        """
        if self.size == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        there = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        self._call(dist.all_reduce, there, dist.ReduceOp.MAX)
        learning = [parameter for parameter, one in zip(parameters, there.tolist()) if one]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.average([parameter.grad for parameter in learning])

    def average(self, tensors):
        """Replace floating-point tensors of any shapes by their means over all processes, in one exchange per type."""
        if self.size == 1:
            return
        for kind in dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors):  # in one order everywhere
            alike = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
            flat = self.sum(torch.cat([tensor.detach().reshape(-1) for tensor in alike])) / self.size
            for tensor, part in zip(alike, flat.split([tensor.numel() for tensor in alike])):
                tensor.detach().copy_(part.view_as(tensor))

    def copy_from_main(self, tensors):
        """Overwrite the tensors by those of the main process, and go on together."""
        if self.size == 1:
            return
        for tensor in tensors:
            dense = tensor.detach().contiguous()  # networks may be in channels_last, which nccl does not take
            self._call(dist.broadcast, dense, 0)
            tensor.detach().copy_(dense)
        self.any(False)

    # ------------------------------------------------------------------------------------------ decisions and turns
    def any(self, flag):
        """Whether ``flag`` is true in any process: the same answer in all of them."""
        if self.size == 1:
            return bool(flag)
        flags = torch.tensor([int(bool(flag))], dtype=torch.int32)
        self._call(dist.all_reduce, flags, dist.ReduceOp.MAX)
        return bool(flags.item())

    def on_main(self, work, *arguments):
        """What ``work(*arguments)`` returns in the main process, which alone calls it while the others wait."""
        if self.size == 1:
            return work(*arguments)
        result = [work(*arguments) if self.is_main else None]
        self._call(dist.broadcast_object_list, result, 0)
        return result[0]

    @contextlib.contextmanager
    def main_first(self):
        """The block runs in the main process, then in the others, which find done what it leaves on the disk."""
        if not self.is_main:
            self.any(False)
        yield
        if self.is_main:
            self.any(False)

    def gather_objects(self, thing):
        """[what each process gave] in the main process, None in the others."""
        if self.size == 1:
            return [thing]
        things = [None] * self.size if self.is_main else None
        self._call(dist.gather_object, thing, things, 0)
        return things

    # ------------------------------------------------------------------------------------------ the end
    def _call(self, collective, *arguments):
        try:
            collective(*arguments)
        except RuntimeError as error:
            log.debug("a collective call failed", exc_info=True)
            raise WorkerLostError(self._last_words()) from error

    def _last_words(self):
        said = None
        with contextlib.suppress(Exception):  # the store may have died as well
            for rank in range(self.size):
                if said is None and self._store.check([f"failed/{rank}"]):
                    said = f"process {rank + 1} of {self.size} failed: {self._store.get(f'failed/{rank}').decode()}"
        return (
            said or f"one of the {self.size} processes ended without a word (killed, or out of memory?)"
        ) + "; what was saved before is usable, go on with model.resume"

    def leave_word(self, error):
        """Keep the message of an error that ends this process, for the others to repeat.

        Returns:
            bool: no other process has left the same message before.
        """
        try:
            if not isinstance(error, WorkerLostError | KeyboardInterrupt):
                self._store.set(f"failed/{self.rank}", str(error).strip() or type(error).__name__)
            digest = hashlib.blake2b(str(error).encode(), digest_size=8).hexdigest()
            return self._store.add(f"said/{digest}", 1) == 1
        except Exception:  # without a store nobody can know: better said twice than not at all
            return True


@contextlib.contextmanager
def joined():
    """The ``World`` that torchrun has started this process in; a world of one process without torchrun.

    An error that leaves the block is kept for the other processes, whose next exchange fails; of several processes
    with the same error only the first keeps it, the others exit with its code and in silence.

    Raises:
        ValueError, RuntimeError: torchrun's environment is incomplete, or the processes cannot reach each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    world = _join(size)
    try:
        yield world
    except (Exception, KeyboardInterrupt) as error:
        if world.leave_word(error):
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from error
    dist.destroy_process_group()


def _join(size):
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        if local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)
    store, rank, size = next(dist.rendezvous("env://", timeout=TIMEOUT))
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return World(rank, size, local_rank, store)


def check_device(world, use_gpu):
    """Refuse more processes than GPUs.

    Raises:
        ValueError: one sentence.
    """
    if use_gpu and world.size > 1 and world.local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"there are more processes than the {torch.cuda.device_count()} GPUs of this machine; lower "
            "torchrun's --nproc_per_node, or set use_gpu False"
        )


def check_batch(world, batch_size, instances):
    """Refuse a global batch that the processes cannot share in whole identities.

    Args:
        batch_size: images of the global batch. instances: images of an identity that stand together in it.
    Raises:
        ValueError: one sentence.
    """
    unit = world.size * instances
    if batch_size % unit:
        identities = f" in whole identities of sampler.num_instances {instances}" if instances > 1 else ""
        raise ValueError(
            f"train.batch_size is {batch_size}, which {world.size} processes cannot share equally{identities}; it is "
            f"the batch of all processes together: use {max(1, batch_size // unit) * unit} or another multiple of "
            f"{unit}, or another number of processes"
        )
