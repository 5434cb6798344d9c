"""Epochs that can be resumed at any batch, bit for bit, with any number of data workers.

torchreid's samplers and transforms draw from the global random states, so what an epoch contains depends on
everything drawn before. Here the order of an epoch depends on (seed, epoch) alone and the augmentation of a sample on
(seed, epoch, position), so an epoch can be entered anywhere and in any process.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ealn_plugin import toolkit
from ealn_plugin.distributed.world import World
from ealn_plugin.system.randomness import derived_seed, own_randomness, seed_transforms
from ealn_plugin.system.workers import data_worker_start, end_workers


class SeededSamples(Dataset):
    """A torchreid dataset whose sample at (epoch, position, index) is augmented from (seed, epoch, position).

    The epoch is part of the key, not of the dataset, so that the same worker processes serve epoch after epoch.

    Args:
        dataset: of torchreid. seed: of all samples.
        companions: {kind: {image path: paths of other images}}; each sample then brings one of each kind, drawn from
            (seed, epoch, position) as well, under the kind's name, augmented exactly as the image is. {}: samples are
            torchreid's.
    """

    def __init__(self, dataset: Any, seed: int, companions: Mapping[str, Any] | None = None) -> None:
        self.dataset, self.seed, self.companions = dataset, seed, companions or {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int, int]]) -> list[Any]:
        """The samples of a whole batch, which is how torch's loaders ask for them.

        In a worker process the global random states belong to the worker and are simply seeded; in the main process
        they are put back.
        """
        if torch.utils.data.get_worker_info() is not None:
            return [self._sample(*key) for key in keys]
        with own_randomness():
            return [self._sample(*key) for key in keys]

    def _sample(self, epoch: int, position: int, index: int) -> Any:
        seed = derived_seed(self.seed, "sample", epoch, position)
        seed_transforms(seed)
        sample = self.dataset[index]
        for kind, lists in self.companions.items():
            choices = lists[sample["impath"]]
            chosen = choices[derived_seed(self.seed, kind, epoch, position) % len(choices)]
            seed_transforms(seed)
            sample[kind] = toolkit.image_of(self.dataset, chosen)
        return sample


def epoch_order(sampler: Iterable[int], batch_size: int, seed: int, epoch: int) -> list[list[tuple[int, int]]]:
    """The batches of an epoch: a list of lists of (position, dataset index), incomplete batches dropped.

    Args:
        sampler: any iterable of dataset indices, torchreid's samplers above all.
    """
    with own_randomness(derived_seed(seed, "order", epoch)):
        indices = [int(index) for index in sampler]
    full = len(indices) // batch_size * batch_size
    keys = list(enumerate(indices[:full]))
    return [keys[start : start + batch_size] for start in range(0, full, batch_size)]


class EpochLoader:
    """Batches of torchreid's train loader, epoch by epoch, with its settings, from worker processes that stay.

    Starting workers anew for every epoch would cost about as much as loading some hundred images, and more the more
    memory the main process holds.

    Args:
        loader: torchreid's train loader.
        seed: of the epochs' orders and of the samples' augmentation.
        world: ``World`` of several processes, of which this one loads its part of every batch; None: one process.
        sampler: iterable of dataset indices, the order of an epoch; None: the loader's.

    Attributes:
        companions: see ``SeededSamples``; to be set before the first epoch.
    """

    def __init__(self, loader: Any, seed: int, world: World | None = None, sampler: Any = None) -> None:
        self.loader, self.seed, self.world = loader, seed, world
        self.companions: Mapping[str, Any] = {}
        self.sampler = sampler
        self._made: Any = None
        self._keys: list[Any] = []  # of the epoch that is running; the loader below holds this very list

    def epoch(self, epoch: int, start: int = 0) -> tuple[Iterable[Any], int]:
        """The batches of an epoch from batch ``start`` on.

        Returns:
            (iterable of batches, int): they and the number of batches of the whole epoch.
        Raises:
            ValueError: the epoch has no complete batch.
        """
        loader = self.loader
        batches = epoch_order(self.sampler or loader.sampler, loader.batch_size, self.seed, epoch)
        if not batches:
            raise ValueError(
                f"an epoch of {len(loader.dataset)} training images has no complete batch of "
                f"{loader.batch_size}; lower train.batch_size"
            )
        if self.world is not None:
            batches = self.world.own_part(batches)
        self._keys[:] = [[(epoch, position, index) for position, index in batch] for batch in batches[start:]]
        if not self._keys:
            return (), len(batches)
        if self._made is None:
            self._made = self._make(min(loader.num_workers, len(batches)))
        return self._made, len(batches)

    def close(self) -> None:
        """End the worker processes; the next epoch starts new ones."""
        if self._made is not None:
            end_workers(self._made)
        self._made = None

    def _make(self, workers: int) -> DataLoader[Any]:
        loader = self.loader
        return DataLoader(
            SeededSamples(loader.dataset, self.seed, self.companions),
            batch_sampler=self._keys,
            num_workers=workers,
            # workers that stay would carry the images that such a transform remembers into the next epoch
            persistent_workers=workers > 0 and not toolkit.keeps_past_images(loader.dataset),
            pin_memory=loader.pin_memory,
            collate_fn=loader.collate_fn,
            worker_init_fn=data_worker_start(),
            generator=torch.Generator().manual_seed(derived_seed(self.seed, "workers")),
        )
