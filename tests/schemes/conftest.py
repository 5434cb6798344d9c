"""Fixtures of the tests of the schemes."""

import pytest

from ealn_plugin.losses import selection
from tests.helpers.scheme_batches import FixedPairs


@pytest.fixture
def fixed_pairs(monkeypatch):
    """x_n and x_p are those of ``FixedPairs``, not drawn."""
    monkeypatch.setattr(selection, "select_negatives", FixedPairs.negatives)
    monkeypatch.setattr(selection, "select_positives", FixedPairs.positives)
