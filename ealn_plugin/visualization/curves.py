"""CMC curves of several networks in one figure, and the numbers they are drawn from."""
import csv
import importlib.util
import io
import textwrap

from ealn_plugin.writing import replacing, write_atomically

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
# A curve that lies on an earlier one lets it be seen through its gaps.
_DASHES = ("solid", (0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
_MARKERS = "osD^vP*"


def check_matplotlib():
    """Raise a RuntimeError with one sentence where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RuntimeError("matplotlib is not installed, but figures need it; install it with pip install -c "
                           "constraints.txt -e \".[figures]\", or leave the figures out with --no-figures")


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
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", fontsize=9, framealpha=0.95, edgecolor="#cccccc")
    if any(measured.deviation for measured in curves.values()):
        subtitle += "; band: one standard deviation over the draws"
    figure.suptitle(title, fontsize=12, x=0.012, ha="left")
    axes.set_title(textwrap.fill(subtitle, 100), fontsize=9, color="#555555", loc="left")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", *columns])
    for rank in range(max(len(values) for values in columns.values())):
        writer.writerow([rank + 1, *(values[rank] if rank < len(values) else "" for values in columns.values())])
    write_atomically(path, text.getvalue())


def _draw_curve(axes, number, network, measured):
    colour = _COLOURS[number % len(_COLOURS)]
    dash = _DASHES[number % len(_DASHES)]
    ranks = range(1, len(measured.curve) + 1)
    values = [100 * value for value in measured.curve]
    figures = f"rank 1 {100 * measured.metrics.get('rank1', measured.curve[0]):.1f}%"
    if "mAP" in measured.metrics:
        figures = f"mAP {100 * measured.metrics['mAP']:.1f}%, {figures}"
    axes.plot(ranks, values, color=colour, linestyle=dash, linewidth=1.8, marker=_MARKERS[number % len(_MARKERS)],
              markersize=4, markevery=[0, *range(4, len(values), 5)], label=f"{network}  ({figures})")
    if measured.deviation:
        low, high = zip(*((value - 100 * spread, min(100, value + 100 * spread))
                          for value, spread in zip(values, measured.deviation)))
        axes.fill_between(ranks, low, high, color=colour, alpha=0.18, linewidth=0)


def _lowest(measured):
    return 100 * (measured.curve[0] - (measured.deviation[0] if measured.deviation else 0))


def _bottom(lowest):
    """Where the vertical axis starts, in percent: 0, or a round number with some room below the lowest value."""
    return 0 if lowest < 50 else int(max(0, (lowest - 5) // 10 * 10))
