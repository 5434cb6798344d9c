"""ealn_plugin/commands/search_build.py under torchrun: the same index, a killed process, a request to stop."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.helpers.detectors import Traffic, plain, write_detector
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


# ---------------------------------------------------------------------------------------------- videos
@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(detector, video) of four vehicles and a person."""
    for package in ("onnx", "onnxruntime", "supervision"):
        pytest.importorskip(package, reason='pip install -c constraints.txt -e ".[detect,export]"')
    folder = tmp_path_factory.mktemp("watched")
    traffic = Traffic(plain("red", "blue", "red", "green", "blue"))
    return write_detector(folder / "bright.onnx"), traffic.write(folder / "cam_07.mp4")


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    capsys.readouterr()
    code = search.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_a_video_becomes_a_gallery_that_can_be_asked(watched, tmp_path, capsys):
    from ealn_plugin.search import SearchIndex

    detector, video = watched
    index, here = tmp_path / "index", ("--device", "cpu")
    start_of = ("--start", "2024-05-01T16:30", "--crops-per-track", 3)
    code, out, err = run(capsys, "index", video, "--detect", detector, "--index", index, *start_of, *here)
    assert code == 0 and "12 images added" in out and f"{video}: 4 vehicles, 12 images" in err, err
    known = SearchIndex.open(index)
    assert known.values("camera") == {"7": 12} and known.values("source") == {video: 12}
    assert known.values("type") == {"car": 6, "truck": 6} and len(set(known.records.tracks)) == 4
    assert known.records.dated.all() and 0 < known.records.times.min() - 1714581000 < 7
    crop = known.records.paths[0]
    assert crop.startswith(f"{index}-crops{os.sep}cam_07{os.sep}track_00001_frame_")
    asked = ("--group-by", "track", "--camera", 7, "--after", "2024-05-01T16:30:00", "--type", known.records.types[0])
    code, out, _ = run(capsys, "query", crop, "--index", index, *asked, *here)
    assert code == 0 and crop in out and out.count("track_") == 3  # the query, and two tracks
    code, out, _ = run(capsys, "add", video, "--detect", detector, "--index", index, *start_of, *here)
    assert code == 0 and "0 images added, 12 were there before" in out
    code, _, err = run(capsys, "add", video, "--detect", detector, "--index", index, *here)
    assert code == 1 and "made otherwise (the settings have changed); remove that folder, or choose another with" in err
    again = ("--crops", tmp_path / "persons", "--detect-classes", "person", "--camera", "gate")
    code, out, _ = run(capsys, "add", video, "--detect", detector, "--index", index, *again, *here)
    assert code == 0 and "4 images added" in out and SearchIndex.open(index).values("camera") == {"7": 12, "gate": 4}


def test_what_a_video_needs_is_said_in_one_sentence(watched, cars, tmp_path, capsys):
    detector, video = watched
    (tmp_path / "cut.mp4").write_bytes(b"cut")
    wrong = write_detector(tmp_path / "wrong.onnx", layout="transposed")
    index = ("--index", tmp_path / "index")
    for arguments, expected in (
        ((video, *index), "is a video, expected images, folders or datasets without --detect; name a detector"),
        ((video, "--detect", "no.onnx", *index), "--detect is 'no.onnx', but there is no such file"),
        ((video, "--detect", wrong, *index), "gives output [1, 512, 7], expected one output [1, 4 + classes, n]"),
        (("none.mp4", "--detect", detector, *index), "there is no video or folder of frames 'none.mp4'"),
        ((tmp_path / "cut.mp4", "--detect", detector, *index), "cut.mp4' cannot be opened as a video"),
        ((cars, "--detect", detector, "--detect-confidence", 0.95, *index), "no vehicle was found in"),
        ((video, "--detect", detector, "--start", "noon", *index), "time 'noon' is neither a number nor a date"),
        ((video, "--detect", detector, "--index", "s3://bucket/cars"), "so crops need a folder of their own"),
        ((video, "--detect", detector, "--data", cars, *index), "--data and --detect are both given"),
    ):
        code, _, err = run(capsys, "index", *arguments, "--device", "cpu")
        sentences = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 1 and len(sentences) == 1 and expected in sentences[0], err


@pytest.mark.slow  # two real processes, and seconds of a video
def test_a_killed_build_from_a_video_goes_on(watched, tmp_path, capsys):
    detector, _ = watched
    traffic = Traffic(plain(*(["red", "blue", "red"] * 8)))
    video = traffic.write(tmp_path / "long.mp4", frames=260)
    command = [sys.executable, str(ROOT / "tools" / "search.py"), "index", video, "--detect", detector]
    command += ["--device", "cpu", "--crops-per-track", "2", "--index", str(tmp_path / "index")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    boxes, deadline = tmp_path / "index-crops" / "long" / "detections.jsonl", time.monotonic() + PATIENCE
    while not (boxes.exists() and boxes.read_text().count("\n") > 60) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert not (boxes.parent / "crops.json").exists()
    for place in ("index", "whole"):
        code, out, err = run(capsys, *command[2:-1], tmp_path / place)
        assert code == 0, err
    files = {place: tmp_path / f"{place}-crops" / "long" for place in ("index", "whole")}
    assert len(os.listdir(files["whole"])) > 20
    assert {path.name: path.read_bytes() for path in files["index"].iterdir()} == {
        path.name: path.read_bytes() for path in files["whole"].iterdir()
    }
