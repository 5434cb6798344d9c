"""ealn_plugin/benchmark/measuring.py"""
import mmap
import time

import numpy as np

from ealn_plugin.benchmark import measuring


class Bar:
    """A progress bar that draws nothing."""

    def refresh(self):
        pass


def test_memory_is_seen():
    """Of pages that the system has just given: malloc may hold freed ones, which would not count."""
    with measuring.PeakMemory(Bar()) as memory, mmap.mmap(-1, 2**26) as block:
        np.frombuffer(block, dtype=np.uint8)[:] = 1
        time.sleep(0.1)
    assert memory.peak_mib is None or memory.peak_mib > 50


def test_the_machine_is_described():
    machine = measuring.machine()
    assert machine["cores"] >= 1 and machine["threads"] >= 1 and machine["torch"][0].isdigit()
