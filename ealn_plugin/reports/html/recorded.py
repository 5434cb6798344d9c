"""Sections from what the runs wrote while they trained: tables of results, curves, diagnostics; without a dataset."""

import logging
import math
import os

from ealn_plugin import visualization
from ealn_plugin.engine.monitoring.observer import read_table
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.reports import tables
from ealn_plugin.reports.html.blocks import Charts, Line, Note, Section, Table, embed_picture
from ealn_plugin.reports.names import file_name
from ealn_plugin.reports.tables import PUBLISHED_ROW

log = logging.getLogger(__name__)

_GROUPS = (
    ("loss/E", "Losses of the embedding network"),
    ("loss/G", "Losses of the generators"),
    ("loss/D", "Losses of the discriminators"),
    ("distance/", "Mean distances in a batch"),
    ("", "Other values"),
)

DIAGNOSTICS = {
    "probe_auc": "how well a line tells generated from real embeddings: 1 is the shortcut, 0.5 cannot tell",
    "eq4_lower": "share of hard negatives nearer than beta1 (Eq. 4)",
    "eq4_upper": "share of hard negatives not beta2 nearer than real negatives (Eq. 4)",
    "eq5": "share of active hinges that push hard negatives away (Eq. 5)",
    "eq9": "share of other views not alpha nearer than real negatives (Eq. 9)",
    "eq10": "share of active hinges that push other views away (Eq. 10)",
    "distance": "mean d(x, G(x))",
    "nearest_negative": "mean distance to the nearest image of another vehicle",
    "inside_negatives": "share of generated images nearer than every other vehicle",
    "positive": "mean distance to other images of the vehicle",
    "change": "mean change of a pixel, images span 2; 0: a copy",
    "output_variety": "variety of the outputs as a share of the inputs'; 0: always one picture",
    "change_variety": "share of the change that differs between inputs; 0: always the same change",
}
"""What the columns of diagnostics.csv mean; see evaluation/diagnostics.py."""
_SHARES = ("probe_auc", "eq4_lower", "eq4_upper", "eq5", "eq9", "eq10", "inside_negatives", "change_variety")


# ---------------------------------------------------------------------------------------------- results
def results(runs, measured):
    """Section: a table per dataset and protocol, the published rows of the same protocol below.

    Args:
        runs: list of ReportedRun. measured: {label: content of results.json} of what was evaluated just now, for runs
            that recorded nothing.
    """
    found = {}
    for run in runs:
        found[run.label] = run.results or measured.get(run.label)
        found[f"{run.label}, without fusion"] = {"datasets": run.own_results} if run.own_results else None
    rows = tables.rows_of({label: content for label, content in found.items() if content})
    if not rows:
        return Section(
            "results",
            "Results",
            [Note("None of the runs has results yet: results.json is written when a run ends.", missing=True)],
        )
    blocks = []
    order = list(PROTOCOLS)
    tasks = dict.fromkeys((row.dataset, row.protocol) for row in rows)
    for task in sorted(tasks, key=lambda task: order.index(task[1]) if task[1] in order else len(order)):
        header, lines = tables.cells_of([row for row in rows if (row.dataset, row.protocol) == task])
        name = PROTOCOLS[task[1]].description if task[1] in PROTOCOLS else "a protocol of another version"
        blocks.append(
            Table(
                f"{task[0]}, {task[1]}: {name}.",
                tuple(header[2:]),
                tuple(Line(tuple(cells[2:]), row.kind) for row, cells in lines),
                names=2,
            )
        )
    if any(line.kind == PUBLISHED_ROW for table in blocks for line in table.lines):
        blocks.insert(
            0,
            Note(
                "Rows marked published are the figures of the methods' authors on the original release, "
                "under the protocol that comes nearest to theirs; blank cells were not published or not "
                f"checked.{_rendered(runs)}"
            ),
        )
    blocks.insert(0, Note("Values are percentages; ± is the standard deviation over draws, where a protocol draws."))
    return Section("results", "Results", blocks)


def _rendered(runs):
    if any(run.own_config.ealn.render.preset for run in runs):
        return " A rendered benchmark is not that release: here they are no yardstick."
    return ""


# ---------------------------------------------------------------------------------------------- curves
def curves(runs, folder):
    """Section: every value of the training steps, a small plot for each with a curve per run.

    Args:
        runs: list of ReportedRun. folder: existing, for the plots.
    """
    found = {}
    for run in runs:
        for name, curve in run.scalars(run.scalar_names()).items():
            found.setdefault(name, {})[run.label] = curve
    without = [run.label for run in runs if not run.scalar_names()]
    blocks = (
        [
            Note(
                "Each point is the mean over the steps since the one before. The sum of all terms is not comparable "
                "between schemes: adversarial schemes add terms of their own."
            )
        ]
        if found
        else []
    )
    if without:
        blocks.append(
            Note(
                f"No training curves of {', '.join(without)}: there is no TensorBoard events file beside "
                "config.yaml; copy it into the run folder.",
                missing=True,
            )
        )
    names = sorted(found)
    for start, title in _GROUPS:
        chosen = [name for name in names if name.startswith(start)]
        names = [name for name in names if name not in chosen]
        charts = tuple(
            _chart(
                folder,
                f"curve_{name}",
                name,
                found[name],
                _unit(name),
                f"Curve over the training steps: {name} of {', '.join(found[name])}",
                names=[run.label for run in runs],
            )
            for name in chosen
        )
        blocks += [Note(f"{title}."), Charts(charts)] if charts else []
    return Section("curves", "Training curves", blocks)


def _unit(name):
    return {"loss": "loss", "distance": "distance"}.get(name.partition("/")[0], "value")


def _chart(folder, stem, title, by_run, unit, alt, **options):
    path = os.path.join(folder, f"{file_name(stem)}.png")
    visualization.draw_series(path, title, by_run, unit, **options)
    return embed_picture(path, alt, photographs=False, least=0)


# ---------------------------------------------------------------------------------------------- diagnostics
def diagnostics(runs, folder):
    """Section: the lines of diagnostics.csv as plots, a curve per run and kind of generated image, and the last ones.

    Args:
        runs: list of ReportedRun. folder: existing, for the plots.
    """
    found, last, without = {}, [], []
    for run in runs:
        rows = _numbers(run)
        if not rows:
            without.append(run.label)
        for column in dict.fromkeys(column for row in rows for column in row if "/" in column):
            kind, _, name = column.partition("/")
            epochs, values = zip(*((row["epoch"], row.get(column, math.nan)) for row in rows))
            found.setdefault(name, {})[f"{run.label}: {kind}"] = (epochs, values)
            last.append(Line((run.label, kind, name, f"{values[-1]:.3f}", DIAGNOSTICS.get(name, ""))))
    blocks = []
    if found:
        names = list(dict.fromkeys(name for by_run in found.values() for name in by_run))
        blocks = [
            Note("Measured on a fixed set of test images after each epoch in which generators learn."),
            Charts(tuple(_diagnostic_chart(folder, name, by_run, names) for name, by_run in found.items())),
            Table(
                "The last line of each run",
                ("run", "generated", "name", "value", "meaning"),
                tuple(last),
                names=3,
                folded=True,
            ),
        ]
    if without:
        blocks.append(
            Note(
                f"No diagnostics of {', '.join(without)}: there is no diagnostics.csv, which runs with "
                "generators write when ealn.diagnose_every is not 0.",
                missing=True,
            )
        )
    return Section("diagnostics", "Do the generated images teach anything?", blocks)


def _diagnostic_chart(folder, name, by_run, names):
    meaning, is_share = DIAGNOSTICS.get(name, ""), name in _SHARES
    return _chart(
        folder,
        f"diagnostics_{name}",
        name,
        by_run,
        "share" if is_share else "value",
        f"Diagnostics over the epochs: {name}, {meaning}, of {', '.join(by_run)}",
        along="epoch",
        largest=1.0 if is_share else None,
        subtitle=meaning,
        names=names,
    )


def _numbers(run):
    """diagnostics.csv as a list of {column: float}; cells that are empty or no numbers are left out."""
    rows = []
    try:
        table = read_table(run.folder)
    except (OSError, ValueError) as error:
        log.warning("diagnostics.csv of %s cannot be read: %s", run.label, error)
        return rows
    for line in table:
        row = {}
        for column, cell in line.items():
            try:
                row[column] = float(cell)
            except (TypeError, ValueError):
                continue
        if "epoch" in row:
            rows.append(row)
    return rows
