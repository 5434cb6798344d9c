"""Locks between processes: on an open file, gone with the process that holds them, and absent where there are none.

They are advisory (flock). On Windows, and on file systems without locks, nothing is locked and nothing fails.
"""

from collections.abc import Callable
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None


class HeldElsewhere(RuntimeError):
    """Another process holds the lock."""


def try_lock(file: IO | int) -> bool:
    """Lock an open file (or its descriptor) if nobody else has it.

    Returns:
        True: it is locked until ``unlock``, or until every process that has this open file has closed it.
        False: there are no locks here.
    Raises:
        HeldElsewhere: another process has it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HeldElsewhere("another process holds the lock") from None
    except OSError:  # a file system without locks
        return False
    return True


def wait_for_lock(file: IO | int, on_wait: Callable[[], None] = lambda: None) -> bool:
    """Lock an open file, waiting for whoever has it.

    Args:
        on_wait: called once before waiting, to tell the user why nothing happens.
    Returns:
        whether it is locked; False where there are no locks.
    """
    try:
        return try_lock(file)
    except HeldElsewhere:
        on_wait()
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def unlock(file: IO | int) -> None:
    """Give the lock back although other processes may have the file open, too; without locks nothing happens."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_UN)
