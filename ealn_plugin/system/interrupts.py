"""Requests to stop: Ctrl-C, SIGTERM, and who may answer them."""

import contextlib
import signal
import threading

import torch


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved its state; the message says how to go on."""


class StopRequest:
    """Whether someone asked to stop; true in an ``if`` from then on."""

    def __init__(self):
        self.signal = None

    def __bool__(self):
        return self.signal is not None

    def __call__(self, number, frame):
        if self and number == signal.SIGINT:  # someone is waiting: do not wait for the step
            raise KeyboardInterrupt
        self.signal = number


@contextlib.contextmanager
def stop_on_signals():
    """A ``StopRequest`` fed by SIGINT and SIGTERM; the handlers are put back afterwards.

    A second SIGINT stops at once; SIGTERM may come several times, from whoever started the process and from its job.
    Outside the main thread signals cannot be caught and the request stays false.
    """
    request = StopRequest()
    with handled(request, signal.SIGINT, signal.SIGTERM):
        yield request


@contextlib.contextmanager
def handled(handler, *numbers):
    """Within it ``handler`` is called for these signals; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def ignore_interrupts(worker_id):
    """Leave requests to stop to the main process, even if they reach the whole process group: it finishes its step
    and saves. Workers end with it, since they watch their parent.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
