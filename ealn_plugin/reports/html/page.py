"""From run folders to one HTML file that needs nothing else: no network, no scripts, no other file."""

import logging
import tempfile
from collections.abc import Sequence
from typing import Any

from ealn_plugin.reports.html import pictures, recorded, reliability, settings, summary
from ealn_plugin.reports.html.blocks import Note, Section
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.system.durations import Durations
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)

EXTRA, PACKAGES = "report", ("jinja2", "matplotlib")


def write_page(
    runs: Sequence[Any],
    path: str,
    store_folder: str,
    num_queries: int = 4,
    figures_folder: str = "",
    durations: Durations | None = None,
) -> None:
    """Write the page of some runs.

    Args:
        runs: what ``open_runs`` returned, at least one. path: of the HTML file.
        store_folder: features of the test images are kept there and used again.
        num_queries: queries on a sheet of ranked lists; 0: no sheet.
        figures_folder: figures are kept there and used again; '': they are drawn for this page alone, as are all
            where no run has its networks and its dataset. durations: is told how long the parts took.
    Raises:
        OSError: the file cannot be written. RuntimeError: jinja2 or matplotlib is missing.
    """
    check_extra(EXTRA, PACKAGES, "reports")
    durations = durations or Durations()
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        with durations.of("opening the runs"):
            alone = all(run.unavailable for run in runs)
        kept = KeptFigures(folder if alone or not figures_folder else figures_folder, durations)
        sections = make_sections(runs, store_folder, num_queries, kept, durations)
    write_atomically(path, render(summary.title_of(runs), summary.subtitle_of(runs), sections))


def make_sections(
    runs: Sequence[Any], store_folder: str, num_queries: int, kept: KeptFigures, durations: Durations
) -> list[Section]:
    """All sections of the page in order, the summary first.

    Args:
        kept: where figures are kept. Others as ``write_page``.
    """
    log.info("ranking the test images")
    with durations.of("features and ranking of the test images"):
        report, failure = pictures.evaluated(runs, store_folder, num_queries)
    first = summary.summary(runs, report.results if report else {})
    unavailable: list[Any] = [Note(run.unavailable, missing=True) for run in runs if run.unavailable]
    first.blocks += unavailable
    log.info("drawing")
    *generated, missing = pictures.generated(runs, kept)
    return [
        first,
        recorded.results(runs, report.results if report else {}),
        *pictures.retrieval(runs, report, failure, kept, num_queries),
        reliability.reliability(runs, store_folder, kept),
        *generated,
        recorded.diagnostics(runs, kept),
        recorded.curves(runs, kept),
        settings.overview(runs),
        settings.settings(runs),
        missing,
    ]


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The page as text; every text in it is escaped.

    Args:
        title, subtitle: of the page. sections: list of Section; empty ones are left out.
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
        title=title, subtitle=subtitle, sections=[section for section in sections if section.blocks]
    )
    # The names of folders may hold bytes that are no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
