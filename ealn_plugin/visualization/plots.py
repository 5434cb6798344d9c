"""Plots of numbers: distance histograms, sensitivity to beta1 and beta2, curves over a training."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ealn_plugin.visualization.style import (
    COLOURS,
    DASHES,
    MARKERS,
    header_height,
    legend_label,
    new_figure,
    save,
    tidy,
)


def _panels(title: str, subtitle: str, count, width: float = 5.0, height: float = 3.6, share_y: bool = False):
    """A figure with ``count`` axes side by side below its title."""
    full = width * count
    above = header_height(full, subtitle) + 0.2
    figure = new_figure(full, height + above, title, subtitle)
    axes = figure.subplots(1, count, squeeze=False, sharey=share_y)[0]
    figure.subplots_adjust(
        left=0.72 / full,
        right=1 - 0.15 / full,
        bottom=0.5 / (height + above),
        top=1 - above / (height + above),
        wspace=0.22,
    )
    for panel in axes:
        tidy(panel)
    return figure, axes


# ---------------------------------------------------------------------------------------------- histograms
def histogram(values: Any, largest: float, bins: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the values in equal bins from 0 to ``largest``: (edges [bins + 1], shares [bins], sum 1)."""
    counts, edges = np.histogram(np.clip(values, 0, largest), bins=bins, range=(0, largest))
    return edges, counts / max(counts.sum(), 1)


def right_end(panels: Mapping[str, Mapping[str, Any]], step: float = 0.5) -> float:
    """Where the axis of histograms ends: the largest of all values, rounded up to a multiple of ``step``."""
    return step * np.ceil(max(float(np.max(values)) for groups in panels.values() for values in groups.values()) / step)


def draw_histograms(path: str, title: str, subtitle: str, panels: Mapping[str, Mapping[str, Any]], unit: str) -> None:
    """Draw distributions of distances and write them as a PNG file.

    Args:
        path: of the PNG. title, subtitle: text.
        panels: {panel title: {name: array of distances}}; all panels have the same axis, from 0 to ``right_end``.
        unit: what the distance is.
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    figure, axes = _panels(title, subtitle, len(panels))
    largest = right_end(panels)
    for panel, (name, groups) in zip(axes, panels.items()):
        top = _top([100 * histogram(values, largest)[1].max() for values in groups.values()])
        for number, (label, values) in enumerate(groups.items()):
            edges, shares = histogram(values, largest)
            colour = COLOURS[number % len(COLOURS)]
            panel.stairs(100 * shares, edges, color=colour, fill=True, alpha=0.18)
            panel.stairs(
                100 * shares,
                edges,
                color=colour,
                linewidth=1.4,
                linestyle=DASHES[number % len(DASHES)],
                label=f"{label}: mean {np.mean(values):.2f}, n = {len(values)}",
            )
            towering = np.flatnonzero(100 * shares > top)
            if len(towering):  # one label for all of them: bars beside each other leave no room for two
                heights = ", ".join(f"{100 * shares[place]:.0f}%" for place in towering)
                panel.text(edges[towering[-1] + 1], 0.97 * top, f" {heights}", color=colour, fontsize=8, va="top")
        panel.set_xlim(0, largest)
        panel.set_ylim(0, top)
        panel.set_title(name, fontsize=9.5, loc="left")
        panel.set_xlabel(unit)
        panel.set_ylabel("share of all in a bin [%]")
        panel.legend(fontsize=8, framealpha=0.9, edgecolor="#cccccc")
    save(figure, path)


def _top(peaks):
    """Upper end of an axis on which one towering bar does not hide the others."""
    peaks = sorted(peaks)
    return 1.08 * (peaks[-1] if len(peaks) < 2 or peaks[-1] < 2.5 * peaks[-2] else 1.25 * peaks[-2])


# ---------------------------------------------------------------------------------------------- sensitivity
class Setting(NamedTuple):
    """mAP in [0, 1] of the runs of one setting: mean and standard deviation (NaN for one run), and their number."""

    beta1: float
    beta2: float
    mean: float
    deviation: float
    runs: int


def sensitivity_table(results: Iterable[tuple[float, float, float]]) -> list[Setting]:
    """Repeated settings brought together.

    Args:
        results: list of (beta1, beta2, mAP in [0, 1]); one entry per run.
    Returns:
        list of Setting, in order.
    """
    runs = {}
    for beta1, beta2, value in results:
        runs.setdefault((float(beta1), float(beta2)), []).append(float(value))
    return [
        Setting(  # type: ignore[call-arg]
            *key,
            float(np.mean(values)),
            float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
            len(values),
        )
        for key, values in sorted(runs.items())
    ]


def draw_sensitivity(
    path: str,
    results: Sequence[tuple[float, float, float]],
    title: str = "Sensitivity to beta1 and beta2",
    reference: float | None = None,
) -> None:
    """Draw mAP against beta1, a line per beta2, and the other way round where both vary; write it as a PNG file.

    Single points of settings beside such lines are left out: the other panel has them.

    Args:
        path: of the PNG. results: list of (beta1, beta2, mAP in [0, 1]); several runs of one setting give a mean and
            a bar of one standard deviation. title: text.
        reference: mAP in [0, 1] of the network without hard negatives, drawn as a line; None: not known.
    Raises:
        ValueError: there are no results. RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    table = sensitivity_table(results)
    if not table:
        raise ValueError("there are no results, expected a list of (beta1, beta2, mAP); train some runs first")
    values = [100 * row.mean for row in table] + ([100 * reference] if reference is not None else [])
    low, high = min(values), max(values)
    room = max(0.15 * (high - low), 0.5)
    subtitle = f"mAP of {sum(row.runs for row in table)} runs; the vertical axis does not start at 0"
    if any(row.runs > 1 for row in table):
        subtitle += "; bars: one standard deviation over runs of the same setting"
    swept = [(along, 1 - along) for along in (0, 1) if len({row[along] for row in table}) > 1] or [(0, 1)]
    figure, axes = _panels(title, subtitle, len(swept), width=5.0 if len(swept) > 1 else 6.5, share_y=True)
    for panel, (along, across) in zip(axes, swept):
        lines = {
            fixed: [row for row in table if row[across] == fixed] for fixed in sorted({row[across] for row in table})
        }
        longest = max(map(len, lines.values()))
        for number, (fixed, rows) in enumerate(lines.items()):
            if len(rows) == 1 < longest:
                continue
            _draw_settings(panel, rows, along, number, f"beta{across + 1} = {fixed:g}")
        if reference is not None:
            panel.axhline(
                100 * reference, color="#777777", linewidth=1, linestyle="dotted", label="without hard negatives"
            )
        panel.set_xticks(sorted({row[along] for row in table}))
        panel.set_xlabel(f"beta{along + 1}")
        panel.set_ylabel("mAP [%]")
        panel.set_ylim(max(0, low - room), min(100, high + room))
        panel.legend(fontsize=8, framealpha=0.9, edgecolor="#cccccc")
    save(figure, path)


def _draw_settings(panel: Any, rows: Sequence[Any], along: int, number: int, label: str) -> None:
    """One line of settings over the margin ``along``, with bars where a setting has several runs."""
    colour = COLOURS[number % len(COLOURS)]
    panel.plot(
        [row[along] for row in rows],
        [100 * row.mean for row in rows],
        color=colour,
        markersize=5,
        marker=MARKERS[number % len(MARKERS)],
        linestyle=DASHES[number % len(DASHES)],
        label=label,
    )
    several = [row for row in rows if row.runs > 1]
    panel.errorbar(
        [row[along] for row in several],
        [100 * row.mean for row in several],
        yerr=[100 * row.deviation for row in several],
        capsize=3,
        color=colour,
        fmt="none",
    )


# ---------------------------------------------------------------------------------------------- curves over a training
_FEW = 20
_CROWD = 4  # more curves than this need room for their legend


def draw_losses(path: str, title: str, subtitle: str, curves: Mapping[str, Mapping[str, tuple[Any, Any]]]) -> None:
    """Draw losses over the steps of several runs, a panel for each loss; write them as a PNG file.

    Args:
        path: of the PNG. title, subtitle: text.
        curves: {loss: {run: (steps, values)}}.
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    figure, axes = _panels(title, subtitle, len(curves), width=4.4)
    names = list(dict.fromkeys(run for by_run in curves.values() for run in by_run))
    for panel, (loss, by_run) in zip(axes, curves.items()):
        _draw_series(panel, by_run, names, "step")
        panel.set_title(loss, fontsize=9.5, loc="left")
    axes[0].set_ylabel("loss")
    save(figure, path)


def draw_series(
    path: str,
    title: str,
    by_run: Mapping[str, tuple[Any, Any]],
    unit: str,
    along: str = "step",
    largest: float | None = None,
    subtitle: str = "",
    names: Sequence[str] = (),
) -> None:
    """Draw one number over the training of several runs and write it as a small PNG file.

    Args:
        path: of the PNG. title, subtitle: text.
        by_run: {run: (steps, values)}; values that are NaN are left out.
        unit: what the vertical axis counts; it starts at 0, or below the smallest value where that is negative.
        along: what the horizontal axis counts. largest: where the vertical axis ends; None: above the largest value.
        names: all runs of which other charts beside this one may show some; each keeps its colour.
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    figure, (axes,) = _panels(title, subtitle, 1, height=3.0)
    _draw_series(axes, by_run, list(names or by_run), along, largest)
    axes.set_ylabel(unit)
    save(figure, path)


def _draw_series(axes, by_run: Mapping[str, tuple[Any, Any]], names, along, largest=None) -> None:
    """Curves with the colours that their runs have in ``names``, below the legend of many; the few points of a short
    one are marked.
    """
    smallest, highest = 0.0, 0.0
    for run, (steps, values) in by_run.items():
        number = names.index(run)
        axes.plot(
            *_with_gaps(steps, values),
            color=COLOURS[number % len(COLOURS)],
            linewidth=1.3,
            label=legend_label(run),
            linestyle=DASHES[number % len(DASHES)],
            markersize=3.5,
            marker=MARKERS[number % len(MARKERS)] if len(steps) <= _FEW else "",
        )
        finite = [value for value in values if np.isfinite(value)]
        smallest, highest = min([smallest, *finite]), max([highest, *finite])
    crowded = len(by_run) > _CROWD
    low, high = (0, 1.08 * highest) if smallest == 0 else axes.get_ylim()
    if largest is not None:
        high = 1.03 * largest
    axes.set_ylim(low, high + 0.12 * -(-len(by_run) // 2) * crowded * (high - low) or None)
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(along)
    legend = dict(fontsize=7, loc="upper center", ncols=2) if crowded else dict(fontsize=8)
    axes.legend(**legend, framealpha=0.9, edgecolor="#cccccc")


def _with_gaps(steps, values):
    """The curve with a NaN where nothing was recorded for a while: no line is drawn across an epoch without it."""
    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    breaks = np.flatnonzero(np.diff(steps) > 1.9 * np.median(np.diff(steps))) + 1 if len(steps) > 2 else []
    return np.insert(steps, breaks, np.nan), np.insert(values, breaks, np.nan)
