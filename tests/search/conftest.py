"""Fixtures of the tests of the search."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Only a power cut tells whether fsync was called, and it is half of these tests' time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
