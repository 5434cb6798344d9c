"""ealn_plugin/search/sharing.py: who takes which images, and that several processes build what one builds."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ealn_plugin.search.sharing import blocks
from tests.helpers.pages import ROOT

pytest.importorskip("lance")


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 9), st.integers(1, 5))
def test_every_image_is_taken_once_in_order_and_in_whole_batches(count, segment, batch_size, size):
    rounds = blocks(count, segment, batch_size, size)
    assert all(len(parts) == size for parts in rounds)
    rows = [part for parts in rounds for part in parts]
    assert np.concatenate([*rows, np.empty(0, int)]).tolist() == list(range(count))
    for parts in rounds:
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1 and max(lengths) < segment + batch_size
    for parts in rounds[:-1]:  # a process reads its images in one stream of batches
        assert all(len(part) % batch_size == 0 and len(part) >= segment for part in parts)


def test_three_processes_build_what_one_builds(tmp_path):
    """Even, uneven and empty shares, going on, an image that one process cannot read, and another network."""
    command = [sys.executable, "-m", "tests.helpers.shared_index", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
