"""Several pieces of independent work at a time, each in a process of its own."""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from ealn_plugin.system.interrupts import handled
from ealn_plugin.system.messages import sentence
from ealn_plugin.system.workers import core_count, end_with_parent

log = logging.getLogger(__name__)

_STOPPED = 130
"""Exit code of a process that was asked to stop, as of every command line here."""


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


def run_jobs(jobs: Sequence[Job], processes: int, threads: int = 0) -> Iterator[str]:
    """Run all jobs, up to ``processes`` at a time, and yield the name of each as it is done.

    Small networks gain next to nothing from a second thread, so several of them train side by side in about the time
    of one. None of them outlives this one, however it ends; when it is asked
    to stop, or a job fails, the others are asked with SIGTERM and may save what they have.

    Args:
        jobs: list of Job, each behind the one that it waits for.
        processes: how many at a time, at least 1.
        threads: of each process; 0: the processes share the cores equally.
    Raises:
        ValueError: no process, a name that occurs twice, or a job ahead of the one that it waits for.
        RuntimeError: a job failed; the message names it and says what it said.
        KeyboardInterrupt: asked to stop.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}, expected at least 1")
    check_order(jobs)
    threads = threads or max(1, core_count() // processes)
    waiting, running, done = list(jobs), [], set()
    with handled(interrupt, signal.SIGTERM):
        try:
            while waiting or running:
                ready = [job for job in waiting if not job.after or job.after in done][: processes - len(running)]
                for job in ready:
                    waiting.remove(job)
                    running.append(_Process(job, threads))
                    running[-1].start()
                for process in _ended(running):
                    running.remove(process)
                    process.check()
                    done.add(process.job.name)
                    yield process.job.name
        finally:
            _stop([process for process in running if process.started])


def check_order(jobs: Sequence[Job]) -> None:
    """Refuse a name that occurs twice, and a job ahead of the one that it waits for.

    Raises:
        ValueError: one sentence.
    """
    names = set()
    for job in jobs:
        if job.name in names or job.after and job.after not in names:
            raise ValueError(
                f"job {job.name!r} is there twice, or ahead of {job.after!r} that it waits for; expected "
                "each once, behind that one"
            )
        names.add(job.name)


def interrupt(number: int, frame: object) -> NoReturn:
    """Answer a signal as Ctrl-C is answered."""
    raise KeyboardInterrupt


class _Process:
    """The process of one job, and what it said in the end."""

    def __init__(self, job: Job, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.job, (self._answer, self._there) = job, context.Pipe(duplex=False)
        self.process = context.Process(
            target=_work, args=(job.work, job.arguments, threads, self._there), name=job.name
        )

    def start(self) -> None:
        """Apart from its creation, so that an interrupt meanwhile finds it among those to stop."""
        self.process.start()
        self._there.close()

    @property
    def started(self) -> bool:
        """Whether there is a process to be stopped."""
        return self.process.pid is not None

    def check(self) -> None:
        """Raise unless the job came to its end."""
        self.process.join()
        said = ""
        with contextlib.suppress(EOFError, OSError):  # it was killed before it could say anything
            said = self._answer.recv()
        self._answer.close()
        if self.process.exitcode == 0:
            return
        if self.process.exitcode == _STOPPED:
            raise KeyboardInterrupt
        raise RuntimeError(
            f"{self.job.name}: "
            + (
                said
                or f"its process ended with code {self.process.exitcode} and "
                "said nothing; the same command goes on where it stopped"
            )
        )


def _ended(running: Sequence["_Process"]) -> list["_Process"]:
    """Those that have ended; waits for the first.

    It looks up every second: an interrupt by another thread, which is how Ray cancels, ends no system call.
    """
    ended: list[Any] = []
    while not ended:
        ended = multiprocessing.connection.wait([process.process.sentinel for process in running], timeout=1)
    return [process for process in running if process.process.sentinel in ended]


def _stop(running: Sequence["_Process"]) -> None:
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


def _work(work: Callable[..., Any], arguments: tuple[Any, ...], threads: int, answer: Any) -> None:
    """The life of a process."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the first process alone, which asks the others once
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        work(*arguments)
    except KeyboardInterrupt:
        raise SystemExit(_STOPPED) from None
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        log.debug("details", exc_info=True)
        answer.send(sentence(error))
        raise SystemExit(1) from None
