"""ealn_plugin/commands/search_build.py under torchrun: the same index, a killed process, a request to stop."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pages import ROOT
from tests.helpers.tool_modules import load_tool

pytest.importorskip("lance")

search = load_tool("search")
PATIENCE = 240
COUNT = 45
OPTIONS = ("--device", "cpu", "--batch-size", "2")


@pytest.fixture(scope="module")
def cars(tmp_path_factory):
    """A folder of small images."""
    folder, random = tmp_path_factory.mktemp("cars"), np.random.default_rng(0)
    for number in range(COUNT):
        pixels = np.kron(random.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def alone(cars, tmp_path_factory):
    """The index that one process builds."""
    folder = tmp_path_factory.mktemp("alone") / "index"
    assert search.main(["index", str(cars), "--index", str(folder), *OPTIONS]) == 0
    return folder


def start(index, *arguments, seconds=0.0):
    """torchrun with two processes of ``ealn search`` whose segments are of four images, so many seconds an image."""
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + ["-m", "tests.helpers.shared_search", str(seconds), *map(str, arguments), "--index", str(index)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def ended(process):
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output, [line for line in output.splitlines() if line.startswith("error: ")]


def wait_for_images(index, process, least):
    from ealn_plugin.search import SearchIndex, SearchIndexError

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if len(SearchIndex.open(index)) >= least:
                return
        except SearchIndexError:  # not begun yet
            pass
        time.sleep(0.05)
    pytest.fail(process.communicate(timeout=PATIENCE)[0])


def workers_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def assert_same(index, alone):
    from ealn_plugin.search import SearchIndex

    one, several = SearchIndex.open(alone), SearchIndex.open(index)
    assert several.verify() == COUNT and several.manifest.complete
    rows = np.argsort(several.records.paths)
    assert [several.records.paths[row] for row in rows] == one.records.paths
    assert sorted(several.records.ids.tolist()) == one.records.ids.tolist()
    ids = several.records.ids[rows]
    np.testing.assert_allclose(several.features(ids), one.features(one.records.ids), atol=1e-6)


@pytest.mark.slow  # torchrun and two processes take longer to start than all they do
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_what_is_written_stays(cars, alone, tmp_path, victim):
    index = tmp_path / "index"
    process = start(index, "index", cars, *OPTIONS, seconds=0.2)
    wait_for_images(index, process, least=8)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[victim], signal.SIGKILL)
    killed = time.monotonic()
    code, output, errors = ended(process)
    assert code == 1 and time.monotonic() - killed < 30
    assert errors == [
        "error: one of the 2 processes ended without a word (killed, or out of memory?); what was saved before is "
        "usable; run the same command again to go on"
    ], output
    from ealn_plugin.search import SearchIndex

    there = SearchIndex.open(index)
    assert 8 <= there.verify() < COUNT and len(there) % 8 == 0 and not there.manifest.complete
    if victim:
        assert search.main(["index", str(cars), "--index", str(index), *OPTIONS]) == 0
    else:
        code, output, _ = ended(start(index, "index", cars, *OPTIONS))
        assert code == 0 and f"going on with what is in the index already: {len(there)} images" in output
    assert_same(index, alone)


@pytest.mark.slow
def test_a_stopped_build_is_added_to(cars, alone, tmp_path):
    index = tmp_path / "index"
    process = start(index, "index", cars, *OPTIONS, seconds=0.2)
    wait_for_images(index, process, least=8)
    process.send_signal(signal.SIGTERM)
    code, output, errors = ended(process)
    assert code != 0 and errors == [] and output.count("stopped; the features that were computed are in the") == 1
    code, output, errors = ended(start(index, "add", cars, *OPTIONS))
    assert code == 0 and output.count("were there before, 0 could not be read") == 1, output
    assert_same(index, alone)


def test_the_other_commands_do_not_share_their_work(alone, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert search.main(["info", "--index", str(alone)]) == 1
    assert "torchrun has started 2 processes for info, expected one" in capsys.readouterr().err
