"""What all figures have in common: colours, quiet axes, PNG files written in one go."""

import textwrap

from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import replacing

# Okabe and Ito's colours, which colour-blind readers can tell apart, and three of Paul Tol's: one for every scheme.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#882255", "#999933", "#999999")
# A curve that lies on an earlier one lets it be seen through its gaps.
DASHES = ("solid", (0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
MARKERS = "osD^vP*X<>"


def check_matplotlib(otherwise=""):
    """Raise a RuntimeError with one sentence where matplotlib is not installed.

    Args:
        otherwise: what a user may do instead of installing it.
    """
    check_extra("figures", ("matplotlib",), "figures", otherwise)


def new_figure(width, height, title, subtitle=""):
    """A matplotlib Figure of the given size in inches with a title and, smaller, a subtitle above its axes.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130)
    top = 1 - 0.12 / height
    figure.text(0.12 / width, top, textwrap.fill(title, int(width * 12.5)), fontsize=12, va="top")
    lines = textwrap.fill(subtitle, int(width * 16.5))
    figure.text(0.12 / width, top - 0.27 / height, lines, fontsize=8.5, color="#555555", va="top")
    return figure


def header_height(width, subtitle):
    """Inches that the title of ``new_figure`` and its subtitle take."""
    return 0.5 + 0.16 * len(textwrap.wrap(subtitle, int(width * 16.5)))


def tidy(axes):
    """A pale grid behind the data, no frame above and to the right."""
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend_label(text):
    """A text as the label of a curve: matplotlib leaves labels that begin with an underscore out of the legend."""
    return f" {text}" if text.startswith("_") else text


def save(figure, path):
    """Write a figure as a PNG file, in one go.

    Its texts are taken as they are: in the names of runs a dollar sign is no beginning of a formula.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
