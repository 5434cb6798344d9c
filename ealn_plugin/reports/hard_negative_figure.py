"""Figure 5: inputs beside their hard negatives, with the region that changed most and the distances."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from ealn_plugin import visualization
from ealn_plugin.data.viewpoints import View
from ealn_plugin.reports.exhibits import HARD
from ealn_plugin.reports.picture_figures import runs_with, stem_of
from ealn_plugin.system.files import write_csv
from ealn_plugin.visualization.sheets import Tile, crop, most_changed, to_picture

_COLUMNS = (
    "vehicle",
    "view",
    "image",
    "d_generated",
    "d_real",
    "d_nearest_negative",
    "mean_change",
    "box_top",
    "box_left",
    "box_height",
    "box_width",
)


@dataclass(frozen=True)
class HardNegative:
    """One input and its hard negative in numbers.

    Attributes:
        vehicle, view, image: of the input.
        d_generated: d(x, G(x)). d_real: mean distance to the vehicle's other images. d_nearest_negative: distance to
            the nearest image of another vehicle, NaN where there is none.
        mean_change: mean |G(x) - x|, images in [-1, 1].
        box: (top, left, height, width) of the most changed region, in pixels.
    """

    vehicle: int
    view: str
    image: str
    d_generated: float
    d_real: float
    d_nearest_negative: float
    mean_change: float
    box: tuple

    def row(self) -> list[Any]:
        """The values of ``_COLUMNS``."""
        *values, box = astuple(self)
        return [*values, *box]


def draw_hard_negatives(runs: Sequence[Any], out: str, vehicles: int = 4) -> list[str]:
    """Inputs beside their hard negatives, the most changed region enlarged, and the distances.

    Args:
        runs: list of ExhibitedRun. out: existing folder. vehicles: how many of them at most.
    Returns:
        list of the paths of PNG files, one for each run with hard negatives.
    Raises:
        FigureUnavailable: no run has any.
    """
    paths = []
    for run in runs_with(runs, HARD, "hard negatives"):
        shown = [row for pair in run.rows_by_vehicle(vehicles) for row in pair]
        measured = [_measured(run, row) for row in shown]
        stem = stem_of(out, 5, "hard_negatives", run)
        visualization.draw_sheet(
            f"{stem}.png",
            f"Hard negatives of {run.label}",
            _summary(run),
            ["input", "hard negative", "enlarged: input", "hard negative", "what changed"],
            [_tiles(run, row, values) for row, values in zip(shown, measured)],
            [
                f"vehicle {values.vehicle}, {values.view}\nd(x, G(x)) = {values.d_generated:.2f}\n"
                f"d_real = {values.d_real:.2f}\nnearest other\nvehicle: {values.d_nearest_negative:.2f}"
                for values in measured
            ],
        )
        write_csv(f"{stem}.csv", list(_COLUMNS), [values.row() for values in measured])
        paths.append(f"{stem}.png")
    return paths


def _summary(run):
    """How to read figure 5, and its distances over all fixed images."""
    made, views = run.generated[HARD], run.fixed.views[run.generated[HARD].anchor]
    means = [
        f"d(x, G(x)) of {view.name.lower()} images {float(made.distance[views == view].mean()):.2f}"
        for view in (View.FRONT, View.REAR)
        if (views == view).any()
    ] or [f"d(x, G(x)) {float(made.distance.mean()):.2f}"]
    real = float(run.apart[run.same].mean())
    return (
        f"Means over {len(views)} test images: {', '.join(means)}, d_real {real:.2f}. d: {run.distance} distance; "
        "d_real: input to the vehicle's other images. What changed: |G(x) - x|, stretched, white for no change. "
        "Vehicles taken evenly from all, not by outcome"
    )


def _measured(run, row):
    """The HardNegative of the fixed image ``row``."""
    made, apart = run.generated[HARD], run.apart[row]
    place = made.place(row)
    others = run.fixed.pids != run.fixed.pids[row]
    return HardNegative(
        vehicle=int(run.fixed.pids[row]),
        view=run.view_name(row),
        image=run.fixed.names[row],
        d_generated=float(made.distance[place]),
        d_real=float(apart[run.same[row]].mean()),
        d_nearest_negative=float(apart[others].min()) if others.any() else float("nan"),
        mean_change=float((made.images[place] - run.images[row]).abs().mean()),
        box=tuple(most_changed(run.images[row], made.images[place])),
    )


def _tiles(run, row, values):
    before, after = run.images[row], run.generated[HARD].images[run.generated[HARD].place(row)]
    box, change = values.box, (after - before).abs()
    strongest = float(change.max())
    return [
        Tile(to_picture(before), box=box),
        Tile(to_picture(after), box=box),
        Tile(to_picture(crop(before, box)), enlarged=True),
        Tile(to_picture(crop(after, box)), enlarged=True),
        Tile(
            1 - (change / max(strongest, 1e-6)).permute(1, 2, 0).numpy(),
            f"mean |change| {100 * values.mean_change / 2:.1f}%\nlargest {100 * strongest / 2:.0f}% of the range",
        ),
    ]
