"""Fixtures of the tests of exports."""

import pytest

from tests.helpers.networks import make_run


@pytest.fixture(scope="session")
def tiny_run():
    """A run with cross views."""
    return make_run()
