"""What processes that work for another one have in common."""

import functools
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import signal
import threading
from typing import Any


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent(*ends: Any) -> None:
    """Have this process end at once when the one that started it does, killed or not; else it would live on.

    Args:
        ends: connections on which that process may also say that it is about to end.
    """
    waited_for = [multiprocessing.parent_process().sentinel, *ends]
    threading.Thread(target=_end_after, args=(waited_for,), daemon=True).start()


def _end_after(waited_for):
    multiprocessing.connection.wait(waited_for)
    os._exit(0 if multiprocessing.parent_process().is_alive() else 1)


def data_worker_start() -> Any:
    """The ``worker_init_fn`` of every loader here: a function of the worker's number, for any start method.

    Workers leave requests to stop to the main process, even those that reach the whole process group: it finishes its
    step and saves. So they ignore SIGTERM, which is also what Python ends its daemonic processes with before it waits
    for them; therefore they end when this process, on its way out, says so.
    """
    return functools.partial(_start_data_worker, _LEAVING.seen())


def _start_data_worker(leaving, worker_id):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    import torch  # the command lines that only count cores do without

    torch.set_num_threads(1)
    end_with_parent(leaving)


class _Leaving:
    """Tells the data workers of this process that it is about to end."""

    def __init__(self):
        self._process: int | None = None
        self._ends: Any = None

    def seen(self):
        """The connection on which something can be read from then on; nobody reads it, so all workers see it."""
        if self._process != os.getpid():  # none yet, or that of the process that this one was forked from
            self._process, self._ends = os.getpid(), multiprocessing.Pipe(duplex=False)
            # Python runs this before it waits for the daemonic processes, however the program ended.
            multiprocessing.util.Finalize(None, self._say, exitpriority=100)
        return self._ends[0]

    def _say(self):
        if self._process == os.getpid():
            self._ends[1].send_bytes(b"leaving")


_LEAVING = _Leaving()


def leave_requests_to_stop(loader: Any) -> None:
    """Have the workers of a loader that somebody else made start as ``data_worker_start`` says, where it has no own."""
    if loader.worker_init_fn is None:
        loader.worker_init_fn = data_worker_start()


def end_workers(loader: Any) -> None:
    """End the processes that a loader with ``persistent_workers`` keeps, which otherwise live as long as any trace of
    an error in them.
    """
    iterator = getattr(loader, "_iterator", None)  # torch has no public way to it
    if iterator is not None and hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()
        loader._iterator = None
