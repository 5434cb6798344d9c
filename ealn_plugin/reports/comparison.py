"""From subjects to a folder of results: numbers, tables, CMC curves and ranked lists."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from ealn_plugin import visualization
from ealn_plugin.data import DATASETS
from ealn_plugin.data.files import RENDERED_NOTE, is_rendered
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.measure import measure
from ealn_plugin.evaluation.protocols import DEFAULT_PROTOCOLS, PROTOCOLS
from ealn_plugin.reports import tables
from ealn_plugin.reports.names import file_name
from ealn_plugin.reports.published import PUBLISHED
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)

TOP = 10
SAME = 1e-3  # figures of one network on two machines differ by less than this


@dataclass
class Report:
    """Results collected so far.

    Attributes:
        results: {label: {"config", "primary", "datasets", "untrained"}}, each the shape of results.json.
        curves: {(dataset, protocol): {label: Measurement}}.
        lists: {dataset: {label: what ``rank_queries`` returned}}.
        notes: {dataset: sentence about its images}.
        rankings: {label: keyword arguments of the ranking}.
    """

    results: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    lists: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    rankings: dict = field(default_factory=dict)


def evaluate_subjects(
    subjects: Sequence[Any],
    store: FeatureStore,
    protocols: Sequence[str] = (),
    average_precision: str = "mean",
    num_queries: int = 8,
    places: Callable[[Any], Any] | None = None,
) -> Report:
    """Evaluate each subject on each of its datasets.

    Args:
        subjects: list of Subject with different labels. store: FeatureStore.
        protocols: names of protocols; empty: those of each dataset.
        average_precision: 'mean' or 'trapezoid', see ``Protocol.evaluate``.
        num_queries: queries on a sheet of ranked lists; 0: no sheets.
        places: function of a TestSet to its ``WhereAndWhen`` or None; None: appearance alone.
    Returns:
        Report
    Raises:
        ValueError: nothing could be evaluated, or bad input; OSError, RuntimeError: as the subjects.
    """
    report = Report()
    with logging_redirect_tqdm():
        for subject in subjects:
            _evaluate(subject, store, protocols, average_precision, num_queries, report, places)
    return report


def _evaluate(
    subject, store: FeatureStore, protocols: Sequence[str], average_precision, num_queries: int, report: Report, places
) -> None:
    ranking = {**subject.ranking(), "average_precision": average_precision}
    datasets, known = {}, None
    for test_set in subject.evaluation_sets(store):
        names = protocols_to_run(test_set.protocols, protocols)
        known = places(test_set) if places else None
        measured = measure(test_set.features, names, **ranking, where_and_when=known)
        datasets[test_set.name] = {name: measurement.metrics for name, measurement in measured.items()}
        for name, measurement in measured.items():
            report.curves.setdefault((test_set.name, name), {})[subject.label] = measurement
        report.notes.setdefault(test_set.name, _note(test_set))
        if num_queries:
            _add_lists(report, subject.label, test_set, ranking, num_queries)
    primary = next((f"{dataset}/{name}" for dataset, by_protocol in datasets.items() for name in by_protocol), None)
    if primary is None:
        raise ValueError(
            f"none of the protocols could be run on the features of {subject.label}; the warnings above "
            "say why, choose others with --protocols"
        )
    config = subject.recorded()
    config["test"]["average_precision"] = average_precision
    if known is not None:
        config["test"]["where_and_when"] = {"form": known.plausibility.form, "weight": known.weight}
    report.rankings[subject.label] = ranking
    report.results[subject.label] = {
        "config": config,
        "primary": primary,
        "datasets": datasets,
        "untrained": _untrained(subject, datasets),
    }


def protocols_to_run(own: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """A dataset's own protocols, or the wanted ones; of those that belong to other vehicle datasets only when none is
    its own.

    Args:
        own: names of the dataset's protocols. wanted: names asked for, or empty.
    """
    if not wanted:
        return tuple(own)
    if not set(own) & set(wanted):
        return tuple(wanted)
    foreign = {name for dataset in DATASETS.values() for name in dataset.protocols} - {*own, *DEFAULT_PROTOCOLS}
    return tuple(name for name in wanted if name not in foreign)


def _untrained(subject, datasets):
    """What a run recorded of its untrained network, where its trained figures of then are the figures of now."""
    kept = {}
    for dataset, by_protocol in datasets.items():
        for name, metrics in by_protocol.items():
            then = subject.own_results.get(dataset, {}).get(name, {})
            before = subject.untrained.get(dataset, {}).get(name)
            shared = then.keys() & metrics.keys()
            if before and shared and all(abs(then[key] - metrics[key]) < SAME for key in shared):
                kept.setdefault(dataset, {})[name] = {key: value for key, value in before.items() if key in metrics}
    return kept


def _note(test_set):
    queries = int(test_set.features.is_query.sum())
    text = f"{queries} query and {len(test_set.features) - queries} gallery images"
    if test_set.folder and is_rendered(test_set.folder):
        text += f", {RENDERED_NOTE}"
    return text


def _add_lists(report: Report, label: str, test_set, ranking, num_queries: int) -> None:
    options = {key: ranking[key] for key in ("dist_metric", "normalize_feature")}
    features = test_set.features
    try:
        if features.paths and not os.path.exists(features.paths[0]):
            raise ValueError(f"the image {features.paths[0]!r} does not exist; --root is where relative paths start")
        ranked = visualization.rank_queries(features, num_queries, TOP, **options)
    except ValueError as error:
        log.warning("no ranked lists of %s on %s: %s", label, test_set.name, error)
        return
    if ranked[1]:
        report.lists.setdefault(test_set.name, {})[label] = ranked


# ---------------------------------------------------------------------------------------------- files
def write_report(report: Report, folder: str, figures: bool = True) -> str:
    """Write results.json, results.csv, results.md and the pictures; returns the table and its notes as text.

    Args:
        folder: exists. figures: draw CMC curves (their CSV files are written in any case) and ranked lists.
    Raises:
        OSError: a file cannot be written. RuntimeError: matplotlib is missing, or an image cannot be read.
    """
    first, *others = report.results
    content = dict(report.results[first])
    if others:
        content |= {"network": first, "runs": report.results}
    write_atomically(os.path.join(folder, "results.json"), json.dumps(content, indent=1, sort_keys=True) + "\n")
    rows = tables.rows_of(report.results)
    write_atomically(os.path.join(folder, "results.csv"), tables.csv_table(rows))
    write_atomically(os.path.join(folder, "results.md"), _markdown(report, rows))
    write_curves(report, folder, figures)
    if figures:
        write_lists(report, folder)
    notes = [f"{dataset}: {note}" for dataset, note in report.notes.items()]
    return "\n".join([tables.text_table(rows), "", *notes])


def write_curves(report: Report, folder: str, figures: bool = True, prefix: str = "cmc") -> list[str]:
    """Write ``PREFIX_DATASET_PROTOCOL.csv`` and, with ``figures``, the CMC curves of the same name as PNG.

    Returns:
        list of the paths without suffix.
    """
    paths = []
    for (dataset, protocol), curves in report.curves.items():
        paths.append(os.path.join(folder, f"{prefix}_{file_name(dataset)}_{protocol}"))
        visualization.write_cmc_csv(f"{paths[-1]}.csv", curves)
        if figures:
            images = report.notes[dataset].partition(":")[0]
            visualization.draw_cmc(
                f"{paths[-1]}.png",
                f"{dataset}: CMC, protocol {protocol}",
                curves,
                f"{PROTOCOLS[protocol].description}; dataset of {images}",
            )
    return paths


def write_lists(report: Report, folder: str) -> dict[str, str]:
    """Draw the sheet of ranked lists of each dataset as ``ranked_DATASET.png``.

    Returns:
        {dataset: path}
    Raises:
        OSError, RuntimeError: a file cannot be written, or an image cannot be read.
    """
    paths = {}
    for dataset, subjects in report.lists.items():
        paths[dataset] = os.path.join(folder, f"ranked_{file_name(dataset)}.png")
        visualization.draw_ranked_lists(paths[dataset], _sheet_title(report, dataset, subjects), subjects, TOP)
    return paths


def _sheet_title(report: Report, dataset, subjects):
    network = f", {next(iter(subjects))}" if len(subjects) == 1 else ""
    count = len(next(iter(subjects.values()))[1])
    metrics = dict.fromkeys(_metric_name(report.rankings[label]) for label in subjects)
    rankings = [report.rankings[label] for label in subjects]
    later = [
        name
        for key, name in (("query_expansion", "query expansion"), ("rerank", "re-ranking"))
        if any(ranking.get(key) for ranking in rankings)
    ]
    reranked = f" before {' and '.join(later)}" if later else ""
    return (
        f"{dataset}{network}: {count} queries taken evenly from all, not by outcome, and their {TOP} nearest "
        f"gallery images{reranked} (d: {', '.join(metrics)})"
    )


def _metric_name(ranking):
    name = {"euclidean": "squared Euclidean distance", "cosine": "1 - cosine"}[ranking["dist_metric"]]
    return name + (" of normalized features" if ranking["normalize_feature"] else "")


def _expansion(ranking):
    count, alpha = ranking.get("query_expansion"), ranking.get("expansion_alpha")
    if not count:
        return ""
    return f", queries expanded by their {count} nearest ({f'alpha {alpha:g}' if alpha else 'average'})"


def _markdown(report: Report, rows: Any):
    """The table and everything that a reader needs to compare it."""
    published = [
        row
        for task in dict.fromkeys((row.dataset, row.protocol) for row in rows)
        for row in tables.published_rows(*task)
    ]
    lines = ["# Evaluation", "", tables.markdown_table(rows), "Values are percentages."]
    if any("mAP_std" in row.metrics for row in rows):
        lines[-1] += " Values with ± are means and standard deviations over ten draws."
    lines += ["", *(f"- {dataset}: {note}." for dataset, note in report.notes.items())]
    lines += [
        f"- {protocol}: {PROTOCOLS[protocol].description}." for protocol in dict.fromkeys(row.protocol for row in rows)
    ]
    lines += [
        f"- {label}: {_metric_name(ranking)}{_expansion(ranking)}{', re-ranked' if ranking['rerank'] else ''}, "
        f"average precision "
        f"{'by trapezoids' if ranking['average_precision'] == 'trapezoid' else 'as mean of precisions'}"
        f"{', CMC of protocol image by the metric of CUHK03' if ranking['use_metric_cuhk03'] else ''}."
        for label, ranking in report.rankings.items()
    ]
    if published:
        lines += [
            "",
            "Rows marked *published* are the figures of the methods' authors on the original releases, under "
            "the protocol that comes nearest to theirs; blank cells were not published or not checked.",
        ]
        lines += [f"- {line}" for line in _sources()]
    return "\n".join(lines) + "\n"


def _sources():
    by_source = {}
    for entry in PUBLISHED:
        by_source.setdefault(entry.source, {})[entry.network] = None
    return [f"{', '.join(networks)}: {source}." for source, networks in by_source.items()]
