"""How far probabilities can be trusted: each against the share of hits that show the same vehicle."""

from collections.abc import Sequence

from ealn_plugin.visualization.style import COLOURS, header_height, new_figure, save, tidy

_SIZE = 5.0


def draw_reliability(path: str, title: str, shares: Sequence[Sequence[float]], error: float) -> None:
    """Draw a reliability diagram and write it as a PNG file.

    Args:
        path: of the PNG. title: what the hits are of.
        shares: [mean probability, share of same vehicles, hits] for each bin. error: their mean distance, in [0, 1].
    Raises:
        RuntimeError: matplotlib is missing. OSError: the file cannot be written.
    """
    hits = sum(int(count) for *_, count in shares)
    subtitle = f"{hits:,} hits of vehicles that were not fitted; {100 * error:.1f} points off"
    above = header_height(_SIZE, subtitle) + 0.2
    figure = new_figure(_SIZE, _SIZE + above, title, subtitle)
    axes = figure.subplots()
    height = _SIZE + above
    figure.subplots_adjust(left=0.14, right=0.97, bottom=0.6 / height, top=1 - above / height)
    tidy(axes)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    axes.plot([mean for mean, *_ in shares], [share for _, share, _ in shares], color=COLOURS[0], marker="o")
    for mean, share, count in shares:
        axes.annotate(f"{int(count):,}", (mean, share), (4, -11), textcoords="offset points", fontsize=7, color="0.4")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability that is shown", ylabel="share of same vehicles")
    save(figure, path)
