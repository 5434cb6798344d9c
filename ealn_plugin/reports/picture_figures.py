"""Figures 5 to 8: what the generators of finished runs make, as sheets of images with the numbers beside them."""

import os

import numpy as np
import torch

from ealn_plugin import config as configuration
from ealn_plugin import visualization
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.twins import retrieve_other_views, score_pictures, ssim, summarize
from ealn_plugin.reports.exhibits import HARD, OTHER_VIEW, FigureUnavailable
from ealn_plugin.reports.names import file_name
from ealn_plugin.system.files import write_csv
from ealn_plugin.visualization.responses import last_response, overlay
from ealn_plugin.visualization.sheets import Tile, crop, most_changed, to_picture


def stem_of(out, number, name, run=None):
    return os.path.join(out, f"figure_{number:02d}_{name}" + (f"_{file_name(run.label)}" if run else ""))


def runs_with(runs, kind, what):
    """The runs whose networks make images of a kind."""
    found = [run for run in runs if kind in run.generated]
    if not found:
        raise FigureUnavailable(
            f"none of {', '.join(run.label for run in runs)} has a generator of {what}, expected "
            "at least one; give a run of another ealn.scheme"
        )
    return found


# ---------------------------------------------------------------------------------------------- 5
def draw_hard_negatives(runs, out, vehicles=4):
    """Inputs beside their hard negatives, the most changed region enlarged, and the distances."""
    paths = []
    for run in runs_with(runs, HARD, "hard negatives"):
        pairs = run.rows_by_vehicle(vehicles)
        numbers = [[_hard_numbers(run, row) for row in pair] for pair in pairs]
        rows, names = [], []
        for pair, measured in zip(pairs, numbers):
            for row, values in zip(pair, measured):
                rows.append(_hard_tiles(run, row, values))
                names.append(
                    f"vehicle {values[0]}, {values[1]}\nd(x, G(x)) = {values[3]:.2f}\n"
                    f"d_real = {values[4]:.2f}\nnearest other\nvehicle: {values[5]:.2f}"
                )
        stem = stem_of(out, 5, "hard_negatives", run)
        visualization.draw_sheet(
            f"{stem}.png",
            f"Hard negatives of {run.label}",
            _hard_summary(run),
            ["input", "hard negative", "enlarged: input", "hard negative", "what changed"],
            rows,
            names,
        )
        write_csv(
            f"{stem}.csv",
            [
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
            ],
            [values for pair in numbers for values in pair],
        )
        paths.append(f"{stem}.png")
    return paths


def _hard_summary(run):
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


def _hard_numbers(run, row):
    made, apart = run.generated[HARD], run.apart[row]
    place = made.place(row)
    others = run.fixed.pids != run.fixed.pids[row]
    nearest = float(apart[others].min()) if others.any() else float("nan")
    change = float((made.images[place] - run.images[row]).abs().mean())
    return [
        int(run.fixed.pids[row]),
        run.view_name(row),
        run.fixed.names[row],
        float(made.distance[place]),
        float(apart[run.same[row]].mean()),
        nearest,
        change,
        *most_changed(run.images[row], made.images[place]),
    ]


def _hard_tiles(run, row, values):
    before, after = run.images[row], run.generated[HARD].images[run.generated[HARD].place(row)]
    box, change = tuple(values[-4:]), (after - before).abs()
    strongest = float(change.max())
    return [
        Tile(to_picture(before), box=box),
        Tile(to_picture(after), box=box),
        Tile(to_picture(crop(before, box)), enlarged=True),
        Tile(to_picture(crop(after, box)), enlarged=True),
        Tile(
            1 - (change / max(strongest, 1e-6)).permute(1, 2, 0).numpy(),
            f"mean |change| {100 * values[6] / 2:.1f}%\nlargest {100 * strongest / 2:.0f}% of the range",
        ),
    ]


# ---------------------------------------------------------------------------------------------- 6
def draw_cross_views(runs, out, vehicles=3):
    """Inputs beside their generated other views under every run and, on rendered data, the true twin."""
    runs = runs_with(runs, OTHER_VIEW, "other views")
    first = runs[0]
    _same_images(runs)
    rows = [
        row
        for pair in first.rows_by_vehicle(vehicles)
        for row in pair
        if first.generated[OTHER_VIEW].place(row) is not None
    ]
    truth = [run.twins(rows) for run in runs]
    tiles, lines = [], []
    for number, row in enumerate(rows):
        tiles.append([Tile(to_picture(first.images[row]), first.view_name(row))])
        for run, twins in zip(runs, truth):
            tile, line = _view_tile(run, row, None if twins is None else twins[number])
            tiles[-1].append(tile)
            lines.append([run.label, int(first.fixed.pids[row]), first.view_name(row), first.fixed.names[row], *line])
        if truth[0] is not None:
            tiles[-1].append(Tile(to_picture(truth[0][number]), "true other view"))
    stem = stem_of(out, 6, "cross_views")
    header = ["input", *(_short(run.label) for run in runs), *(["true twin"] if truth[0] is not None else [])]
    visualization.draw_sheet(
        f"{stem}.png",
        "Generated other views",
        "d: distance of input and generated view in the run's own embedding. "
        + (
            "SSIM to the true twin, in brackets that of the input handed over unchanged, which a generator has to "
            "beat. Scores over all fixed images: figure_06_scores.csv"
            if truth[0] is not None
            else "This dataset has no twins, so there is no truth to compare with"
        ),
        header,
        tiles,
        [f"vehicle {first.fixed.pids[row]}" for row in rows],
    )
    write_csv(f"{stem}.csv", ["run", "vehicle", "view", "image", "d_generated", "ssim_to_twin", "ssim_of_input"], lines)
    if truth[0] is not None:
        write_scores(runs, os.path.join(out, "figure_06_scores.csv"))
    return [f"{stem}.png"]


def _view_tile(run, row, twin):
    made = run.generated[OTHER_VIEW]
    place = made.place(row)
    apart, scores, text = float(made.distance[place]), ["", ""], ""
    if twin is not None:
        scores = [float(ssim(_unit(image[None]), _unit(twin[None]))) for image in (made.images[place], run.images[row])]
        text = f"\nSSIM {scores[0]:.2f} ({scores[1]:.2f})"
    return Tile(to_picture(made.images[place]), f"d = {apart:.3f}{text}"), [apart, *scores]


def _unit(images):
    return ((images + 1) / 2).clamp(0, 1)


def _same_images(runs):
    for run in runs[1:]:
        if run.fixed.names != runs[0].fixed.names:
            raise FigureUnavailable(
                f"{run.label} was made for other test images than {runs[0].label}, expected the "
                "same dataset; draw them apart, or give one with --root and -t"
            )


def _short(label, length=18):
    return label if len(label) <= length else f"…{label[1 - length :]}"


def cross_view_scores(run):
    """Cross views of one run against the truth, over all front and rear images of its fixed set.

    Args:
        run: TrainedRun with generators of other views on a rendered dataset.
    Returns:
        {"generated" | "input" | "twin": {"ssim", "psnr", "distance", "mAP", "rank1", "queries"}}: of the generated
        views, of the inputs handed over unchanged, and of the true twins.
    Raises:
        FigureUnavailable: no other views, or no twins.
    """
    runs_with([run], OTHER_VIEW, "other views")
    made = run.generated[OTHER_VIEW]
    rows = made.anchor
    twins = run.twins(rows.tolist())
    if twins is None:
        raise FigureUnavailable(
            f"{run.dataset} has no twins.csv, expected a rendered dataset; make one with tools/make_synthetic.py"
        )
    twin_embeddings = run.embed(twins)
    gallery = run.own_features.gallery
    labels = [run.fixed.pids[rows].numpy(), run.fixed.camids[rows].numpy(), run.fixed.views[rows].numpy()]
    found = {}
    for name, images, embeddings in (
        ("generated", made.images, made.embeddings),
        ("input", run.images[rows], run.embeddings[rows]),
        ("twin", twins, twin_embeddings),
    ):
        pictures = score_pictures(_unit(images), embeddings, _unit(twins), twin_embeddings, run.distance)
        try:
            found[name] = {**summarize(pictures), **retrieve_other_views(embeddings.numpy(), *labels, gallery)}
        except ValueError as error:
            raise FigureUnavailable(str(error)) from error
    return found


def write_scores(runs, path):
    """``cross_view_scores`` of several runs as a CSV file; returns {label: scores}."""
    scores = {run.label: cross_view_scores(run) for run in runs}
    columns = ["ssim", "psnr", "distance", "mAP", "rank1", "queries"]
    write_csv(
        path,
        ["run", "query", *columns],
        [
            [label, name, *(values[column] for column in columns)]
            for label, found in scores.items()
            for name, values in found.items()
        ],
    )
    return scores


# ---------------------------------------------------------------------------------------------- 7
_KINDS = {HARD: ("hard negatives", "training"), OTHER_VIEW: ("other views", "training_views")}


def draw_training(runs, out, inputs=4, columns=6, kind=HARD):
    """Hard negatives, or other views, of fixed inputs, epoch by epoch, from the pictures saved while training.

    Args:
        runs: list of TrainedRun. out: existing folder. inputs, columns: inputs and epochs to be shown, at most.
        kind: HARD or OTHER_VIEW.
    Returns:
        list of the paths of PNG files.
    Raises:
        FigureUnavailable: no run has saved such pictures.
    """
    paths, (what, name) = [], _KINDS[kind]
    for run in runs:
        grids = run.sample_grids() if _makes(run, kind) else {}
        if not grids:
            continue
        made_row = 1 if kind == HARD else -1  # the inputs come first; the scheme of other views is always the last
        learned = [epoch for epoch in grids if epoch > run.config.ealn.warmup_epochs]
        epochs = learned or list(grids)
        shown = sorted({epochs[round(step)] for step in np.linspace(0, len(epochs) - 1, min(columns, len(epochs)))})
        first = grids[epochs[0]][0]
        chosen = [
            (2 * number + 1) * len(first) // (2 * min(inputs, len(first))) for number in range(min(inputs, len(first)))
        ]
        change = {epoch: (grid[made_row] - grid[0]).abs().mean(dim=(1, 2, 3)) for epoch, grid in grids.items()}
        rows = [
            [Tile(to_picture(first[place]))]
            + [
                Tile(to_picture(grids[epoch][made_row][place]), f"|change| {100 * change[epoch][place] / 2:.1f}%")
                for epoch in shown
            ]
            for place in chosen
        ]
        stem = stem_of(out, 7, name, run)
        visualization.draw_sheet(
            f"{stem}.png",
            f"{what.capitalize()} of {run.label} during training",
            f"{what} of the same inputs after each epoch; |change|: mean change of a pixel, in percent of its "
            "range. " + _stages(run),
            ["input", *(f"epoch {epoch}" for epoch in shown)],
            rows,
        )
        write_csv(
            f"{stem}.csv",
            ["epoch", *(f"mean_change_{number + 1}" for number in range(len(first)))],
            [[epoch, *values.tolist()] for epoch, values in change.items()],
        )
        paths.append(f"{stem}.png")
    if not paths:
        raise FigureUnavailable(
            f"none of the runs has pictures of {what} in samples/, expected a run whose "
            "ealn.scheme makes them and whose ealn.sample_every is not 0"
        )
    return paths


def _makes(run, kind):
    parts = set(configuration.parts_of(run.config.ealn.scheme))
    return bool(parts & ({"hard"} if kind == HARD else set(configuration.OTHER_VIEW_PARTS)))


def _stages(run):
    warm = run.config.ealn.warmup_epochs
    return f"The generators learn from epoch {warm + 1} on." if warm else ""


# ---------------------------------------------------------------------------------------------- 8
def draw_responses(runs, out, vehicles=2):
    """Response maps of the last convolution for inputs and their hard negatives, under every run."""
    source = runs_with(runs, HARD, "hard negatives")[0]
    _same_images([source, *runs])
    made = source.generated[HARD]
    rows = [row for pair in source.rows_by_vehicle(vehicles) for row in pair]
    pairs = [(source.images[row], made.images[made.place(row)]) for row in rows]
    images = torch.stack([image for pair in pairs for image in pair])
    tiles = [[Tile(to_picture(image))] for image in images]
    lines = []
    for run in runs:
        with run.looking() as engine:
            inputs = engine.pixels.to_embedding(images.to(engine.device))
            maps = last_response(engine.model, inputs).cpu()
        for number, (image, found) in enumerate(zip(images, maps)):
            strongest = maps[number // 2 * 2 : number // 2 * 2 + 2].max()
            tiles[number].append(Tile(overlay(image, found, strongest)))
            row = rows[number // 2]
            lines += [
                [run.label, source.fixed.names[row], "hard negative" if number % 2 else "input", y, x, float(v)]
                for y, line in enumerate(found)
                for x, v in enumerate(line)
            ]
    names = [
        f"vehicle {source.fixed.pids[row]}, {source.view_name(row)}\n{kind}"
        for row in rows
        for kind in ("input", "hard negative")
    ]
    stem = stem_of(out, 8, "responses")
    visualization.draw_sheet(
        f"{stem}.png",
        "Responses of the last convolution",
        f"hard negatives by {source.label}; root of the sum of squares over channels, dark: none, yellow: the "
        "strongest response of that network to the input and its hard negative, which share one scale",
        ["image", *(_short(run.label) for run in runs)],
        tiles,
        names,
    )
    write_csv(f"{stem}.csv", ["run", "image", "kind", "row", "column", "response"], lines)
    return [f"{stem}.png"]
