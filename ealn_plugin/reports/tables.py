"""Results as rows, and the rows as text for a terminal, as Markdown and as CSV."""

import csv
import io
import re
from dataclasses import dataclass

from ealn_plugin.reports.published import PUBLISHED

MEASURED, UNTRAINED, PUBLISHED_ROW = "measured", "untrained", "published"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        dataset, protocol, network: names.
        kind: 'measured', 'untrained' (the same network before training) or 'published'.
        metrics: {"mAP": float in [0, 1], "rank1": ..., "mAP_std": ...}; what is missing leaves a blank cell.
    """

    dataset: str
    protocol: str
    network: str
    kind: str
    metrics: dict


def rows_of(results):
    """Rows of several networks, those of one dataset and protocol together.

    Args:
        results: {network: {"datasets": {dataset: {protocol: metrics}}, "untrained": the same}}, the shape of
            results.json.
    Returns:
        list of Row, datasets and protocols in the order of their first appearance.
    """
    tasks = {}
    for content in results.values():
        for dataset, by_protocol in content["datasets"].items():
            tasks.update({(dataset, protocol): None for protocol in by_protocol})
    datasets = list(dict.fromkeys(dataset for dataset, _ in tasks))
    rows = []
    for dataset, protocol in sorted(tasks, key=lambda task: datasets.index(task[0])):
        for network, content in results.items():
            for kind, key in ((MEASURED, "datasets"), (UNTRAINED, "untrained")):
                metrics = content.get(key, {}).get(dataset, {}).get(protocol)
                if metrics:
                    rows.append(Row(dataset, protocol, network, kind, metrics))
    return rows


def published_rows(dataset, protocol):
    """The published Rows for a dataset and a protocol; few have any."""
    return [
        Row(dataset, protocol, entry.network, PUBLISHED_ROW, entry.metrics)
        for entry in PUBLISHED
        if dataset in entry.datasets and protocol == entry.protocol
    ]


def cells_of(rows):
    """The rows and the published ones behind each protocol's last, as text cells in percent.

    Returns:
        (header, list of (Row, cells)); the first four cells are dataset, protocol, network and kind.
    """
    keys = _metrics(rows)
    return _cells(None, keys), [(row, _cells(row, keys)) for row in _with_published(rows)]


def text_table(rows):
    """The rows as aligned text, in percent; published rows follow the measured ones of their protocol."""
    header, found = cells_of(rows)
    body = [cells for _, cells in found]
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(len(header))]
    lines, before = [_line(header, widths), "-" * (sum(widths) + 2 * len(widths) - 2)], body[0][:2]
    for cells in body:
        if cells[:2] != before:
            lines.append("")
        before = cells[:2]
        lines.append(_line(cells, widths))
    return "\n".join(lines)


def markdown_table(rows):
    """The rows as a Markdown table, in percent; published rows are in italics and say so in the column 'source'."""
    header, found = cells_of(rows)
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * 4 + "---:|" * (len(header) - 4)]
    for row, cells in found:
        cells = [cell.replace("|", r"\|") for cell in cells]
        if row.kind == PUBLISHED_ROW:
            cells[2:] = [f"*{cell}*" if cell else "" for cell in cells[2:]]
        elif row.kind == MEASURED:
            cells[2] = f"**{cells[2]}**"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def csv_table(rows):
    """The rows as CSV, values in [0, 1] with all their digits; without published rows."""
    keys = [
        f"{key}{suffix}"
        for key in _metrics(rows)
        for suffix in ("", "_std")
        if any(f"{key}{suffix}" in row.metrics for row in rows)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "protocol", "network", "kind", *keys])
    for row in rows:
        writer.writerow([row.dataset, row.protocol, row.network, row.kind, *(row.metrics.get(key, "") for key in keys)])
    return text.getvalue()


def _line(cells, widths):
    """Names to the left, numbers to the right of their columns."""
    return "  ".join(
        cell.ljust(width) if column < 4 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths))
    ).rstrip()


def _with_published(rows):
    """The same rows, those published for a dataset and protocol behind the last of its own."""
    result = []
    for number, row in enumerate(rows):
        result.append(row)
        following = rows[number + 1] if number + 1 < len(rows) else None
        if following is None or (following.dataset, following.protocol) != (row.dataset, row.protocol):
            result += published_rows(row.dataset, row.protocol)
    return result


def _metrics(rows):
    """Column keys: mAP, the ranks in order, mINP, and whatever else there is."""
    keys = dict.fromkeys(key for row in rows for key in row.metrics if not key.endswith("_std"))
    ranks = sorted((key for key in keys if re.fullmatch(r"rank\d+", key)), key=lambda key: int(key[4:]))
    known = [key for key in ("mAP", *ranks, "mINP") if key in keys]
    return known + [key for key in keys if key not in known]


def _cells(row, keys):
    """The text cells of a row, or of the header where row is None."""
    if row is None:
        return ["dataset", "protocol", "network", "source", *(re.sub(r"^rank(\d+)$", r"rank \1", key) for key in keys)]
    return [
        row.dataset,
        row.protocol,
        row.network,
        row.kind,
        *(_percent(row.metrics.get(key), row.metrics.get(f"{key}_std")) for key in keys),
    ]


def _percent(value, deviation):
    if value is None:
        return ""
    return f"{100 * value:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")
