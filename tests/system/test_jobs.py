"""ealn_plugin/system/jobs.py: order, shares, failures, and processes that do not outlive the first one."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from ealn_plugin.system import jobs
from ealn_plugin.system.jobs import Job, run_jobs
from tests.helpers.pages import ROOT


def note(folder, name):
    """Leave a file with the number of threads; fails where it exists."""
    with open(os.path.join(folder, name), "x") as file:
        file.write(str(torch.get_num_threads()))


def need(folder, name, other):
    """``note``, which needs the file of another job."""
    if not os.path.exists(os.path.join(folder, other)):
        raise RuntimeError(f"no {other}")
    note(folder, name)


def wait_for(path):
    deadline = time.monotonic() + 300
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {path}")
        time.sleep(0.02)


def save_when_stopped(folder):
    """Stand-in for a training run: asked to stop, it saves and raises as one does."""

    def stop(number, frame):
        note(folder, "saved")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    note(folder, "started")
    time.sleep(100)


def fail_after(folder, name):
    wait_for(os.path.join(folder, name))
    raise ValueError("the rate is too high")


def test_a_job_waits_for_the_one_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "core_count", lambda: 4)
    folder = str(tmp_path)
    done = list(
        run_jobs(
            [
                Job("a", note, (folder, "a")),
                Job("b", need, (folder, "b", "a"), after="a"),
                Job("c", note, (folder, "c")),
            ],
            2,
        )
    )
    assert sorted(done) == ["a", "b", "c"] and done.index("a") < done.index("b")
    assert [(tmp_path / name).read_text() for name in "abc"] == ["2", "2", "2"]  # four cores for two processes


@pytest.mark.parametrize(
    "names, processes, message",
    [
        ([("a", "")], 0, "processes is 0, expected at least 1"),
        ([("a", ""), ("a", "")], 1, "job 'a' is there twice"),
        ([("b", "a"), ("a", "")], 1, "job 'b' .* ahead of 'a' that it waits for"),
    ],
)
def test_jobs_that_could_never_end_are_refused(names, processes, message):
    with pytest.raises(ValueError, match=message):
        list(run_jobs([Job(name, note, ("", name), after) for name, after in names], processes))


def test_a_failure_is_told_and_the_others_may_save(tmp_path):
    folder = str(tmp_path)
    with pytest.raises(RuntimeError, match="^second: the rate is too high$"):
        list(
            run_jobs(
                [
                    Job("first", save_when_stopped, (folder,)),
                    Job("second", fail_after, (folder, "started")),
                    Job("third", note, (folder, "third"), after="second"),
                ],
                2,
            )
        )
    assert sorted(os.listdir(folder)) == ["saved", "started"]


def test_a_process_that_says_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="lost: its process ended with code 3 and said nothing"):
        list(run_jobs([Job("lost", os._exit, (3,))], 1))


def test_sigterm_stops_all_and_lets_them_save(tmp_path):
    def ask():
        wait_for(tmp_path / "started")
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    before = signal.getsignal(signal.SIGTERM)
    asking.start()
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([Job("run", save_when_stopped, (str(tmp_path),))], 1))
    asking.join()
    assert (tmp_path / "saved").exists() and signal.getsignal(signal.SIGTERM) is before


def live(folder):
    with open(os.path.join(folder, "pid"), "w") as file:
        file.write(str(os.getpid()))
    note(folder, "ready")
    time.sleep(3600)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc to see whether a process lives")
def test_no_process_outlives_a_first_one_that_is_killed(tmp_path):
    code = (
        "import sys; from tests.system.test_jobs import live; from ealn_plugin.system.jobs import Job, run_jobs\n"
        "if __name__ == '__main__': list(run_jobs([Job('run', live, (sys.argv[1],))], 1))"
    )
    script = tmp_path / "first.py"
    script.write_text(code)
    first = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_for(tmp_path / "ready")
    finally:
        first.kill()
        first.wait()
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 300
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    lives = alive(pid)
    if lives:
        os.kill(pid, signal.SIGKILL)
    assert not lives


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
