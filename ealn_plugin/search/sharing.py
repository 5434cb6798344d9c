"""An index that several processes build together, on one machine or on many: each computes and writes its share.

The images are taken in rounds of one segment for each process. In a round every process computes the features of its
block of images and writes them to files of the index that no version has yet (Lance's fragments). The main process then
makes all of them count in one version, as it would those of its own segment, while the others are at their next block.
So only the main process changes what readers see, it alone holds the index's lock, and all that protects a build by one
process holds as it is: checksums, the manifest that is replaced in one go, the clearing away of what was never
finished. Blocks follow each other in the order of the images, so the index is the one that a single process builds:
the same ids, in the same order.

A process that dies takes with it, and with the others, the round that was under way, at most a segment of each process.
The others end when they meet it next: at the end of their own block, or at once if torchrun tells them to stop. The
same command, with any number of processes, goes on with the images that are missing. A request to stop (SIGINT,
SIGTERM) loses nothing: what each process has computed by then is written.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ealn_plugin.distributed.world import World
from ealn_plugin.search import gallery
from ealn_plugin.search.records import Records
from ealn_plugin.search.store import images_in
from ealn_plugin.search.table import Table
from ealn_plugin.search.writer import IndexWriter, checked
from ealn_plugin.system.interrupts import stop_on_signals


def blocks(count: int, segment: int, batch_size: int, size: int) -> list[list[np.ndarray]]:
    """Which rows each process takes in each round.

    Args:
        count: images. segment: of one process, rounded up to whole batches. size: processes.
    Returns:
        for every round a list of ``size`` int arrays: neighbouring rows, those of the first process first; their
        lengths differ by one at most, and some are empty where there are fewer images than processes.
    """
    whole = -(-segment // batch_size) * batch_size * size
    rounds = [np.arange(first, min(first + whole, count)) for first in range(0, count, whole)]
    return [np.array_split(rows, size) for rows in rounds]


def add_shared(writer: IndexWriter, extractor: Any, new: Records, skip_unreadable: bool, world: World) -> int:
    """Add images together with the processes that are in ``help_adding``; called by the main process.

    Args:
        writer: entered, with the index's lock. extractor: ``FeatureExtractor``.
        new: images that the index does not have. skip_unreadable: see ``gallery.features_of``.
    Returns:
        int: how many were added.
    Raises:
        ValueError: another process has another network.
        OSError: the index cannot be written. WorkerLostError: another process has ended.
        KeyboardInterrupt: a signal asked to stop; what was computed is in the index.
    """
    before = writer.manifest.images
    world.on_main(lambda: (writer.folder, new, skip_unreadable, writer.segment))
    _check_networks(extractor, world)
    _add(writer.folder, writer, extractor, new, skip_unreadable, writer.segment, world)
    return writer.manifest.images - before


def help_adding(extractor: Any, world: World) -> None:
    """What all other processes do while the main process is in ``add_shared``; raises as that does."""
    folder, new, skip_unreadable, segment = world.on_main(lambda: None)
    _check_networks(extractor, world)
    _add(folder, None, extractor, new, skip_unreadable, segment, world)


def _check_networks(extractor: Any, world: World) -> None:
    expected = world.on_main(lambda: extractor.identity)
    if world.any(expected != extractor.identity):
        raise ValueError(
            f"the {world.size} processes have different networks, expected the same; give all machines the same run, "
            "weights and --classifier"
        )


def _add(
    folder: str,
    writer: IndexWriter | None,
    extractor: Any,
    new: Records,
    skip_unreadable: bool,
    segment: int,
    world: World,
) -> None:
    rounds = blocks(len(new), segment, extractor.batch_size, world.size)
    own = [parts[world.rank] for parts in rounds]
    table = Table(images_in(folder))
    rows = np.concatenate([*own, np.empty(0, np.int64)]).astype(np.int64)
    stream = gallery.features_of(extractor, new.take(rows), skip_unreadable, progress=world.is_main)
    with stop_on_signals() as stop:
        for block in own:
            batches = -(-len(block) // extractor.batch_size)
            records, features = _computed(itertools.islice(stream, batches), folder, extractor.dim, stop)
            counts = world.gather_rows(torch.tensor([[len(records), int(bool(stop))]]))
            _write(table, writer, records, features, [int(count) for count in counts[:, 0]], world)
            if counts[:, 1].any():
                raise KeyboardInterrupt(
                    "stopped; the features that were computed are in the index, and the same command goes on with "
                    "the other images"
                )


def _computed(batches: Iterable[tuple[Records, Any]], folder: str, dim: int, stop: Any) -> tuple[Records, np.ndarray]:
    """(Records, float32 [n, dim]) of a block, or of its beginning where a signal asks to stop."""
    parts: list[tuple[Records, np.ndarray]] = []
    for records, features in _until(stop, batches):
        parts.append((records, checked(records, features, dim, folder)))
    features = np.concatenate([np.empty((0, dim), np.float32), *(part for _, part in parts)])
    return Records.joined(records for records, _ in parts), features


def _until(stop: Any, batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        yield batch
        if stop:
            return


def _write(
    table: Table, writer: IndexWriter | None, records: Records, features: np.ndarray, counts: list[int], world: World
) -> None:
    """Write this process's block; the main process makes all blocks count."""
    first = world.on_main(lambda: writer.manifest.next_id if writer else 0) + sum(counts[: world.rank])
    numbered = replace(records, ids=np.arange(first, first + len(records)))
    written = world.gather_objects(table.write_apart(numbered, features))
    if writer is not None and written is not None and any(counts):
        writer.adopt([piece for pieces in written for piece in pieces], sum(counts))
