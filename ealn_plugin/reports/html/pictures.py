"""Sections of pictures: retrieval and generated images, for which networks and test images are needed, and what was
saved while training."""

import csv
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.reports import comparison, picture_figures
from ealn_plugin.reports.comparison import Report
from ealn_plugin.reports.exhibits import OTHER_VIEW, FigureUnavailable
from ealn_plugin.reports.figures import FIGURES, Figure
from ealn_plugin.reports.html.blocks import Charts, Line, Note, Section, Table, embed_picture
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.system.messages import sentence

log = logging.getLogger(__name__)

DETAILED = 4
"""Images are shown for so many runs: a page with those of dozens would not open on a phone."""
_FAILURES = (ValueError, OSError, RuntimeError)


# ---------------------------------------------------------------------------------------------- retrieval
def evaluated(runs: Sequence[Any], store_folder: str, num_queries: int) -> tuple[Report | None, str]:
    """Rank the test images of the runs whose networks and dataset are there.

    Args:
        runs: list of ReportedRun. store_folder: where features are kept. num_queries: on the sheet of ranked lists.
    Returns:
        (reporting.Report or None, the sentence that says why there is none)
    """
    opened = [run for run in runs if not run.unavailable]
    if not opened:
        return None, ""
    try:
        return comparison.evaluate_subjects(
            [run.subject for run in opened], FeatureStore(store_folder), num_queries=num_queries
        ), ""
    except _FAILURES as error:
        log.warning("the test images could not be ranked: %s", error)
        return None, f"The test images could not be ranked: {sentence(error)}"


def retrieval(
    runs: Sequence[Any], report: Report | None, failure: str, kept: KeptFigures, num_queries: int = 4
) -> list[Section]:
    """Sections: CMC curves, and ranked lists.

    Args:
        runs: list of ReportedRun. report, failure: what ``evaluated`` returned. kept: where figures are kept.
        num_queries: see ``evaluated``.
    """
    cmc, lists = Section("cmc", "CMC curves", _left_out(runs)), Section("ranked", "Ranked lists", _left_out(runs))
    if report is None:
        for section in (cmc, lists) if failure else ():
            section.blocks.append(Note(failure, missing=True))
        return [cmc, lists]
    opened = [run for run in runs if not run.unavailable]

    def draw_curves(_: Any, folder: str) -> list[str]:
        return [f"{stem}.png" for stem in comparison.write_curves(report, folder)]

    def draw_lists(_: Any, folder: str) -> list[str]:
        return list(comparison.write_lists(report, folder).values())

    cmc.blocks.append(
        Charts(
            tuple(
                embed_picture(
                    path,
                    f"CMC curves of {', '.join(curves)} on {dataset}, protocol {protocol}: the share "
                    "of queries with a match among their first k",
                    photographs=False,
                )
                for ((dataset, protocol), curves), path in zip(
                    report.curves.items(), kept.fetch("CMC curves of the page", opened, draw_curves)
                )
            ),
            width=32,
        )
    )
    cut = any(len(subjects) > DETAILED for subjects in report.lists.values())
    for dataset, subjects in report.lists.items():
        report.lists[dataset] = dict(list(subjects.items())[:DETAILED])
    try:
        paths = kept.fetch(f"ranked lists of {num_queries} queries", opened, draw_lists) if report.lists else []
        for dataset, path in zip(report.lists, paths):
            lists.blocks.append(
                embed_picture(
                    path,
                    f"Queries of {dataset} beside their nearest gallery images under "
                    f"{', '.join(report.lists[dataset])}: correct ones framed green, wrong ones red, junk grey",
                    photographs=True,
                )
            )
        if cut:
            lists.blocks.append(_first_alone())
    except _FAILURES as error:
        lists.blocks.append(Note(f"The ranked lists could not be drawn: {sentence(error)}", missing=True))
    if not report.lists:
        lists.blocks.append(
            Note("There are no ranked lists: none were asked for, or no query has a match.", missing=True)
        )
    return [cmc, lists]


# ---------------------------------------------------------------------------------------------- what generators make
@dataclass(frozen=True)
class _Exhibit:
    """A figure on the page.

    Attributes:
        figure: how it is made. alt: what the picture shows, before the names of its runs.
        photographs: see ``embed_picture``.
    """

    figure: Figure
    alt: str
    photographs: bool = True

    @property
    def limited(self) -> bool:
        """Whether only the first runs are shown."""
        return self.figure.single or self.photographs


def _draw_views_over_time(runs: Sequence[Any], folder: str) -> list[str]:
    return picture_figures.draw_training(runs, folder, kind=OTHER_VIEW)


_VIEWS_OVER_TIME = Figure(_draw_views_over_time, "other views during training", networks=False, single=True)
_SECTIONS = (
    (
        "hard",
        "Hard negatives",
        (
            _Exhibit(
                FIGURES[5],
                "Test images beside their hard negatives, the most changed part "
                "enlarged, with the distances in the embedding",
            ),
        ),
    ),
    (
        "views",
        "Other views, beside the true ones where they are known",
        (_Exhibit(FIGURES[6], "Test images beside their generated other views and, where it is known, the true one"),),
    ),
    (
        "time",
        "Generated images, epoch by epoch",
        (
            _Exhibit(FIGURES[7], "Hard negatives of the same inputs after some epochs of training"),
            _Exhibit(_VIEWS_OVER_TIME, "Other views of the same inputs after some epochs of training"),
        ),
    ),
    (
        "responses",
        "Response maps",
        (_Exhibit(FIGURES[8], "Where the last convolution responds to inputs and to their hard negatives"),),
    ),
    (
        "distances",
        "Distances in the embedding",
        (_Exhibit(FIGURES[9], "Histograms of the distances of positives, negatives and generated images", False),),
    ),
    (
        "sweep",
        "Sensitivity to beta1 and beta2",
        (_Exhibit(FIGURES[10], "mAP against beta1 and beta2", photographs=False),),
    ),
)


def generated(runs: Sequence[Any], kept: KeptFigures) -> list[Section]:
    """Sections: hard negatives, other views, generated images over time, responses, distances, the sweep, as far as
    there are pictures; the last one says why there are no others.

    Args:
        runs: list of ReportedRun. kept: where the figures are kept.
    """
    sections: list[Section] = []
    missing = Section("missing", "Not shown, and why")
    for key, title, exhibits in _SECTIONS:
        networks = any(exhibit.figure.networks for exhibit in exhibits)
        section = Section(key, title, _left_out(runs) if networks else [])
        pictures: list[Any] = []
        reasons: list[Any] = []
        for exhibit in exhibits:
            usable = [run for run in runs if not (exhibit.figure.networks and run.unavailable)]
            _show(exhibit, usable, kept, pictures, reasons)
        if key == "views" and pictures:
            reasons += _scores(kept.folder)
        if not pictures:
            known = {note.text for note in missing.blocks}
            missing.blocks += [note for note in [*section.blocks, *reasons[:1]] if note.text not in known]
            continue
        section.blocks += pictures + reasons
        if any(exhibit.limited for exhibit in exhibits) and len(runs) > DETAILED:
            section.blocks.append(_first_alone())
        sections.append(section)
    return [*sections, missing]


def _show(exhibit, runs: Sequence[Any], kept: KeptFigures, pictures: list[Any], reasons: list[Any]) -> None:
    """Draw one exhibit; its Pictures and the Notes on what could not be drawn are added to the lists."""
    unavailable, before = None, len(pictures)
    runs = runs[:DETAILED] if exhibit.limited else runs
    figure = exhibit.figure
    for chosen in [[run] for run in runs] if figure.single else [runs] if runs else []:
        names = ", ".join(run.label for run in chosen)
        try:
            pictures += [
                embed_picture(path, f"{exhibit.alt}: {names}", exhibit.photographs)
                for path in kept.fetch(figure.name, chosen, figure.draw, figure.networks)
            ]
        except FigureUnavailable as error:
            unavailable = Note(f"Not shown: {error}.", missing=True)
        except _FAILURES as error:
            log.warning("%s: %s", names, error)
            reasons.append(Note(f"Not shown for {names}: {sentence(error)}", missing=True))
    if unavailable and len(pictures) == before:  # a run without hard negatives is no news beside one that has some
        reasons.append(unavailable)


def _first_alone():
    return Note(f"Shown for the first {DETAILED} runs; name others first with --run to see theirs.", missing=True)


def _left_out(runs: Sequence[Any]):
    """A Note that names the runs without networks or test images, as a list; the section Runs says why."""
    without = [run.label for run in runs if run.unavailable]
    if not without:
        return []
    return [
        Note(
            f"Not shown for {', '.join(without)}: this needs the networks and the test images; the section Runs "
            "says what is missing.",
            missing=True,
        )
    ]


def _scores(folder: str):
    """The numbers of the cross views against the true ones as a list of one Table; empty on data without twins."""
    path = os.path.join(folder, "figure_06_scores.csv")
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    lines = tuple(Line((*row[:2], *(f"{float(cell):.3f}".removesuffix(".000") for cell in row[2:]))) for row in rows)
    return [
        Table(
            "The cross-view twin: generated views against the true ones, beside the unchanged input, which a generator "
            "has to beat, the true view itself, and it without marks, which is all that can be known from the input. "
            "SSIM and PSNR: to the true view; mAP and rank 1: of the gallery's images of the other view, in [0, 1].",
            tuple(header),
            lines,
            names=2,
        )
    ]
