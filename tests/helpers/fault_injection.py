"""Faults on demand: work in a forked process that is killed, or finds the disk full, at a chosen or a random moment.

Forking costs milliseconds where starting Python with torch costs seconds, so one test can inject hundreds of faults.
``EALN_FAULTS`` is how many of each kind the slow tests inject (default 50). What was injected is counted and shown at
the end of the test session.
"""

import contextlib
import mmap
import os
import random
import resource
import signal
import struct
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass

import torch
from tqdm import tqdm

from ealn_plugin.system import files

FAULTS = int(os.environ.get("EALN_FAULTS", "50"))
SEED = int(os.environ.get("EALN_FAULT_SEED", "0"))
PATIENCE = 300  # seconds after which a process that should have ended is taken for hung

INJECTED, LOST = Counter(), Counter()

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink")


class Shared:
    """A whole number that a forked process leaves to the one that forked it, whatever becomes of it."""

    def __init__(self):
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self):
        """The number, at first 0."""
        return struct.unpack("q", self._memory[:8])[0]

    @value.setter
    def value(self, number):
        self._memory[:8] = struct.pack("q", number)


@dataclass(frozen=True)
class Outcome:
    """How a forked process ended: exit code (None: by a signal), what it printed, seconds, changes to files."""

    code: int | None
    text: str
    seconds: float
    changes: int

    @property
    def killed(self):
        """Whether a signal ended it."""
        return self.code is None

    @property
    def sentence(self):
        """The one line that begins with 'error: '; an AssertionError if there is not exactly one."""
        lines = [line for line in self.text.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and "Traceback" not in self.text, self.text[-3000:]
        return lines[0]


def generator(name):
    """Random numbers of a test, the same in every session with the same EALN_FAULT_SEED."""
    return random.Random(f"{SEED} {name}")


def inject(kind, lost=0):
    """Count a fault that was injected, and what it cost beyond what is promised."""
    INJECTED[kind] += 1
    LOST[kind] += lost


def forked(work, *, seconds=None, change=None, folder=None, file_size=None, dies_of_size=False, whole_group=True):
    """Run ``work`` in a forked process, as the first work of a process of its own, and wait for its end.

    Args:
        work: called without arguments; what it returns is the exit code.
        seconds: kill the process (SIGKILL) after so many. change: kill it before its n-th change to a file or folder
            inside ``folder``, from 0. file_size: no file can grow beyond so many bytes: writing more fails as on a
            full disk or, with ``dies_of_size``, the system ends the process in the middle of that write.
        whole_group: whether ``seconds`` also kills the processes that it has started itself.
    Returns:
        Outcome
    """
    changes, (reading, writing_end), output = Shared(), os.pipe(), bytearray()
    os.set_blocking(reading, False)
    started = time.monotonic()
    sys.stdout.flush(), sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _child(work, writing_end, changes, change, folder, file_size, dies_of_size)
    os.close(writing_end)
    try:
        code = os.waitstatus_to_exitcode(_wait(process, seconds, whole_group, reading, output))
    finally:
        os.close(reading)
    return Outcome(
        code if code >= 0 else None, output.decode(errors="replace"), time.monotonic() - started, changes.value
    )


def _child(work, output, changes, change, folder, file_size, dies_of_size):
    code = 99
    try:
        os.setsid()
        os.dup2(output, 1), os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(output), "w", buffering=1) for _ in range(2))
        torch.set_num_threads(1)
        files._tidied.clear()  # as in a process that was just started
        # All forks share tqdm's own lock: one that is killed while it holds that would stop every later one.
        tqdm.set_lock(threading.RLock())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if folder is not None:
            sys.addaudithook(_counter_of_changes(os.path.realpath(folder), changes, change))
        if file_size is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies_of_size else signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        code = work() or 0
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _counter_of_changes(folder, changes, fatal):
    """An audit hook; Python calls it before each operation on a file."""

    def hook(event, arguments):
        if event == "open":
            relevant = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            relevant = event in _CHANGES
        if not relevant or not isinstance(arguments[0], (str, bytes)):
            return
        if os.path.abspath(os.fsdecode(arguments[0])).startswith(folder):
            if changes.value == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            changes.value += 1

    return hook


def _wait(process, seconds, whole_group, reading, output):
    """Wait for the end of a process, killing it in time, and of all that it started; returns its wait status.

    What it prints goes to ``output``; it comes through a pipe, which a limit on the size of files does not concern.
    """
    deadline = time.monotonic() + (PATIENCE if seconds is None else seconds)
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        _drain(reading, output)
        if found:
            break
        left = deadline - time.monotonic()
        if left <= 0:
            if seconds is None or whole_group:
                _signal(os.killpg, process)
            _signal(os.kill, process)
            _, status = os.waitpid(process, 0)
            assert seconds is not None, f"a process hung for {PATIENCE} seconds"
            break
        time.sleep(min(left, 0.005))
    end = time.monotonic() + 60
    while _signal(os.killpg, process, 0):  # what it has started ends by itself when it is gone
        if time.monotonic() > end:
            _signal(os.killpg, process)
            raise AssertionError("processes were left behind by a process that was killed")
        time.sleep(0.005)
    _drain(reading, output)
    return status


def _drain(reading, output):
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reading, 2**16):
            output += part


def _signal(send, process, number=signal.SIGKILL):
    try:
        send(process, number)
    except ProcessLookupError:
        return False
    return True
