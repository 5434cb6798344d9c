"""Several pieces of independent work at a time, each in a process of its own."""
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass

import torch

from ealn_plugin.cli import sentence
from ealn_plugin.workers import core_count, end_with_parent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: its own, for messages; each name occurs once.
        work, arguments: what is called in the process; both are pickled.
        after: name of the job that has to be done before, or ''.
    """

    name: str
    work: object
    arguments: tuple = ()
    after: str = ""


def run_jobs(jobs, processes):
    """Run all jobs, up to ``processes`` at a time, and yield the name of each as it is done.

    Small networks gain next to nothing from a second thread, so several of them train side by side in about the time
    of one. The processes share the cores equally. None of them outlives this one, however it ends; when it is asked
    to stop, or a job fails, the others are asked with SIGTERM and may save what they have.

    Args:
        jobs: list of Job, each behind the one that it waits for.
        processes: how many at a time, at least 1.
    Raises:
        RuntimeError: a job failed; the message names it and says what it said.
        KeyboardInterrupt: asked to stop.
    """
    threads = max(1, core_count() // processes)
    waiting, running, done = list(jobs), [], set()
    try:
        with _interrupted_by_sigterm():
            while waiting or running:
                ready = [job for job in waiting if not job.after or job.after in done][:processes - len(running)]
                for job in ready:
                    waiting.remove(job)
                    running.append(_Process(job, threads))
                for process in _ended(running):
                    running.remove(process)
                    process.check()
                    done.add(process.job.name)
                    yield process.job.name
    finally:
        _stop(running)


class _Process:
    """The process of one job, and what it said in the end."""

    def __init__(self, job, threads):
        context = multiprocessing.get_context("spawn")
        self.job, (self._answer, there) = job, context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(job.work, job.arguments, threads, there), name=job.name)
        self.process.start()
        there.close()

    def check(self):
        """Raise unless the job came to its end."""
        self.process.join()
        said = ""
        with contextlib.suppress(EOFError, OSError):  # it was killed before it could say anything
            said = self._answer.recv()
        self._answer.close()
        if self.process.exitcode == 0:
            return
        if said.startswith("stopped"):
            raise KeyboardInterrupt
        raise RuntimeError(f"{self.job.name}: " + (said or f"its process ended with code {self.process.exitcode} and "
                                                   "said nothing; the same command goes on where it stopped"))


def _ended(running):
    """Those that have ended; waits for the first."""
    ended = multiprocessing.connection.wait([process.process.sentinel for process in running])
    return [process for process in running if process.process.sentinel in ended]


def _stop(running):
    """Ask them to end, wait for them; asked to stop while waiting, kill them."""
    for process in running:
        process.process.terminate()
    try:
        for process in running:
            process.process.join()
    except KeyboardInterrupt:
        for process in running:
            process.process.kill()
        raise


def _work(work, arguments, threads, answer):
    """The life of a process."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the first process alone, which asks the others once
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        work(*arguments)
    except KeyboardInterrupt:
        answer.send("stopped")
        raise SystemExit(130) from None
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        log.debug("details", exc_info=True)
        answer.send(sentence(error))
        raise SystemExit(1) from None


@contextlib.contextmanager
def _interrupted_by_sigterm():
    """Within it SIGTERM is what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number, frame):
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
