"""Table I whole: ealn reproduce --table 1"""

import argparse
import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.config import NAMES
from ealn_plugin.data.files import RENDERED_NOTE
from ealn_plugin.evaluation.measure import Measurement
from ealn_plugin.reports import paper_tables as grids
from ealn_plugin.reports.table_one import cmc_curves, table_one
from ealn_plugin.runs import grid as reproduction
from ealn_plugin.runs.compared import in_order, plan_rows, uses_of
from ealn_plugin.runs.folder import rendered_datasets
from ealn_plugin.runs.grid import GridCell
from ealn_plugin.system.cli import start_log
from ealn_plugin.system.files import write_atomically
from ealn_plugin.visualization import check_matplotlib, draw_cmc, write_cmc_csv

log = logging.getLogger("reproduce")

USES_NOTE = (
    "uses: what the feature of a test image is made of. Intervals: 95%, over the seeds (Student's t). Published "
    "figures are of photographs, with other backbones and budgets."
)


def run_table(args: argparse.Namespace, flags: Mapping[str, Any]) -> None:
    """Run what is missing of the rows, print and write Table I and Fig. 4.

    Args:
        args: of ``reproduce``. flags: as ``load_config``.
    """
    options = [*reproduction.PRESETS[args.preset], *args.opts]
    config = configuration.load_config(args.config_file, options, training=True, **flags)
    cells = plan_rows(args.out, args.rows, args.seeds, options, config)
    uses = {cell.scheme: uses_of(configuration.load_config(args.config_file, cell.options, **flags)) for cell in cells}
    start_log(args.out, "reproduce.log")
    processes = reproduction.runs_at_a_time(args.jobs, cells, config.use_gpu)
    results = reproduction.execute_all(cells, args.config_file, processes, **flags)
    grid = grids.Grid({(cell.scheme, cell.seed): found for cell, found in zip(cells, results)})
    labels = {cell.scheme: cell.label for cell in cells}
    write_table(args.out, grid, in_order(args.rows), labels, uses, sorted(_rendered(cells)))


def _rendered(cells: Sequence[GridCell]) -> set[str]:
    return {name for cell in cells for name in rendered_datasets(cell.folder)}


def write_table(
    out: str,
    grid: grids.Grid,
    rows: Sequence[str],
    labels: Mapping[str, str],
    uses: Mapping[str, Sequence[str]],
    rendered: Sequence[str] = (),
) -> None:
    """table_one.md, table_one.csv, fig4_cmc.csv and, with matplotlib, fig4_cmc.png; the table on the screen.

    Args:
        out: folder. grid, rows, labels, uses: as ``table_one``. rendered: names of datasets that are rendered.
    """
    table = table_one(grid, rows, labels, uses)
    title = f"Table I: {grid.dataset}, {grid.protocol}"
    notes = [USES_NOTE, *(f"{name}: {RENDERED_NOTE}" for name in rendered)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(os.path.join(out, "table_one.csv"), text.getvalue())
    write_atomically(os.path.join(out, "table_one.md"), "\n\n".join([grids.as_markdown(title, table), *notes]) + "\n")
    log.info("\n%s\n\n%s", grids.as_text(title, table), "\n".join(notes))
    draw_figure_four(out, grid, cmc_curves(grid, rows, {**NAMES, **labels}))


def draw_figure_four(out: str, grid: grids.Grid, curves: Mapping[str, Measurement]) -> None:
    """The CMC curves of all rows, fig4_cmc.csv and fig4_cmc.png; without matplotlib the numbers alone."""
    write_cmc_csv(os.path.join(out, "fig4_cmc.csv"), curves)
    try:
        check_matplotlib("use the numbers in fig4_cmc.csv")
    except RuntimeError as error:
        log.warning("Fig. 4 is not drawn: %s", error)
        return
    path = os.path.join(out, "fig4_cmc.png")
    draw_cmc(path, f"{grid.dataset}, {grid.protocol}", curves, f"mean over {len(grid.seeds)} seed(s)")
    log.info("\ncurves: %s", path)
