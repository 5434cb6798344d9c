"""Figures 6 to 8: what the generators of finished runs make, as sheets of images with the numbers beside them."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ealn_plugin import config as configuration
from ealn_plugin import visualization
from ealn_plugin.evaluation.twins import UNMARKED_TWINS, retrieve_other_views, score_pictures, ssim, summarize
from ealn_plugin.reports.exhibits import HARD, OTHER_VIEW, PASTED, FigureUnavailable
from ealn_plugin.reports.names import file_name
from ealn_plugin.system.entrances import command
from ealn_plugin.system.files import write_csv
from ealn_plugin.visualization.responses import last_response, overlay
from ealn_plugin.visualization.sheets import Tile, to_picture


def stem_of(out: str, number: int, name: str, run: Any = None) -> str:
    """Path of a figure's files in the folder ``out``, without ending."""
    return os.path.join(out, f"figure_{number:02d}_{name}" + (f"_{file_name(run.label)}" if run else ""))


def runs_with(runs: Sequence[Any], kind: str, what: str) -> list[Any]:
    """The runs whose networks make images of a kind, HARD or OTHER_VIEW.

    Raises:
        FigureUnavailable: none does; ``what`` is what such images are called in the message.
    """
    makers = [run for run in runs if kind in run.generated]
    if not makers:
        raise FigureUnavailable(
            f"none of {', '.join(run.label for run in runs)} makes {what}, expected "
            "at least one; give a run of another ealn.scheme"
        )
    return makers


# ---------------------------------------------------------------------------------------------- 6
def draw_cross_views(runs: Sequence[Any], out: str, vehicles: int = 3) -> list[str]:
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


def _view_tile(run: Any, row, twin):
    views = run.generated[OTHER_VIEW]
    place = views.place(row)
    apart, scores, text = float(views.distance[place]), ["", ""], ""
    if twin is not None:
        scores = [
            float(ssim(_unit(image[None]), _unit(twin[None]))) for image in (views.images[place], run.images[row])
        ]
        text = f"\nSSIM {scores[0]:.2f} ({scores[1]:.2f})"
    return Tile(to_picture(views.images[place]), f"d = {apart:.3f}{text}"), [apart, *scores]


def _unit(images):
    return ((images + 1) / 2).clamp(0, 1)


def _same_images(runs: Sequence[Any]) -> None:
    for run in runs[1:]:
        if run.fixed.names != runs[0].fixed.names:
            raise FigureUnavailable(
                f"{run.label} was made for other test images than {runs[0].label}, expected the "
                "same dataset; draw them apart, or give one with --root and -t"
            )


def _short(label: str, length: int = 18):
    return label if len(label) <= length else f"…{label[1 - length :]}"


def cross_view_scores(run: Any) -> dict[str, dict[str, float]]:
    """Cross views of one run against the truth, over all front and rear images of its fixed set.

    Args:
        run: ExhibitedRun with generators of other views on a rendered dataset.
    Returns:
        {"generated" | "input" | "twin" | "unmarked twin": {"ssim", "psnr", "distance", "mAP", "rank1", "queries"}}: of
        the generated views, of the inputs handed over unchanged, of the true twins and, where they are rendered, of
        the twins without marks: all that can be known from the input.
    Raises:
        FigureUnavailable: no other views, or no twins.
    """
    runs_with([run], OTHER_VIEW, "other views")
    generated = run.generated[OTHER_VIEW]
    rows = generated.anchor
    twins = run.twins(rows.tolist())
    if twins is None:
        raise FigureUnavailable(
            f"{run.dataset} has no twins.csv, expected a rendered dataset; make one with {command('make-synthetic')}"
        )
    twin_embeddings = run.embed(twins)
    gallery = run.own_features.gallery
    labels = [run.fixed.pids[rows].numpy(), run.fixed.camids[rows].numpy(), run.fixed.views[rows].numpy()]
    scores, unmarked = {}, run.twins(rows.tolist(), UNMARKED_TWINS)
    shown = [
        ("generated", generated.images, generated.embeddings),
        ("input", run.images[rows], run.embeddings[rows]),
        ("twin", twins, twin_embeddings),
    ]
    if unmarked is not None:
        shown.append(("unmarked twin", unmarked, run.embed(unmarked)))
    for name, images, embeddings in shown:
        pictures = score_pictures(_unit(images), embeddings, _unit(twins), twin_embeddings, run.distance)
        try:
            scores[name] = {**summarize(pictures), **retrieve_other_views(embeddings.numpy(), *labels, gallery)}  # type: ignore[call-arg]
        except ValueError as error:
            raise FigureUnavailable(str(error)) from error
    return scores


def write_scores(runs: Sequence[Any], path: str) -> dict[str, dict[str, dict[str, float]]]:
    """``cross_view_scores`` of several runs as a CSV file; returns {label: scores}."""
    scores = {run.label: cross_view_scores(run) for run in runs}
    columns = ["ssim", "psnr", "distance", "mAP", "rank1", "queries"]
    write_csv(
        path,
        ["run", "query", *columns],
        [
            [label, name, *(values[column] for column in columns)]
            for label, by_query in scores.items()
            for name, values in by_query.items()
        ],
    )
    return scores


# ---------------------------------------------------------------------------------------------- 7
_KINDS = {HARD: ("hard negatives", "training"), OTHER_VIEW: ("other views", "training_views")}


def draw_training(runs: Sequence[Any], out: str, inputs: int = 4, columns: int = 6, kind: str = HARD) -> list[str]:
    """Hard negatives, or other views, of fixed inputs, epoch by epoch, from the pictures saved while training.

    Args:
        runs: list of ExhibitedRun. out: existing folder. inputs, columns: inputs and epochs to be shown, at most.
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


def _makes(run: Any, kind: str) -> bool:
    parts = set(configuration.parts_of(run.config.ealn.scheme))
    return bool(parts & ({HARD, PASTED} if kind == HARD else set(configuration.OTHER_VIEW_PARTS)))


def _stages(run: Any):
    warm = run.config.ealn.warmup_epochs
    learning = warm and run.config.ealn.scheme not in configuration.GENERATOR_FREE
    return f"The generators learn from epoch {warm + 1} on." if learning else ""


# ---------------------------------------------------------------------------------------------- 8
def draw_responses(runs: Sequence[Any], out: str, vehicles: int = 2) -> list[str]:
    """Response maps of the last convolution for inputs and their hard negatives, under every run."""
    source = runs_with(runs, HARD, "hard negatives")[0]
    _same_images([source, *runs])
    hard = source.generated[HARD]
    rows = [row for pair in source.rows_by_vehicle(vehicles) for row in pair]
    pairs = [(source.images[row], hard.images[hard.place(row)]) for row in rows]
    images = torch.stack([image for pair in pairs for image in pair])
    tiles = [[Tile(to_picture(image))] for image in images]
    lines = []
    for run in runs:
        with run.looking() as engine:
            inputs = engine.pixels.to_embedding(images.to(engine.device))
            maps = last_response(engine.model, inputs).cpu()
        for number, (image, response) in enumerate(zip(images, maps)):
            strongest = maps[number // 2 * 2 : number // 2 * 2 + 2].max()
            tiles[number].append(Tile(overlay(image, response, strongest)))
            row = rows[number // 2]
            lines += [
                [run.label, source.fixed.names[row], "hard negative" if number % 2 else "input", y, x, float(v)]
                for y, line in enumerate(response)
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
