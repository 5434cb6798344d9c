"""The paper's Table I and Fig. 4 of a grid of runs: EALN beside the systems that it is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin.evaluation.measure import Measurement
from ealn_plugin.reports.paper_tables import SINGLE, Grid, measured_rows
from ealn_plugin.reports.published import PUBLISHED

PIXELS = "pixels"
_PRINTED = (
    ("VeRI-776 mAP, published", "veri776", "veri_image", "mAP"),
    ("rank 1, published", "veri776", "veri_image", "rank1"),
    ("VehicleID small mAP, published", "vehicleid", "vehicleid_map", "mAP"),
)
"""Columns of what others published: (title, dataset, protocol, metric)."""


def table_one(
    grid: Grid, rows: Sequence[str], labels: Mapping[str, str], uses: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Rows of Table I: measured means over the seeds with their intervals, and what was published beside them.

    Args:
        grid: Grid whose schemes are the rows' names. rows: in the order of the table.
        labels: {row: what the table calls it}.
        uses: {row: what it makes the feature of a test image of beyond its pixels}.
    Returns:
        list of {column: text}; figures are percentages. The published ones are of photographs and of other backbones:
        they stand in columns of their own, whatever the grid's dataset is.
    """
    primary = [(title, grid.protocol, metric) for title, metric in SINGLE]
    table = []
    for row in rows:
        measured = measured_rows(grid, [row], primary, ("mAP",), labels)
        for cells in measured:
            used = " + ".join((PIXELS, *uses.get(row, ())))
            table.append({**_head(cells), "uses": used, **_tail(cells), **published_cells(row)})
    return table


def _head(cells):
    return {name: cells[name] for name in ("network", "source")}


def _tail(cells):
    return {name: text for name, text in cells.items() if name not in ("network", "source")}


def published_cells(row: str) -> dict[str, str]:
    """{column: percentage} of what was published of a row, '' where nothing was, or was not checked."""
    cells = {title: "" for title, *_ in _PRINTED}
    for entry in PUBLISHED:
        for title, dataset, protocol, metric in _PRINTED:
            if entry.row == row and dataset in entry.datasets and entry.protocol == protocol:
                cells[title] = f"{100 * entry.metrics[metric]:.1f}" if metric in entry.metrics else cells[title]
    return cells


def cmc_curves(grid: Grid, rows: Sequence[str], labels: Mapping[str, str]) -> dict[str, Measurement]:
    """{label: Measurement} of Fig. 4: each row's CMC, the mean over its seeds at every rank that its runs have kept."""
    curves = {}
    for row in rows:
        found = _metrics(grid, row)
        if not found:
            continue
        ranks = sorted(int(name[4:]) for name in found[0] if name.startswith("rank") and name[4:].isdigit())
        length = next((at for at, rank in enumerate(ranks) if rank != at + 1), len(ranks))
        names = ["mAP", *(f"rank{rank}" for rank in ranks[:length])]
        means = {name: sum(one[name] for one in found) / len(found) for name in names}
        curves[labels.get(row, row)] = Measurement(means, tuple(means[name] for name in names[1:]))
    return curves


def _metrics(grid: Grid, row: str) -> list[dict[str, Any]]:
    """The primary protocol's metrics of each seed."""
    found = []
    for seed in grid.seeds:
        results = grid.results.get((row, seed), {"datasets": {}})
        found.append(results["datasets"].get(grid.dataset, {}).get(grid.protocol))
    return [metrics for metrics in found if metrics]
