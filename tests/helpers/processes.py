"""Several gloo processes that tests share: starting them costs seconds, giving them a job does not."""

import contextlib
import io
import multiprocessing.connection
import os
import socket
import traceback

import torch
import torch.multiprocessing

from ealn_plugin.distributed.world import joined

PATIENCE = 600  # seconds for one job; some of the slow tests' take minutes on a busy machine


class Processes:
    """A pool of processes joined as torchrun would join them, each with one thread.

    Args:
        size: number of processes.
    """

    def __init__(self, size=2):
        self._size, self._ends, self._processes = size, [], []

    def _start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # A fork has everything imported already, but what has looked at a GPU cannot be forked.
        context = torch.multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
        ends = [context.Pipe() for _ in range(self._size)]
        self._ends = [here for here, _ in ends]
        self._processes = [
            context.Process(target=_serve, args=(rank, self._size, port, there), daemon=True)
            for rank, (_, there) in enumerate(ends)
        ]
        for process in self._processes:
            process.start()

    def run(self, job, *arguments, **options):
        """[what ``job(world, *arguments, **options)`` returned in each process]; ``job`` belongs to a module."""
        return [answer for _, answer in self._answers((job, arguments, options, False), check=True)]

    def end_with(self, job, *arguments, **options):
        """The last job: its errors end the processes as they would end a run.

        Returns:
            list of strings, the traceback of each process, or what the job returned.
        """
        return [answer for _, answer in self._answers((job, arguments, options, True), check=False)]

    def _answers(self, task, check):
        if not self._processes:
            self._start()
        for end in self._ends:
            end.send(task)
        answers = {}
        try:
            while len(answers) < self._size:
                ready = multiprocessing.connection.wait([end for end in self._ends if end not in answers], PATIENCE)
                assert ready, "a process does not answer"
                for end in ready:
                    answers[end] = torch.load(io.BytesIO(end.recv()), weights_only=False)
                    assert answers[end][0] or not check, answers[end][1]
        except BaseException:
            self.close(wait=0)  # the others may wait for one that failed; the next test gets new ones
            raise
        return [answers[end] for end in self._ends]

    def close(self, wait=20):
        """End the processes."""
        for end in self._ends:
            with contextlib.suppress(OSError):  # it has ended already
                end.send(None)
        for process in self._processes:
            process.join(wait)
            process.kill()
        self._ends, self._processes = [], []


def _serve(rank, size, port, end):
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with joined() as world:
        while True:
            task = end.recv()
            if task is None:
                return
            job, arguments, options, last = task
            try:
                _answer(end, True, job(world, *arguments, **options))
            except Exception:  # whatever a job raises is the test's to judge
                _answer(end, False, traceback.format_exc())
                if last:
                    raise


def _answer(end, ok, value):
    file = io.BytesIO()
    torch.save((ok, value), file)
    end.send(file.getvalue())
