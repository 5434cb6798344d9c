"""A disk that is full: each command says so in one sentence, ends with code 1, and leaves what was there before.

Files that cannot grow beyond a limit (RLIMIT_FSIZE) fail as on a full disk, at a byte of the test's choosing; /dev/full
and a tiny file system of its own, where the system lets the test mount one, are full for good.
"""

import contextlib
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.monitoring.events import EventWriter
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.features import Features
from ealn_plugin.system import cli, files
from tests.helpers.command_lines import COMMANDS, PRESET, SLOW, SMALL, evaluate, make_features, train
from tests.helpers.fault_injection import FAULTS, forked, generator, inject
from tests.helpers.pages import ROOT
from tests.helpers.run_contents import check_whole
from tests.helpers.tool_modules import load_tool

OF_LANCE = ("search index", "answers of a search")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file() and path.suffix != ".log" and not path.name.startswith("events.")
    }


def run_by_itself(request):
    """The test that asks, in a new process, with as many faults."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", request.node.nodeid]
    slow = ["--slow"] if request.config.getoption("--slow") else []
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        command + slow, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120 + 30 * FAULTS
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


# ---------------------------------------------------------------------------------------------- every command
@pytest.mark.parametrize("faults", [1, pytest.param(max(1, FAULTS // 5), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in COMMANDS]
)
def test_a_command_on_a_full_disk(request, veri_root, tmp_path, monkeypatch, tiny, kind, faults):
    """The limit lies below the largest file that the command writes, so that one of its writes fails."""
    from ealn_plugin.data.synthetic import presets

    if kind in OF_LANCE and "lance" in sys.modules:  # a fork of a process that has used Lance may crash in it
        run_by_itself(request)
        return inject(f"full disk: {kind}")
    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    root = shutil.copytree(veri_root, tmp_path / "data")
    work, random = COMMANDS[kind], generator(f"full disk {kind}")
    whole = forked(lambda: work(root, tmp_path / "whole"))
    assert whole.code == 0, whole.text[-3000:]
    largest = max(map(len, contents(tmp_path / "whole").values()))
    for number in range(faults):
        out = tmp_path / f"out_{number}"
        outcome = forked(lambda: work(root, out), file_size=random.randrange(largest // 2, largest))  # noqa: B023
        assert outcome.code == 1, outcome.text[-3000:]
        cut_off = "only a part of" if kind == "search index" else "File too large"  # Lance may not notice by itself
        assert ("File too large" in outcome.sentence or cut_off in outcome.sentence) and (
            "free some space" in outcome.sentence or "free space" in outcome.sentence
        ), outcome.sentence
        left = [path for path in out.rglob("*") if path.name.startswith(files.UNFINISHED) or "partial" in path.name]
        assert left == []
        check_whole(out)
        assert forked(lambda: work(root, out)).code == 0  # noqa: B023
        inject(f"full disk: {kind}")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_what_was_there_before_is_untouched(tmp_path, share):
    """A folder with a finished evaluation, which is evaluated anew: with every file that fails, the old one stays."""
    assert forked(lambda: evaluate(tmp_path, tmp_path / "out")).code == 0
    before = contents(tmp_path / "out")
    limit = int(share * max(map(len, before.values())))
    outcome = forked(lambda: evaluate(tmp_path, tmp_path / "out"), file_size=limit)
    assert outcome.code == 1 and "could not be written" in outcome.sentence
    assert contents(tmp_path / "out") == before
    inject("full disk: evaluation")


def test_a_run_keeps_its_checkpoint_and_goes_on_from_it(veri_root, tmp_path, tiny):
    assert forked(lambda: train(veri_root, tmp_path / "run")).code == 0
    saved = (tmp_path / "run" / checkpoint.LAST).read_bytes()
    (tmp_path / "run" / "results.json").unlink()

    def go_on(epochs):
        return load_tool("train_ealn").main(
            [
                "--root",
                str(veri_root),
                *map(str, SMALL),
                "data.save_dir",
                str(tmp_path / "run"),
                "ealn.scheme",
                "en",
                "train.max_epoch",
                str(epochs),
                "model.resume",
                str(tmp_path / "run"),
                "ealn.warmup_epochs",
                "0",
                "ealn.warmup_generator_epochs",
                "0",
            ]
        )

    outcome = forked(lambda: go_on(3), file_size=len(saved) - 1000)
    assert outcome.code == 1 and "model.resume" in outcome.sentence
    assert (tmp_path / "run" / checkpoint.LAST).read_bytes() == saved
    assert forked(lambda: go_on(3)).code == 0 and (tmp_path / "run" / "results.json").exists()
    inject("full disk: training")


@pytest.mark.parametrize("size", [0, 10, 200])
def test_features_that_cannot_be_stored(tmp_path, size):
    def fetch():
        def work():
            FeatureStore(tmp_path / "store").fetch(
                "net", "veri776", {"weights": 1}, lambda: Features.load(tmp_path / "f.npz")
            )

        return cli.exit_code(work, "stopped")

    make_features(tmp_path / "f.npz")
    outcome = forked(fetch, file_size=size)
    assert outcome.code == 1 and "veri776.npz' could not be written" in outcome.sentence
    assert os.listdir(tmp_path / "store" / "net") == []
    assert forked(fetch).code == 0
    inject("full disk: features")


# ---------------------------------------------------------------------------------------------- not worth a run
def test_tensorboard_events_are_given_up(tmp_path):
    """The records before the full disk can be read; the run is told once and goes on."""

    def write():
        logging.basicConfig(stream=sys.stdout, force=True)
        writer = EventWriter(str(tmp_path / "run"), purge_step=3)
        for step in range(4, 400):
            writer.add_scalar("train/loss/E", step / 2, step)
            if step == 50:
                writer.flush()
        writer.close(), writer.close()

    outcome = forked(write, file_size=10_000)
    assert outcome.code == 0 and outcome.text.count("TensorBoard events cannot be written") == 1, outcome.text
    assert "Traceback" not in outcome.text
    events = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("train/loss/E")
    assert [(event.step, event.value) for event in events] == [(step, step / 2) for step in range(4, 4 + len(events))]
    assert 47 <= len(events) < 396
    inject("full disk: TensorBoard events")


def test_a_log_that_cannot_be_written(tmp_path):
    """The log is a link to /dev/full: said once, without a traceback for each of its lines."""
    os.symlink("/dev/full", tmp_path / "a.log")

    def work():
        cli.start_log(str(tmp_path), "a.log")
        for number in range(3):
            cli.log.info("line %d", number)

    outcome = forked(work)
    assert outcome.code == 0 and outcome.text.count("the log cannot be written") == 1
    assert "Traceback" not in outcome.text and "line 2" in outcome.text
    inject("full disk: log")


def test_standard_output_that_is_full(tmp_path):
    """What cannot be shown is no reason for a traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                (
                    "import sys\nfrom ealn_plugin.system import cli\n"
                    f"code = cli.exit_code(lambda: (cli.start_log({str(tmp_path)!r}, 'a.log'), cli.log.info('hello'), "
                    "print('x' * 100000)), 'stopped')\n"
                    "sys.exit(code)"
                ),
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=200,
        )
    assert done.returncode != 0 and "Traceback" not in done.stderr and "No space left" in done.stderr
    assert "hello" in (tmp_path / "a.log").read_text()
    inject("full disk: standard output")


# ---------------------------------------------------------------------------------------------- what is no file
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    """A privileged user's rename would make a file of /dev/null."""
    if os.geteuid() == 0:
        device = tmp_path / "null"
        with contextlib.suppress(PermissionError):
            os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
    else:
        device = pathlib.Path("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for place in (device, tmp_path / "pipe"):
        if not place.exists():
            continue
        kind = place.stat().st_mode
        with pytest.raises(OSError, match="no ordinary file has that name"):
            files.write_atomically(place, "text")
        with pytest.raises(OSError, match="a device or a pipe"):
            files.check_writable(str(place), "--json")
        assert place.stat().st_mode == kind


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    os.symlink(tmp_path / "there" / "file", tmp_path / "link")
    for text in ("1", "2"):
        files.write_atomically(tmp_path / "link", text)
        assert (tmp_path / "there" / "file").read_text() == text and os.path.islink(tmp_path / "link")
    assert os.listdir(tmp_path / "there") == ["file"]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("mounting a file system is not allowed here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("kind", ["training", "rendering", "evaluation"])
def test_a_file_system_that_fills_up(veri_root, tmp_path, monkeypatch, tiny, tiny_disk, kind):
    from ealn_plugin.data.synthetic import presets

    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    (tiny_disk / "other").write_bytes(b"x" * 240 * 1024)
    root = shutil.copytree(veri_root, tmp_path / "data")
    outcome = forked(lambda: COMMANDS[kind](root, tiny_disk / "out"))
    assert outcome.code == 1 and "No space left on device" in outcome.sentence, outcome.text[-2000:]
    assert not [
        path for path in tiny_disk.rglob("*") if path.name.startswith(files.UNFINISHED) or ".partial-" in path.name
    ]
    (tiny_disk / "other").unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", tiny_disk], check=True)
    again = forked(lambda: COMMANDS[kind](root, tiny_disk / "out"))
    assert again.code == 0, again.text[-2000:]
    check_whole(tiny_disk)
    if kind == "evaluation":
        assert json.loads((tiny_disk / "out" / "results.json").read_text())
    inject(f"full file system: {kind}")
