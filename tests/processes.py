"""Several gloo processes that tests share: starting them costs seconds, giving them a job does not."""
import io
import multiprocessing.connection
import os
import socket
import traceback

import torch
import torch.multiprocessing

from ealn_plugin.engine.distributed import joined

PATIENCE = 120


class Processes:
    """A pool of processes joined as torchrun would join them, each with one thread.

    Args:
        size: number of processes.
    """

    def __init__(self, size=2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = torch.multiprocessing.get_context("spawn")
        self._ends = [context.Pipe() for _ in range(size)]
        self._processes = [context.Process(target=_serve, args=(rank, size, port, end[1]), daemon=True)
                           for rank, end in enumerate(self._ends)]
        for process in self._processes:
            process.start()

    def run(self, job, *arguments, **options):
        """[what ``job(world, *arguments, **options)`` returned in each process]; ``job`` belongs to a module."""
        for end, _ in self._ends:
            end.send((job, arguments, options))
        answers = {}
        while len(answers) < len(self._ends):
            ready = multiprocessing.connection.wait([end for end, _ in self._ends if end not in answers], PATIENCE)
            assert ready, "a process does not answer"
            for end in ready:
                ok, answers[end] = torch.load(io.BytesIO(end.recv()), weights_only=False)
                assert ok, answers[end]
        return [answers[end] for end, _ in self._ends]

    def close(self):
        """End the processes."""
        for (end, _), process in zip(self._ends, self._processes):
            end.send(None)
            process.join(20)
            process.kill()


def _serve(rank, size, port, end):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port))
    torch.set_num_threads(1)
    with joined() as world:
        while True:
            task = end.recv()
            if task is None:
                return
            job, arguments, options = task
            try:
                answer = True, job(world, *arguments, **options)
            except Exception:  # whatever a job raises is the test's to judge
                answer = False, traceback.format_exc()
            file = io.BytesIO()
            torch.save(answer, file)
            end.send(file.getvalue())
