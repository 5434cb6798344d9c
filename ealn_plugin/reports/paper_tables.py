"""What a grid of runs says: means over seeds, paired differences to EN with their intervals, Tables I, II and III."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ealn_plugin.config.scheme_names import NAMES
from ealn_plugin.reports.published import PUBLISHED
from ealn_plugin.runs.folder import primary_protocol

ABLATION = ("en", "hard", "view", "hard_view")


OTHER_VIEWS = ("en", "cyclegan", "stargan", "view", "hard_cyclegan", "hard_stargan", "hard_view")


VIEW_PROTOCOLS = ("same_view", "cross_view", "all_views")


SINGLE = (("mAP", "mAP"), ("rank 1", "rank1"), ("rank 5", "rank5"))


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds and, from two seeds on, half the width of its 95% interval (Student's t); in [0, 1]."""

    mean: float
    half_width: float
    count: int


def estimate(values: Iterable[float]) -> Estimate:
    """The Estimate of a list of numbers; an empty list has the mean NaN."""
    values = np.asarray(list(values), dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()) if len(values) else math.nan, math.nan, len(values))
    spread = values.std(ddof=1) / math.sqrt(len(values))
    return Estimate(float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * spread), len(values))


class Grid:
    """The results of a grid.

    Args:
        results: {(scheme, seed): content of results.json}.
    """

    def __init__(self, results: Mapping[tuple[str, int], dict[str, Any]]) -> None:
        self.results = dict(results)
        self.seeds = sorted({seed for _, seed in self.results})
        self.schemes = list(dict.fromkeys(scheme for scheme, _ in self.results))
        first = next(iter(self.results.values()))
        self.dataset, self.protocol = primary_protocol(first)

    def values(self, scheme: str, protocol: str, metric: str) -> dict[int, float]:
        """{seed: value} of one cell."""
        values = {}
        for seed in self.seeds:
            results = self.results.get((scheme, seed), {"datasets": {}})
            value = results["datasets"].get(self.dataset, {}).get(protocol, {}).get(metric)
            if value is not None:
                values[seed] = value
        return values

    def mean(self, scheme: str, protocol: str, metric: str) -> Estimate:
        """Estimate over the seeds."""
        return estimate(self.values(scheme, protocol, metric).values())

    def difference(self, scheme: str, protocol: str, metric: str, baseline: str = "en") -> Estimate:
        """Estimate of the paired differences, seed by seed, to ``baseline``."""
        own, base = self.values(scheme, protocol, metric), self.values(baseline, protocol, metric)
        return estimate([own[seed] - base[seed] for seed in own if seed in base])


# ---------------------------------------------------------------------------------------------- tables
def tables(grid: Grid) -> dict[str, list[dict[str, str]]]:
    """{title: rows} of Tables I, II and III; a row is {column: text}, cells of which nothing is known are left out.

    Figures are percentages, mean over the seeds ± half the 95% interval; columns ending in "- EN" are the mean of the
    differences, seed by seed, to EN.
    """
    primary = [(title, grid.protocol, metric) for title, metric in SINGLE]
    by_view = [(name.replace("_", " "), name, "mAP") for name in VIEW_PROTOCOLS]
    making = [*primary, ("cross view", "cross_view", "mAP")]
    others = [scheme for scheme in grid.schemes if scheme not in (*ABLATION, *OTHER_VIEWS)]
    name = f"{grid.dataset}, {grid.protocol}"
    return {
        f"Table I: {name}": measured_rows(grid, (*ABLATION, *others), primary, ("mAP",)) + _published(grid, primary),
        f"Table II: {grid.dataset}, mAP by view": (
            measured_rows(grid, (*ABLATION, *others), by_view, [title for title, *_ in by_view])
            + _published(grid, by_view)
        ),
        f"Table III: {name}, ways to make the other view": measured_rows(
            grid, OTHER_VIEWS, making, ("mAP", "cross view")
        ),
    }


def measured_rows(
    grid: Grid,
    schemes: Sequence[str],
    columns: Sequence[tuple[str, str, str]],
    compared: Collection[str],
    names: Mapping[str, str] = NAMES,
) -> list[dict[str, str]]:
    """Rows of a table: means over the seeds, and the differences to EN.

    Args:
        grid: Grid. schemes: in the order of the rows; those that the grid does not hold are left out.
        columns: list of (title, protocol, metric). compared: titles that get a column of differences.
        names: {scheme: what the table calls it}.
    Returns:
        list of {column: text}
    """
    rows = []
    for scheme in schemes:
        if scheme not in grid.schemes:
            continue
        row = {
            "network": names.get(scheme, scheme),
            "source": f"measured, {len(grid.values(scheme, *columns[0][1:]))} seed(s)",
        }
        row.update({title: _text(grid.mean(scheme, protocol, metric)) for title, protocol, metric in columns})
        row.update(
            {
                f"{title} - EN": "" if scheme == "en" else _text(grid.difference(scheme, protocol, metric), "+")
                for title, protocol, metric in columns
                if title in compared
            }
        )
        rows.append(row)
    return rows


def _published(grid: Grid, columns):
    rows = {}
    for entry in PUBLISHED:
        for title, protocol, metric in columns:
            if grid.dataset in entry.datasets and entry.protocol == protocol and metric in entry.metrics:
                row = rows.setdefault(entry.network, {"network": entry.network, "source": "published"})
                row[title] = f"{100 * entry.metrics[metric]:.1f}"
    return list(rows.values())


def _text(value, sign: str = ""):
    if not value.count:
        return ""
    number = f"{100 * value.mean:{sign}.1f}"
    return number if math.isnan(value.half_width) else f"{number} ± {100 * value.half_width:.1f}"


def as_text(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A table as aligned text."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns] + [[row.get(column, "") for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    body = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, body[0], "-" * len(body[0]), *body[1:]])


def as_markdown(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A table in Markdown; published rows are in italics."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [f"**{title}**", "", "| " + " | ".join(columns) + " |", "|---|---|" + "---:|" * (len(columns) - 2)]
    for row in rows:
        mark = "*" if row["source"] == "published" else ""
        cells = [row.get(column, "") for column in columns]
        lines.append("| " + " | ".join(f"{mark}{cell}{mark}" if cell else "" for cell in cells) + " |")
    return "\n".join(lines)
