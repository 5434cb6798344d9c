"""The paper's figures 4 to 11 from run folders: each a PNG, with the numbers beside it as CSV."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ealn_plugin import config as configuration
from ealn_plugin import visualization
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.reports import comparison, hard_negative_figure, picture_figures
from ealn_plugin.reports.exhibits import HARD, OTHER_VIEW, FigureUnavailable
from ealn_plugin.reports.kept_figures import Draw, KeptFigures
from ealn_plugin.reports.picture_figures import stem_of
from ealn_plugin.system.durations import Durations
from ealn_plugin.system.files import write_csv
from ealn_plugin.visualization.plots import histogram

log = logging.getLogger(__name__)

_MAY_DIFFER = {
    "ealn.beta1",
    "ealn.beta2",
    "train.seed",
    "train.print_freq",
    "data.workers",
    "use_gpu",
    "ealn.sample_every",
    "ealn.diagnose_every",
    "ealn.checkpoint_every",
    "ealn.test_untrained",
}
LOSSES = {
    "loss/E": "embedding network, all terms",
    "loss/E_triplet": "its triplet term (real images)",
    "loss/E_identity": "its cross-entropy term (real images)",
}


def write_figures(
    runs: Sequence[Any], numbers: Iterable[int], out: str, durations: Durations | None = None
) -> dict[int, Any]:
    """Draw figures.

    Args:
        runs: list of ExhibitedRun, labels different. numbers: of figures, keys of ``FIGURES``. out: existing folder;
            a figure that is there is drawn again only if what it shows has changed.
        durations: is told how long each took.
    Returns:
        {number: list of the paths of PNG files, or the sentence that says why there are none}.
    Raises:
        OSError: a file cannot be written. RuntimeError: matplotlib is missing.
    """
    drawn: dict[int, Any] = {}
    kept = KeptFigures(out, durations)
    for number in numbers:
        figure = FIGURES[number]
        log.info("figure %d: %s", number, figure.name)
        try:
            drawn[number] = _drawn(figure, runs, kept)
        except FigureUnavailable as error:
            log.warning("no figure %d: %s", number, error)
            drawn[number] = str(error)
    return drawn


def _drawn(figure, runs: Sequence[Any], kept: KeptFigures) -> list[str]:
    """The files of a figure; those of single runs one by one, as a page has them."""
    if not figure.single:
        return kept.fetch(figure.name, runs, figure.draw, figure.networks)
    paths, reason = [], None
    for run in runs:
        try:
            paths += kept.fetch(figure.name, [run], figure.draw, figure.networks)
        except FigureUnavailable as error:
            reason = error
    if not paths and reason is not None:
        if len(runs) == 1:
            raise reason
        figure.draw(runs, kept.folder)  # says why of all of them
    return paths


# ---------------------------------------------------------------------------------------------- 4
def draw_cmc_curves(runs: Sequence[Any], out: str) -> list[str]:
    """CMC curves of all runs, a figure for each protocol of each dataset, with the features used for retrieval."""
    store = FeatureStore(os.path.join(out, "features"))
    report = comparison.evaluate_subjects([run.subject for run in runs], store, num_queries=0)
    return [f"{stem}.png" for stem in comparison.write_curves(report, out, prefix=stem_of("", 4, "cmc"))]


# ---------------------------------------------------------------------------------------------- 9
def draw_distances(runs: Sequence[Any], out: str) -> list[str]:
    """Histograms of d for positives, negatives, hard negatives and other views, per pair and per image."""
    paths = []
    for run in runs:
        same, other = run.same, run.fixed.pids[:, None] != run.fixed.pids[None, :]
        upper = torch.ones_like(same).triu(diagonal=1)
        pairs = {"positives": run.apart[same & upper].numpy(), "negatives": run.apart[other & upper].numpy()}
        means = {
            name: ((run.apart * mask).sum(dim=1)[mask.any(dim=1)] / mask.sum(dim=1)[mask.any(dim=1)]).numpy()
            for name, mask in (("positives", same), ("negatives", other))
        }
        generated = {
            label: run.generated[kind].distance.numpy()
            for kind, label in ((HARD, "hard negatives G(x)"), (OTHER_VIEW, "other views G(x)"))
            if kind in run.generated
        }
        stem = stem_of(out, 9, "distances", run)
        panels = {"every pair of images": {**pairs, **generated}, "one mean per image": {**means, **generated}}
        visualization.draw_histograms(
            f"{stem}.png",
            f"Distances in the embedding of {run.label}",
            f"{len(same)} test images of {len(set(run.fixed.pids.tolist()))} vehicles; d(x, G(x)) is one value per "
            "image in both panels. A bar that leaves the panel carries its height",
            panels,
            f"{run.distance} distance",
        )
        _write_histograms(f"{stem}.csv", panels)
        paths.append(f"{stem}.png")
    return paths


def _write_histograms(path: str, panels) -> None:
    lines, largest = [], visualization.right_end(panels)
    for panel, groups in panels.items():
        for name, values in groups.items():
            edges, shares = histogram(values, largest)
            lines += [
                [panel, name, low, high, share, len(values), float(np.mean(values))]
                for low, high, share in zip(edges[:-1], edges[1:], shares)
            ]
    write_csv(path, ["panel", "distances", "from", "to", "share", "count", "mean"], lines)


# ---------------------------------------------------------------------------------------------- 10, 11
def draw_sweep(runs: Sequence[Any], out: str) -> list[str]:
    """mAP against beta1 and beta2 over runs that else differ in the seed alone; the mean of EN is drawn as a line.

    A setting that was run twice with one seed, as part of two sweeps, counts once.
    """
    by_setting, reference = {}, {}
    finished = [run for run in runs if run.primary_map() is not None]
    first = next((run for run in finished if HARD in run.config.ealn.scheme), None)
    for run in finished if first else ():
        is_hard = HARD in run.config.ealn.scheme
        other = _difference(first.config, run.config, is_hard)
        if other:
            log.warning("%s is left out of figure 10: its %s differs from that of %s", run.label, other, first.label)
        elif is_hard:
            setting = run.config.ealn.beta1, run.config.ealn.beta2, run.config.train.seed
            by_setting.setdefault(setting, run.primary_map())
        elif run.config.ealn.scheme == "en":
            reference.setdefault(run.config.train.seed, run.primary_map())
    results = [(beta1, beta2, value) for (beta1, beta2, _), value in by_setting.items()]
    if len({result[:2] for result in results}) < 2:
        raise FigureUnavailable(
            "the runs have fewer than two different settings of beta1 and beta2 with all else "
            "equal, expected a sweep; give more runs with --run"
        )
    mean = float(np.mean(list(reference.values()))) if reference else None
    return [write_sensitivity(stem_of(out, 10, "sensitivity"), results, mean)]


def _difference(config, other, same_scheme):
    """The first key in which two runs of a sweep differ although they should not, or None."""
    one, two = (configuration.flat(configuration.recorded(tree)) for tree in (config, other))
    return next(
        (
            key
            for key in one
            if one[key] != two.get(key) and key not in _MAY_DIFFER and (same_scheme or not key.startswith("ealn."))
        ),
        None,
    )


def write_sensitivity(
    stem: str,
    results: Sequence[tuple[float, float, float]],
    reference: float | None = None,
    title: str = "Sensitivity to beta1 and beta2",
) -> str:
    """Figure 10 from a list of results.

    Args:
        stem: path without suffix. results: list of (beta1, beta2, mAP in [0, 1]). reference: mAP without hard
            negatives, or None. title: text.
    Returns:
        path of the PNG.
    """
    visualization.draw_sensitivity(f"{stem}.png", results, title, reference)
    rows = [list(row) for row in visualization.sensitivity_table(results)]
    write_csv(
        f"{stem}.csv",
        ["beta1", "beta2", "mAP", "mAP_std", "runs"],
        rows + ([["", "", reference, "", ""]] if reference is not None else []),
    )
    return f"{stem}.png"


def draw_loss_curves(runs: Sequence[Any], out: str) -> list[str]:
    """Losses of the embedding network over the steps of every run."""
    curves, lines = {}, []
    for run in runs:
        for name, (steps, values) in run.scalars(LOSSES).items():
            curves.setdefault(name, {})[run.label] = (steps, values)
            lines += [[run.label, name, step, value] for step, value in zip(steps, values)]
    if not curves:
        raise FigureUnavailable(
            "none of the runs has losses in its TensorBoard events, expected the events file "
            "beside config.yaml; train a run, or copy its events too"
        )
    stem = stem_of(out, 11, "losses")
    visualization.draw_losses(
        f"{stem}.png",
        "Losses of the embedding network",
        "the sum of all terms is not comparable between schemes: adversarial schemes add terms of their own. The terms "
        "beside it are the same for all. Each point is the mean over the steps since the "
        "last one; the last of an epoch may be of few",
        {LOSSES[name]: curves[name] for name in LOSSES if name in curves},
    )
    write_csv(f"{stem}.csv", ["run", "loss", "step", "value"], lines)
    return [f"{stem}.png"]


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        draw, name: how it is made, and what it shows. networks: it needs them and the test images.
        single: it has a file for each run, which depends on that run alone.
    """

    draw: Draw
    name: str
    networks: bool = True
    single: bool = False


FIGURES = {
    4: Figure(draw_cmc_curves, "CMC curves"),
    5: Figure(hard_negative_figure.draw_hard_negatives, "hard negatives", single=True),
    6: Figure(picture_figures.draw_cross_views, "other views"),
    7: Figure(picture_figures.draw_training, "hard negatives during training", networks=False, single=True),
    8: Figure(picture_figures.draw_responses, "response maps"),
    9: Figure(draw_distances, "distances", single=True),
    10: Figure(draw_sweep, "sensitivity to beta1 and beta2", networks=False),
    11: Figure(draw_loss_curves, "losses", networks=False),
}
