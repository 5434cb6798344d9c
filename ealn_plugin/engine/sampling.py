"""Epochs that can be resumed at any batch, bit for bit, with any number of data workers.

torchreid's samplers and transforms draw from the global random states, so what an epoch contains depends on
everything drawn before. Here the order of an epoch depends on (seed, epoch) alone and the augmentation of a sample on
(seed, epoch, position), so an epoch can be entered anywhere and in any process.
"""
import contextlib
import hashlib
import random
import signal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ealn_plugin.engine import checkpoint


def derived_seed(*parts):
    """A 63-bit seed for each sequence of integers or words, independent between different sequences."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_everything(seed):
    """Seed Python's, numpy's and torch's global random states."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextlib.contextmanager
def own_randomness(seed=None):
    """Within it the global random states (of the CPU) start from ``seed``, or go on; afterwards they are as before."""
    before = checkpoint.random_states(torch.device("cpu"))
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.random.default_generator.manual_seed(seed)
        yield
    finally:
        checkpoint.restore_random_states(before, torch.device("cpu"))


class SeededSamples(Dataset):
    """A torchreid dataset whose sample at (position, index) is augmented from (seed, epoch, position).

    In a worker process the global random states belong to the worker and are simply seeded; in the main process they
    are put back.
    """

    def __init__(self, dataset, seed, epoch):
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, key):
        position, index = key
        seed = derived_seed(self.seed, "sample", self.epoch, position)
        if torch.utils.data.get_worker_info() is not None:
            seed_everything(seed)
            return self.dataset[index]
        with own_randomness(seed):
            return self.dataset[index]


def epoch_order(sampler, batch_size, seed, epoch):
    """The batches of an epoch: a list of lists of (position, dataset index), incomplete batches dropped.

    Args:
        sampler: any iterable of dataset indices, torchreid's samplers above all.
    """
    with own_randomness(derived_seed(seed, "order", epoch)):
        indices = [int(index) for index in sampler]
    full = len(indices) // batch_size * batch_size
    keys = list(enumerate(indices[:full]))
    return [keys[start:start + batch_size] for start in range(0, full, batch_size)]


def epoch_loader(loader, seed, epoch, start=0, world=None):
    """A loader for the batches of one epoch from batch ``start`` on, with the settings of torchreid's train loader.

    Args:
        world: ``World`` of several processes, of which this one loads its part of every batch; None: one process.
    Returns:
        (DataLoader, int): the loader and the number of batches of the whole epoch.
    Raises:
        ValueError: the epoch has no complete batch.
    """
    batches = epoch_order(loader.sampler, loader.batch_size, seed, epoch)
    if not batches:
        raise ValueError(f"an epoch of {len(loader.dataset)} training images has no complete batch of "
                         f"{loader.batch_size}; lower train.batch_size")
    if world is not None:
        batches = world.own_part(batches)
    workers = min(loader.num_workers, len(batches) - start)
    return DataLoader(
        SeededSamples(loader.dataset, seed, epoch), batch_sampler=batches[start:], num_workers=max(workers, 0),
        pin_memory=loader.pin_memory, collate_fn=loader.collate_fn, worker_init_fn=ignore_interrupts,
        generator=torch.Generator().manual_seed(derived_seed(seed, "workers", epoch))), len(batches)


def ignore_interrupts(worker_id):
    """Leave requests to stop to the main process, even if they reach the whole process group: it finishes its step
    and saves. Workers end with it, since they watch their parent.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
