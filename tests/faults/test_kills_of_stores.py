"""SIGKILL while decoded images are cached and while a search index is built and changed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from ealn_plugin import toolkit
from ealn_plugin.data.cache import open_cache
from tests.helpers.fault_injection import FAULTS, forked, generator, inject
from tests.helpers.pages import ROOT

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


@pytest.mark.parametrize("faults", [4, pytest.param(FAULTS, marks=pytest.mark.slow)])
def test_an_index_is_as_it_was_or_as_it_was_to_be(tmp_path, faults):
    """In a process of its own: forks of one whose Lance has begun its threads would wait for these for ever."""
    pytest.importorskip("lance")
    command = [sys.executable, "-m", "tests.helpers.index_kills", str(tmp_path), str(faults)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60 + 30 * faults)
    assert done.returncode == 0, done.stderr[-3000:]
    for _ in range(faults):
        inject("SIGKILL while building or changing an index")
