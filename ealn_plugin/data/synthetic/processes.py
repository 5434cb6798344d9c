"""Rendering shared between processes: tasks go out, results come back as they are finished."""

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from concurrent import futures

import cv2

from ealn_plugin.system.workers import end_with_parent


def render_tasks(painter: type, arguments: tuple, tasks: list, processes: int) -> Iterator[tuple]:
    """Have tasks rendered, in this process or by several others.

    Args:
        painter: class whose instances have a method `render(task)`; each process makes one.
        arguments: tuple, of the class.
        tasks: list of what `render` takes.
        processes: how many; 1 renders here.

    Returns:
        Iterator of (task number, what `render` returned), in the order in which they are finished; it raises the first
        failure of a worker.
    """
    run = _sequential if processes == 1 else _parallel
    return run(painter, arguments, tasks, processes)


@contextlib.contextmanager
def _one_opencv_thread():
    """Switch OpenCV's thread pool off; a process forked while it runs would wait for threads that it does not have."""
    threads = cv2.getNumThreads()
    if threads != 1:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        if threads != 1:
            cv2.setNumThreads(threads)


def _sequential(painter, arguments, tasks, processes):
    with _one_opencv_thread():
        worker = painter(*arguments)
        for index, task in enumerate(tasks):
            yield index, worker.render(task)


def _parallel(painter, arguments, tasks, processes):
    # Forked workers start at once; spawned ones would import the whole package with torch. All are forked here, before
    # the progress bar starts its thread.
    method = "fork" if sys.platform.startswith("linux") else "spawn"
    pool = futures.ProcessPoolExecutor(
        processes, multiprocessing.get_context(method), _start_worker, (painter, *arguments)
    )
    with _one_opencv_thread():
        waiting = {pool.submit(_render_task, task): index for index, task in enumerate(tasks)}
    return _collect(pool, waiting)


def _collect(pool, waiting):
    try:
        for future in futures.as_completed(waiting):
            yield waiting[future], future.result()
    except futures.process.BrokenProcessPool as error:
        raise RuntimeError(
            "a rendering process ended unexpectedly (out of memory, or killed, or the calling script "
            "has no 'if __name__ == \"__main__\"' guard): run again with fewer processes."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker = None


def _start_worker(painter, *arguments):
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    end_with_parent()
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    _worker = painter(*arguments)


def _render_task(task):
    return _worker.render(task)
