"""One self-contained HTML page that shows how runs went."""

from ealn_plugin.reports.html.page import EXTRA, PACKAGES, write_page
from ealn_plugin.reports.html.reported_run import open_runs

__all__ = ["EXTRA", "PACKAGES", "open_runs", "write_page"]
