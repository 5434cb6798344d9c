"""Requests to stop: Ctrl-C, SIGTERM, and who may answer them."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved its state; the message says how to go on."""


class StopRequest:
    """Whether someone asked to stop; true in an ``if`` from then on."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def __call__(self, number: int, frame: object) -> None:
        if self and number == signal.SIGINT:  # someone is waiting: do not wait for the step
            raise KeyboardInterrupt
        self.signal = number


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """A ``StopRequest`` fed by SIGINT and SIGTERM; the handlers are put back afterwards.

    A second SIGINT stops at once; SIGTERM may come several times, from whoever started the process and from its job.
    Outside the main thread signals cannot be caught and the request stays false.
    """
    request = StopRequest()
    with handled(request, signal.SIGINT, signal.SIGTERM):
        yield request


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], Any], *numbers: int) -> Iterator[None]:
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
