"""ealn_plugin/benchmark/measuring.py"""

import mmap
import platform

import numpy as np
import pytest

from ealn_plugin.benchmark import measuring


class Bar:
    """A progress bar that draws nothing."""

    def refresh(self):
        pass


def test_memory_is_seen():
    """Of pages that the system has just given: malloc may hold freed ones, which would not count."""
    with measuring.PeakMemory(Bar()) as memory, mmap.mmap(-1, 2**26) as block:
        np.frombuffer(block, dtype=np.uint8)[:] = 1
    assert memory.peak_mib is None or memory.peak_mib > 50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc gives memory back in glibc's way only")
def test_freed_memory_is_returned():
    """Blocks below one that is in use, which malloc would keep."""
    blocks = [b"1" * 60_000 for _ in range(2000)]
    last = b"1" * 60_000
    del blocks
    before = measuring.resident_bytes()
    measuring.return_freed_memory()
    assert before - measuring.resident_bytes() > 50 * 2**20 and last


def test_the_machine_is_described():
    machine = measuring.machine()
    assert machine["cores"] >= 1 and machine["threads"] >= 1 and machine["torch"][0].isdigit()
