"""Shared building in three processes without torchrun: python -m tests.helpers.shared_index FOLDER.

A process of its own, because it forks, and must not have used Lance before. Prints nothing; an AssertionError tells.
"""

import pathlib
import sys

import numpy as np
import torch

from ealn_plugin.inference.extractor import Extracted
from ealn_plugin.search import IndexWriter, Records, sharing
from tests.helpers.fault_injection import forked
from tests.helpers.processes import Processes
from tests.helpers.standins import clustered

VECTORS = clustered(60)
BROKEN = 13
SIZES = (3,)


class Extractor:
    """Gives image N row N of ``VECTORS``; image 13 cannot be read."""

    dim, classifier, batch_size = VECTORS.shape[1], None, 2

    def __init__(self, name="network"):
        self.identity = {"weights": name}

    def batches(self, paths, views, skip_unreadable, progress, predict):
        for first in range(0, len(paths), self.batch_size):
            rows = list(range(first, min(first + self.batch_size, len(paths))))
            numbers = {row: int(paths[row].split("/")[-1]) for row in rows}
            failed = {row: "broken" for row in rows if numbers[row] == BROKEN}
            if failed and not skip_unreadable:
                raise ValueError("image 13 is broken")
            rows = [row for row in rows if row not in failed]
            features = torch.from_numpy(VECTORS[[numbers[row] for row in rows]]).reshape(len(rows), self.dim)
            yield Extracted(features, rows, torch.full((len(rows),), -1), failed)


def build(world, folder, count, skip_unreadable=True, names=("network",) * 3):
    """What one of the processes does."""
    extractor = Extractor(names[world.rank])
    if not world.is_main:
        sharing.help_adding(extractor, world)
        return None
    with IndexWriter(folder, extractor.dim, extractor.identity, segment=3) as writer:
        records = images(count)
        new = records.take(writer.absent(records.paths))
        added = sharing.add_shared(writer, extractor, new, skip_unreadable, world)
        writer.finish()
    return added


def images(count):
    return Records([f"/images/{number}" for number in range(count)], tracks=[f"t{n // 5}" for n in range(count)])


def alone(folder, count):
    extractor = Extractor()
    records = images(count)
    with IndexWriter(folder, extractor.dim, extractor.identity, segment=3) as writer:
        new = records.take(writer.absent(records.paths))
        batches = extractor.batches(new.paths, None, True, False, False)
        writer.add((new.take(part.rows), part.features.numpy()) for part in batches)
        writer.finish()


def main(folder):
    """Build in several processes and compare with one."""
    from ealn_plugin.search import SearchIndex

    added = {}
    for size in SIZES:
        processes = Processes(size)
        for name, count in (("even", 24), ("uneven", 23), ("few", 2), ("one", 1), ("more", 40)):
            place = folder / (f"{size} uneven" if name == "more" else f"{size} {name}")  # it goes on with "uneven"
            added[size, name] = processes.run(build, str(place), count)[0]
        wrong = processes.end_with(build, str(folder / f"{size} wrong"), 24, skip_unreadable=False)
        assert any("image 13 is broken" in said for said in wrong), wrong
        processes.close()
        processes = Processes(size)
        other = processes.end_with(build, str(folder / f"{size} other"), 24, names=("network", "other", "network"))
        assert any(f"the {size} processes have different networks" in said for said in other), other
        processes.close()
    expected = {"even": 23, "uneven": 22, "few": 2, "one": 1, "more": 17}
    assert added == {(size, name): expected[name] for size in SIZES for name in expected}

    def compare():
        for name, count in (("even", 24), ("uneven", 40), ("few", 2), ("one", 1)):
            alone(folder / name, count)
            one = SearchIndex.open(folder / name)
            for size in SIZES:
                several = SearchIndex.open(folder / f"{size} {name}")
                assert several.verify() == len(one) and several.records.paths == one.records.paths
                assert several.records.tracks.tolist() == one.records.tracks.tolist()
                ids = one.records.ids
                assert several.records.ids.tolist() == ids.tolist() == list(range(len(one)))
                np.testing.assert_allclose(several.features(ids), one.features(ids), atol=1e-6)
        for size in SIZES:
            broken = SearchIndex.open(folder / f"{size} wrong")  # image 13 is in the second round
            assert broken.verify() == len(broken) < 13 and not broken.manifest.complete
            assert len(SearchIndex.open(folder / f"{size} other")) == 0
        return 0

    found = forked(compare)
    assert found.code == 0, found.text


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
