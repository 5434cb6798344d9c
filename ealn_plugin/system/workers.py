"""What processes that work for another one have in common."""

import multiprocessing
import os
import threading


def core_count():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent():
    """Have this process end at once when the one that started it does, killed or not; else it would live on."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
