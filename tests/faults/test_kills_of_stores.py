"""SIGKILL while decoded images are cached and while a search index is built and changed."""

import os

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from ealn_plugin import toolkit
from ealn_plugin.data.cache import open_cache
from tests.helpers.fault_injection import FAULTS, forked, generator, inject
from tests.helpers.standins import build_index, clustered

RESIZE = Resize((24, 40))


@pytest.mark.parametrize(
    "faults, workers",
    [(6, 0), pytest.param(FAULTS, 0, marks=pytest.mark.slow), pytest.param(FAULTS // 5, 2, marks=pytest.mark.slow)],
)
def test_a_cache_gives_the_pixels_of_the_images(tmp_path, faults, workers):
    """Killed again and again while it is made or, after an image has changed, made anew."""
    random, paths = generator(f"cache {workers}"), [str(tmp_path / "images" / f"{number}.png") for number in range(20)]
    (tmp_path / "images").mkdir()

    def paint(path, value):
        Image.new("RGB", (50, 30), (value, 9, 9)).save(path)
        os.utime(path, ns=(value * 10**9, value * 10**9))

    for number, path in enumerate(paths):
        paint(path, number)

    def check():
        cache = open_cache(str(tmp_path / "cache"), "veri776", paths, RESIZE, workers, progress=False)
        return int(
            not all(np.array_equal(cache.get(path), np.asarray(RESIZE(toolkit.read_image(path)))) for path in paths)
        )

    whole = forked(check, folder=tmp_path / "cache")
    assert whole.code == 0, whole.text
    value = 100
    while faults:
        value = 100 + (value + 1) % 100
        paint(random.choice(paths), value)
        kinds = [
            {"seconds": random.uniform(0, whole.seconds)},
            {"change": random.randrange(whole.changes)},
            {"file_size": random.randrange(24 * 40 * 3 * 20), "dies_of_size": True},
        ]
        outcome = forked(check, folder=tmp_path / "cache", **random.choice(kinds))
        assert outcome.killed or outcome.code == 0, outcome.text
        if outcome.killed:
            faults -= 1
            inject("SIGKILL while caching images")
        assert sum(len(files) for _, _, files in os.walk(tmp_path / "cache")) <= 3, "leftovers accumulate"
        if faults % 5 == 0:
            assert forked(check).code == 0
    assert forked(check).code == 0
    files = [name for _, _, files in os.walk(tmp_path / "cache") for name in files]
    assert sorted(files) == ["lock", "pixels"]


@pytest.mark.parametrize("faults", [6, pytest.param(FAULTS, marks=pytest.mark.slow)])
def test_an_index_is_as_it_was_or_as_it_was_to_be(tmp_path, faults):
    """Images are added and removed by a process that is killed; the index opens after every kill, and every image in
    it has its own feature."""
    pytest.importorskip("lance")
    from ealn_plugin.search import IndexWriter, SearchIndex

    vectors, random = clustered(200), generator("index")

    def add(rows):
        def work():
            build_index(tmp_path / "index", vectors[:rows], kind=kind, nlist=5, nprobe=5)

        return work

    def remove():
        with IndexWriter.open(tmp_path / "index") as writer:
            writer.remove(lambda records: records.pids < 20)
            writer.finish()

    def check():
        """0 where every image is found by its own feature."""
        index = SearchIndex.open(tmp_path / "index", kind="flat")
        rows = [int(path.split("/")[-1].partition(".")[0]) for path in index.records.paths]
        features = index.features(index.records.ids.tolist())
        return int(not np.array_equal(features, vectors[rows]) or len(set(index.records.ids.tolist())) < len(rows))

    kind = "flat"
    whole = forked(add(200), folder=tmp_path / "index")
    assert whole.code == 0, whole.text
    while faults:
        kind = random.choice(["flat", "ivf"])
        work = random.choice([add(random.randrange(64, 200)), remove])
        kinds = [
            {"seconds": random.uniform(0, whole.seconds)},
            {"change": random.randrange(whole.changes)},
            {"file_size": random.randrange(64 * vectors.shape[1] * 4), "dies_of_size": True},
        ]
        outcome = forked(work, folder=tmp_path / "index", **random.choice(kinds))
        assert outcome.killed or outcome.code == 0, outcome.text
        if outcome.killed:
            faults -= 1
            inject("SIGKILL while building or changing an index")
        found = forked(check)
        assert found.code == 0, found.text
    assert forked(remove).code == 0 and forked(check).code == 0
    with IndexWriter.open(tmp_path / "index") as writer:
        there = {
            os.path.relpath(os.path.join(at, name), writer.store.images)
            for at, _, names in os.walk(writer.store.images)
            for name in names
        }
        assert there - {"_versions/latest_version_hint.json"} == set(writer.store.table.files())
