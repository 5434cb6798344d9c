"""Fixtures of the tests of reports."""

import pytest

from ealn_plugin.reports.html import open_runs
from tests.helpers.run_folders import make_folder, record_training


@pytest.fixture
def runs(tmp_path):
    """Two runs that differ in scheme and alpha; the first recorded its training."""
    first = make_folder(tmp_path / "hard_view", "ealn.alpha", 0.5)
    record_training(first)
    return open_runs([str(first), str(make_folder(tmp_path / "en", "ealn.scheme", "en"))])
