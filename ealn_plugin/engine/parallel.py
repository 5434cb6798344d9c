"""An engine as one of several: whose rows, gradients and test images are whose."""

import dataclasses

import numpy as np
from torch.utils.data import DataLoader, Subset

from ealn_plugin.engine.sharing import RowSharing
from ealn_plugin.engine.sync_norm import running_statistics_of, synchronise


def share_work(world, embedding, schemes, optimizers, sync_norm):
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
    statistics = running_statistics_of(synchronise(embedding, sharing, sync_norm))

    def average(optimizer, *_):
        world.average_gradients([parameter for group in optimizer.param_groups for parameter in group["params"]])
        if optimizer is optimizers[0] and not sync_norm:
            world.average(statistics)

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(average)
    return sharing


def shared_features(extraction, loaders, name, world, progress=True):
    """``FeatureExtraction.dataset``, each process extracting its share of the test images.

    Returns:
        (Features, Features or None) of all images in the main process, in the order of the loaders; (None, None) in
        the others.
    """
    if world.size == 1:
        return extraction.dataset(loaders, name, progress)
    shares = {split: _own_images(loader, world) for split, loader in loaders.items()}
    images = sum(len(loader.dataset) for loader in shares.values())
    parts = world.gather_objects(extraction.dataset(shares, name, progress) if images else None)
    if parts is None:
        return None, None
    return tuple(
        _merged(kept, loaders) if kept[0] is not None else None
        for kept in zip(*(part for part in parts if part is not None))
    )


def _own_images(loader, world):
    """A loader over one contiguous share of a test set."""
    count = len(loader.dataset)
    rows = range(count * world.rank // world.size, count * (world.rank + 1) // world.size)
    return DataLoader(
        Subset(loader.dataset, rows),
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        collate_fn=loader.collate_fn,
    )


def _merged(parts, loaders):
    """Features of several processes in the order of one: split by split, process by process."""
    ordered = [part.subset(part.is_query == (split == "query")) for split in loaders for part in parts]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in ordered])
        for field in dataclasses.fields(parts[0])
        if field.name != "paths"
    }
    return type(parts[0])(paths=[path for part in ordered for path in part.paths], **arrays)
