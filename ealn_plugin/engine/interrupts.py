"""Ctrl-C and SIGTERM without losing work: the step in progress is finished first."""
import contextlib
import signal
import threading


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved its state; the message says how to go on."""


class StopRequest:
    """Whether someone asked to stop; true in an ``if`` from then on."""

    def __init__(self):
        self.signal = None

    def __bool__(self):
        return self.signal is not None

    def __call__(self, number, frame):
        if self:  # asked twice: do not wait for the step
            raise KeyboardInterrupt
        self.signal = number


@contextlib.contextmanager
def stop_on_signals():
    """A ``StopRequest`` fed by SIGINT and SIGTERM; the handlers are put back afterwards.

    Outside the main thread signals cannot be caught and the request stays false.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
