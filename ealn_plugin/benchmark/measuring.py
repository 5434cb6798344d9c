"""What the benchmarks share: the machine they ran on, and the memory they took."""

import contextlib
import ctypes
import os
import platform
import threading
import time
from typing import Any

import numpy as np
import torch

SAMPLING_SECONDS = 0.005


class PeakMemory:
    """Context that watches the resident memory of this process and keeps a progress bar's clock going.

    Attributes:
        peak_mib: highest value above that at entry, in MiB; None where the system does not tell.
    """

    def __init__(self, bar: Any) -> None:
        self.bar, self._done = bar, threading.Event()
        self.peak_mib: float | None = None

    def __enter__(self) -> "PeakMemory":
        self._start = self._peak = resident_bytes()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        if self._start is not None:
            self.peak_mib = (max(self._peak, resident_bytes()) - self._start) / 2**20

    def _watch(self) -> None:
        refreshed = time.monotonic()
        while not self._done.wait(SAMPLING_SECONDS):
            if self._start is not None:
                self._peak = max(self._peak, resident_bytes())
            if time.monotonic() - refreshed > 1:
                refreshed = time.monotonic()
                self.bar.refresh()


def return_freed_memory() -> None:
    """Have malloc give back what was freed, so that it does not hide what is taken next; nothing without glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int | None:
    """Memory of this process that lies in RAM, in bytes; None on systems without /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def machine() -> dict[str, Any]:
    """What a reader needs to know of the computer to judge the figures."""
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), processor)
    except OSError:
        pass
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
