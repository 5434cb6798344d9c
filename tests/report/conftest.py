"""Fixtures of the tests of reports."""

import pytest
from run_folders import make_folder, record_training

from ealn_plugin.report import open_runs


@pytest.fixture
def runs(tmp_path):
    """Two runs that differ in scheme and alpha; the first recorded its training."""
    first = make_folder(tmp_path / "hard_view", "ealn.alpha", 0.5)
    record_training(first)
    return open_runs([str(first), str(make_folder(tmp_path / "en", "ealn.scheme", "en"))])
