"""Kills a process that builds or changes an index, again and again: python -m tests.helpers.index_kills FOLDER FAULTS.

Images are added and removed by a process that is killed; the index opens after every kill, and every image in it has
its own feature. This process itself uses no Lance before it forks.
"""

import os
import pathlib
import sys

import numpy as np

from ealn_plugin.search import IndexWriter, SearchIndex
from tests.helpers.fault_injection import forked, generator
from tests.helpers.standins import build_index, clustered


def main(folder, faults):
    """Inject so many kills; an AssertionError where one of them cost something."""
    vectors, random = clustered(200), generator("index")

    def add(rows):
        def work():
            build_index(folder / "index", vectors[:rows], kind=kind, nlist=5, nprobe=5)

        return work

    def remove():
        with IndexWriter.open(folder / "index") as writer:
            writer.remove(lambda records: records.pids < 20)
            writer.finish()

    def check():
        """0 where every image is found by its own feature."""
        index = SearchIndex.open(folder / "index", kind="flat")
        rows = [int(path.split("/")[-1].partition(".")[0]) for path in index.records.paths]
        features = index.features(index.records.ids.tolist())
        return int(not np.array_equal(features, vectors[rows]) or len(set(index.records.ids.tolist())) < len(rows))

    kind = "flat"
    whole = forked(add(200), folder=folder / "index")
    assert whole.code == 0, whole.text
    while faults:
        kind = random.choice(["flat", "ivf"])
        work = random.choice([add(random.randrange(64, 200)), remove])
        kinds = [
            {"seconds": random.uniform(0, whole.seconds)},
            {"change": random.randrange(whole.changes)},
            {"file_size": random.randrange(64 * vectors.shape[1] * 4), "dies_of_size": True},
        ]
        outcome = forked(work, folder=folder / "index", **random.choice(kinds))
        assert outcome.killed or outcome.code == 0, outcome.text
        if outcome.killed:
            faults -= 1
        found = forked(check)
        assert found.code == 0, found.text
    assert forked(remove).code == 0 and forked(check).code == 0
    with IndexWriter.open(folder / "index") as writer:
        there = {
            os.path.relpath(os.path.join(at, name), writer.store.images)
            for at, _, names in os.walk(writer.store.images)
            for name in names
        }
        assert there - {"_versions/latest_version_hint.json"} == set(writer.store.table.files())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
