"""Sections from what the runs wrote while they trained: tables of results, curves, diagnostics; without a dataset."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin import visualization
from ealn_plugin.data.files import RENDERED_NOTE
from ealn_plugin.engine.monitoring.observer import read_table
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.reports import tables
from ealn_plugin.reports.html.blocks import Charts, Group, Line, Note, Section, Table, embed_picture
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.reports.names import file_name
from ealn_plugin.reports.plain_names import DIAGNOSTICS, GROUPS, group_of, kind_name, plain_name
from ealn_plugin.reports.tables import PUBLISHED_ROW
from ealn_plugin.runs.folder import rendered_datasets

log = logging.getLogger(__name__)

_SHARES = ("probe_auc", "eq4_lower", "eq4_upper", "eq5", "eq9", "eq10", "twin", "inside_negatives", "change_variety")


# ---------------------------------------------------------------------------------------------- results
def results(runs: Sequence[Any], measured: Mapping[str, Any]) -> Section:
    """Section: a table per dataset and protocol, the published rows of the same protocol below.

    Args:
        runs: list of ReportedRun. measured: {label: content of results.json} of what was evaluated just now, for runs
            that recorded nothing.
    """
    contents = {}
    for run in runs:
        contents[run.label] = run.results or measured.get(run.label)
        contents[f"{run.label}, without fusion"] = {"datasets": run.own_results} if run.own_results else None
    rows = tables.rows_of({label: content for label, content in contents.items() if content})
    if not rows:
        return Section(
            "results",
            "Results",
            [Note("None of the runs has results yet: results.json is written when a run ends.", missing=True)],
        )
    blocks: list[Any] = []
    rendered, order = _rendered(runs), list(PROTOCOLS)
    tasks = dict.fromkeys((row.dataset, row.protocol) for row in rows)
    for task in sorted(tasks, key=lambda task: order.index(task[1]) if task[1] in order else len(order)):
        header, lines = tables.cells_of([row for row in rows if (row.dataset, row.protocol) == task])
        if rendered:  # no yardstick here
            lines = [(row, cells) for row, cells in lines if row.kind != PUBLISHED_ROW]
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
                "checked."
            ),
        )
    if rendered:
        blocks.insert(0, Note(rendered))
    blocks.insert(0, Note("Values are percentages; ± is the standard deviation over draws, where a protocol draws."))
    return Section("results", "Results", blocks)


def _rendered(runs: Sequence[Any]) -> str:
    """A sentence on the runs whose datasets are rendered, or ''."""
    if any(run.own_config.ealn.render.preset or rendered_datasets(run.folder) for run in runs):
        return f"The dataset holds {RENDERED_NOTE}."
    return ""


# ---------------------------------------------------------------------------------------------- curves
def curves(runs: Sequence[Any], kept: KeptFigures) -> Section:
    """Section: every value of the training steps, in groups, a small plot for each with a curve per run.

    Args:
        runs: list of ReportedRun. kept: where the plots are kept.
    """
    curves = {}
    for run in runs:
        for name, curve in run.scalars(run.scalar_names()).items():
            curves.setdefault(name, {})[run.label] = curve
    without = [run.label for run in runs if not run.scalar_names()]
    blocks = (
        [
            Note(
                "Each point is the mean over the steps since the one before. The sum of all terms is not comparable "
                "between schemes: adversarial schemes add terms of their own."
            )
        ]
        if curves
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
    labels = [run.label for run in runs]
    names = sorted(curves)

    def draw(_: Any, folder: str) -> list[str]:
        return [
            _chart(folder, f"curve_{name}", plain_name(name), curves[name], _unit(name), names=labels) for name in names
        ]

    files = dict(zip(names, kept.fetch("training curves", runs, draw, networks=False) if names else ()))
    groups: list[Any] = []
    for title, _ in GROUPS:
        chosen = [name for name in names if group_of(name) == title]
        charts = tuple(
            embed_picture(
                files[name],
                f"Curve over the training steps: {plain_name(name)} ({name}) of {', '.join(curves[name])}",
                photographs=False,
            )
            for name in chosen
        )
        groups += [Group(f"{title} ({len(charts)})", (Charts(charts),))] if charts else []
    return Section("curves", "Training curves", blocks + groups, f"{len(curves)} values in {len(groups)} groups")


def _unit(name):
    return {"loss": "loss", "distance": "distance"}.get(name.partition("/")[0], "value")


def _chart(folder: str, stem: str, title: str, by_run: Mapping[str, Any], unit: str, **options: Any) -> str:
    path = os.path.join(folder, f"{file_name(stem)}.png")
    visualization.draw_series(path, title, by_run, unit, **options)
    return path


# ---------------------------------------------------------------------------------------------- diagnostics
def diagnostics(runs: Sequence[Any], kept: KeptFigures) -> Section:
    """Section: the lines of diagnostics.csv, a group for each kind of generated image with a curve per run in its
    plots, and the last lines.

    Args:
        runs: list of ReportedRun. kept: where the plots are kept.
    """
    by_kind: dict[str, dict[str, Any]] = {}
    last, without = {}, []
    for run in runs:
        rows = _numbers(run)
        if not rows:
            without.append(run.label)
        for column in dict.fromkeys(column for row in rows for column in row if "/" in column):
            kind, _, name = column.partition("/")
            epochs, values = zip(*((row["epoch"], row.get(column, math.nan)) for row in rows))
            by_kind.setdefault(kind, {}).setdefault(name, {})[run.label] = (epochs, values)
            title, meaning = DIAGNOSTICS.get(name, (name, ""))
            line = Line((*([run.label] if len(runs) > 1 else []), f"{title}: {meaning}", f"{values[-1]:.3f}"))
            last.setdefault(kind, []).append(line)
    blocks: list[Any] = []
    if by_kind:
        blocks.append(Note("Measured on a fixed set of test images after each epoch in which generators learn."))
    columns = [(kind, name) for kind, found in by_kind.items() for name in found]
    labels = [run.label for run in runs]

    def draw(_: Any, folder: str) -> list[str]:
        return [_diagnostic_chart(folder, kind, name, by_kind[kind][name], labels) for kind, name in columns]

    files = dict(zip(columns, kept.fetch("diagnostics", runs, draw, networks=False) if columns else ()))
    for kind, found in by_kind.items():
        header = (*(["run"] if len(runs) > 1 else []), "after the last epoch", "value")
        table = Table("", header, tuple(last[kind]), names=len(header) - 1)
        charts = tuple(
            embed_picture(files[kind, name], _alt(kind, name, found[name]), photographs=False) for name in found
        )
        blocks.append(Group(kind_name(kind), (table, Charts(charts))))
    if without:
        blocks.append(
            Note(
                f"No diagnostics of {', '.join(without)}: there is no diagnostics.csv, which runs with "
                "generators write when ealn.diagnose_every is not 0.",
                missing=True,
            )
        )
    kinds = ", ".join(kind_name(kind).lower() for kind in by_kind)
    return Section("diagnostics", "Do the generated images teach anything?", blocks, kinds)


def _diagnostic_chart(folder: str, kind: str, name: str, by_run: Mapping[str, Any], labels: Sequence[str]) -> str:
    (title, meaning), is_share = DIAGNOSTICS.get(name, (name, "")), name in _SHARES
    return _chart(
        folder,
        f"diagnostics_{kind}_{name}",
        title,
        by_run,
        "share" if is_share else "value",
        along="epoch",
        largest=1.0 if is_share else None,
        subtitle=meaning,
        names=labels,
    )


def _alt(kind: str, name: str, by_run: Mapping[str, Any]) -> str:
    title, meaning = DIAGNOSTICS.get(name, (name, ""))
    what = f"Diagnostics of {kind_name(kind).lower()} over the epochs: {title} ({name})"
    return f"{what}, {meaning}, of {', '.join(by_run)}"


def _numbers(run: Any):
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
