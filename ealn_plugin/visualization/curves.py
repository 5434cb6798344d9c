"""CMC curves of several networks in one figure, and the numbers they are drawn from."""

import textwrap

from ealn_plugin.system.files import write_csv
from ealn_plugin.visualization.style import COLOURS, DASHES, MARKERS, check_matplotlib, legend_label, save, tidy


def draw_cmc(path, title, curves, subtitle=""):
    """Draw CMC curves and write the figure as a PNG file.

    Args:
        path: of the PNG.
        title: says dataset and protocol; subtitle: smaller, below it.
        curves: {network: Measurement}; the curves may have different lengths.
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    check_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(7.2, 5.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for number, (network, measured) in enumerate(curves.items()):
        _draw_curve(axes, number, network, measured)
    length = max(len(measured.curve) for measured in curves.values())
    bottom = _bottom(min(_lowest(measured) for measured in curves.values()))
    axes.set_xlim(0.5, length + 0.5)
    axes.set_ylim(bottom, 100 + (100 - bottom) * 0.02)
    axes.set_xticks([1, *range(5, length + 1, 5)])
    axes.yaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_xlabel("rank k" + (f"      (the vertical axis starts at {bottom}%)" if bottom else ""))
    axes.set_ylabel("queries with a match among their first k")
    tidy(axes)
    axes.legend(loc="lower right", fontsize=9, framealpha=0.95, edgecolor="#cccccc")
    if any(measured.deviation for measured in curves.values()):
        subtitle += "; band: one standard deviation over the draws"
    figure.suptitle(title, fontsize=12, x=0.012, ha="left")
    axes.set_title(textwrap.fill(subtitle, 100), fontsize=9, color="#555555", loc="left")
    save(figure, path)


def write_cmc_csv(path, curves):
    """Write the numbers of the curves: a column per network, in [0, 1], and its standard deviation where it has one.

    Args:
        path: of the CSV file; curves: as ``draw_cmc``.
    """
    columns = {}
    for network, measured in curves.items():
        columns[network] = measured.curve
        if measured.deviation:
            columns[f"{network} (standard deviation)"] = measured.deviation
    length = max(len(values) for values in columns.values())
    write_csv(
        path,
        ["rank", *columns],
        (
            [rank + 1, *(values[rank] if rank < len(values) else "" for values in columns.values())]
            for rank in range(length)
        ),
    )


def _draw_curve(axes, number, network, measured):
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number % len(DASHES)]
    ranks = range(1, len(measured.curve) + 1)
    values = [100 * value for value in measured.curve]
    figures = f"rank 1 {100 * measured.metrics.get('rank1', measured.curve[0]):.1f}%"
    if "mAP" in measured.metrics:
        figures = f"mAP {100 * measured.metrics['mAP']:.1f}%, {figures}"
    axes.plot(
        ranks,
        values,
        color=colour,
        linestyle=dash,
        linewidth=1.8,
        marker=MARKERS[number % len(MARKERS)],
        markersize=4,
        markevery=[0, *range(4, len(values), 5)],
        label=legend_label(f"{network}  ({figures})"),
    )
    if measured.deviation:
        low, high = zip(
            *(
                (value - 100 * spread, min(100, value + 100 * spread))
                for value, spread in zip(values, measured.deviation)
            )
        )
        axes.fill_between(ranks, low, high, color=colour, alpha=0.18, linewidth=0)


def _lowest(measured):
    return 100 * (measured.curve[0] - (measured.deviation[0] if measured.deviation else 0))


def _bottom(lowest):
    """Where the vertical axis starts, in percent: 0, or a round number with some room below the lowest value."""
    return 0 if lowest < 50 else int(max(0, (lowest - 5) // 10 * 10))
