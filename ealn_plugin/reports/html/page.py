"""From run folders to one HTML file that needs nothing else: no network, no scripts, no other file."""

import logging
import tempfile

from ealn_plugin.reports.html import pictures, recorded, settings
from ealn_plugin.reports.html.blocks import Note
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)

EXTRA, PACKAGES = "report", ("jinja2", "matplotlib")


def write_page(runs, path, store_folder, num_queries=4):
    """Write the page of some runs.

    Args:
        runs: what ``open_runs`` returned, at least one. path: of the HTML file.
        store_folder: features of the test images are kept there and used again.
        num_queries: queries on a sheet of ranked lists; 0: no sheet.
    Raises:
        OSError: the file cannot be written. RuntimeError: jinja2 or matplotlib is missing.
    """
    check_extra(EXTRA, PACKAGES, "reports")
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        sections = make_sections(runs, folder, store_folder, num_queries)
    write_atomically(path, render([run.label for run in runs], sections))


def make_sections(runs, folder, store_folder, num_queries):
    """All sections of the page in order.

    Args:
        folder: existing, for the figures; may be removed afterwards. Others as ``write_page``.
    """
    first = settings.overview(runs)
    first.blocks += [Note(run.unavailable, missing=True) for run in runs if run.unavailable]
    log.info("ranking the test images")
    report, failure = pictures.evaluated(runs, store_folder, num_queries)
    log.info("drawing")
    return [
        first,
        recorded.results(runs, report.results if report else {}),
        *pictures.retrieval(runs, report, failure, folder),
        recorded.curves(runs, folder),
        recorded.diagnostics(runs, folder),
        *pictures.generated(runs, folder),
        settings.settings(runs),
    ]


def render(labels, sections):
    """The page as text; every text in it is escaped.

    Args:
        labels: names of the runs. sections: list of Section; empty ones are left out.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ealn_plugin.reports", "html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html.jinja").render(
        labels=labels, sections=[section for section in sections if section.blocks]
    )
    # The names of folders may hold bytes that are no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
