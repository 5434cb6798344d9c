"""Bounds of a grid on rendered vehicles: what the truth gives, and gains as a share of that.

Three questions have an answer here that no real dataset gives: what do perfect hard negatives teach (the scheme
hard_truth), what does perfect knowledge of model and colour find without any mark, and what does the fused feature gain
from the other view as it is, and as somebody knows it who has not seen its marks.
"""

import copy
import dataclasses
import math
import os

import torch
from torch.utils.data import DataLoader

from ealn_plugin.config.scheme_names import NAMES, OTHER_VIEW_PARTS, parts_of
from ealn_plugin.evaluation.bounds import Share, perfect_appearance, read_groups, share_of_room
from ealn_plugin.evaluation.extraction import FeatureExtraction, fuse
from ealn_plugin.evaluation.protocols import evaluate_protocols, protocols_of
from ealn_plugin.evaluation.twins import TWINS, UNMARKED_TWINS, read_twins
from ealn_plugin.models.modes import evaluating
from ealn_plugin.reports.paper_tables import Grid, measured_rows
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.system.entrances import command
from ealn_plugin.system.randomness import own_randomness

TRUTH, APPEARANCE = "hard_truth", "appearance"
TRUE_TWIN, UNMARKED_TWIN, TRUTH_TWIN = "en + true_twin", "en + unmarked_twin", "hard_truth + true_twin"
LABELS = {
    **NAMES,
    APPEARANCE: "perfect model and colour, nothing else",
    TRUE_TWIN: "EN, fused with the true other view",
    UNMARKED_TWIN: "EN, fused with the other view without marks",
    TRUTH_TWIN: "Hard, renderer's fakes, fused with the true other view",
}
"""What the tables call each bound."""

_ROWS = ("en", APPEARANCE, TRUTH, TRUE_TWIN, UNMARKED_TWIN, TRUTH_TWIN)


# ---------------------------------------------------------------------------------------------- measured
def measure_bounds(grid: Grid, runs: list) -> Grid:
    """The results of the bounds, as those of a grid.

    Args:
        grid: of finished runs, those of EN and of hard_truth among them. runs: its ``runs.grid.GridCell``.
    Returns:
        Grid with the results of EN, of every scheme and of the bounds, seed by seed.
    Raises:
        ValueError, OSError, RuntimeError: a run folder or the dataset lacks something, with one sentence.
    """
    results = dict(grid.results)
    for run in runs:
        if run.scheme == "en":
            results[TRUE_TWIN, run.seed] = fused_with_twins(run.folder, grid.dataset, TWINS)
            results[UNMARKED_TWIN, run.seed] = fused_with_twins(run.folder, grid.dataset, UNMARKED_TWINS)
        elif run.scheme == TRUTH:
            results[TRUTH_TWIN, run.seed] = fused_with_twins(run.folder, grid.dataset, TWINS)
    known = appearance_of(next(run.folder for run in runs if run.scheme == "en"), grid.dataset)
    results.update({(APPEARANCE, seed): known for seed in grid.seeds})
    return Grid(results)


def fused_with_twins(folder: str, name: str, listed: str) -> dict:
    """A run's own feature fused with that of every test image's other view, as rendered.

    Args:
        folder: of the run. name: of the dataset, one of its targets.
        listed: TWINS for the other view as it is, UNMARKED_TWINS for the same without marks.
    Returns:
        {"datasets": {name: {protocol: metrics}}}, of the shape of results.json.
    Raises:
        ValueError: a test image has no twin in the list; else as ``RunSubject.engine``.
    """
    subject = RunSubject(folder, folder, fusion=False)
    engine = subject.engine()
    loaders = engine.test_loader[name]
    twins = {split: _loader_of_twins(loader, listed) for split, loader in loaders.items()}
    extraction = FeatureExtraction(engine.embedding, engine.pixels, (), engine.views_of, engine.device)
    with own_randomness(), evaluating(engine.embedding):
        own, other = (extraction.dataset(one, name)[0] for one in (loaders, twins))
    first, second = (torch.from_numpy(features.embeddings) for features in (own, other))
    fused = fuse(first, second, torch.from_numpy(own.views), subject.config.ealn.fusion)
    return _results(subject, name, loaders, dataclasses.replace(own, embeddings=fused.numpy()))


def _loader_of_twins(loader, listed):
    """The loader of a test split with each image's twin in its place, in the same order."""
    dataset = copy.copy(loader.dataset)
    folder = getattr(dataset, "dataset_dir", "")
    twin_of = read_twins(folder, listed)
    dataset.data = [(twin_of.get(os.path.abspath(item[0])), *item[1:]) for item in loader.dataset.data]
    missing = [path for path, (twin, *_) in zip((item[0] for item in loader.dataset.data), dataset.data) if not twin]
    if missing:
        raise ValueError(
            f"{missing[0]!r} has no twin in {os.path.join(folder, listed)!r}; render the dataset with "
            f"{command('make-synthetic')} --lookalikes 2"
        )
    return DataLoader(
        dataset, batch_size=loader.batch_size, num_workers=loader.num_workers, collate_fn=loader.collate_fn
    )


def _results(subject, name, loaders, features):
    ranking = subject.ranking()
    ranking["ranks"] = sorted({1, 5, 10, *ranking["ranks"]})
    names = protocols_of(loaders, subject.config.ealn.protocols)
    return {"datasets": {name: evaluate_protocols(features, names, **ranking)}}


def appearance_of(folder: str, name: str) -> dict:
    """What perfect knowledge of model and colour scores on the test images of a run's dataset; arguments and result as
    ``fused_with_twins``."""
    subject = RunSubject(folder, folder, fusion=False)
    engine = subject.engine()
    loaders = engine.test_loader[name]
    extraction = FeatureExtraction(_no_network, engine.pixels, (), engine.views_of, engine.device)
    labels, _ = extraction.dataset(loaders, name)
    groups = read_groups(getattr(loaders["query"].dataset, "dataset_dir", ""))
    names = protocols_of(loaders, subject.config.ealn.protocols)
    return {"datasets": {name: perfect_appearance(labels, groups, names)}}  # type: ignore[arg-type]


def _no_network(images):
    return images.new_zeros(len(images), 1)


# ---------------------------------------------------------------------------------------------- tables
def bounds_tables(grid: Grid) -> dict[str, list[dict]]:
    """{title: rows} of the bounds and of gains as shares of the room, as ``paper_tables.tables``.

    Args:
        grid: what ``measure_bounds`` returned.
    """
    columns = _columns(grid)
    name = f"{grid.dataset}, {grid.protocol}"
    rows = measured_rows(grid, _ROWS, columns, [title for title, *_ in columns], LABELS)
    for row in rows:
        if row["network"] == LABELS[APPEARANCE]:
            row["source"] = "known, no network"
    tables = {f"Bounds: {name}": rows}
    shares = _share_rows(grid, columns)
    return {**tables, f"Share of the room: {name}": shares} if shares else tables


def _columns(grid):
    wanted = (("mAP", grid.protocol, "mAP"), ("rank 1", grid.protocol, "rank1"), ("cross view", "cross_view", "mAP"))
    return [column for column in wanted if grid.values("en", *column[1:])]


def room_of(scheme: str) -> str:
    """The bound in whose room the gain of a scheme is to be read: that which makes the same with the truth."""
    parts = parts_of(scheme)
    if not set(parts) & set(OTHER_VIEW_PARTS):
        return TRUTH
    return TRUTH_TWIN if len(parts) > 1 else TRUE_TWIN


def _share_rows(grid, columns):
    rows = []
    for scheme in grid.schemes:
        if scheme in _ROWS:
            continue
        row = {"network": NAMES.get(scheme, scheme), "source": f"of {LABELS[room_of(scheme)]}"}
        row.update({title: share_text(share_in(grid, scheme, *column)) for title, *column in columns})
        rows.append(row)
    return rows


def share_in(grid: Grid, scheme: str, protocol: str, metric: str) -> Share:
    """The gain of a scheme over EN as a share of what the truth gains, over the seeds that have all three."""
    own, base, bound = (grid.values(name, protocol, metric) for name in (scheme, "en", room_of(scheme)))
    seeds = sorted(own.keys() & base.keys() & bound.keys())
    if not seeds:
        return Share(math.nan)
    return share_of_room([own[seed] - base[seed] for seed in seeds], [bound[seed] - base[seed] for seed in seeds])


def share_text(share: Share) -> str:
    """Such as '61% (40 to 85)'; without an interval where there is none, 'no room' where the truth gains nothing."""
    if math.isnan(share.value):
        return "no room"
    if math.isnan(share.low):
        return f"{100 * share.value:.0f}%"
    return f"{100 * share.value:.0f}% ({100 * share.low:.0f} to {100 * share.high:.0f})"
