"""Stand-in releases, as for the tests of the datasets."""

from tests.data.conftest import fresh_tables, make_vehicleid

__all__ = ["fresh_tables", "make_vehicleid"]
