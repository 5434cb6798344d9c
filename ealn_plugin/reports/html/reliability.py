"""The section on what a similarity of a run's features is worth: probabilities of the same vehicle, and how true they
are."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ealn_plugin.evaluation import calibration
from ealn_plugin.evaluation.calibration import Calibration
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.features import Features
from ealn_plugin.reports.html.blocks import Charts, Note, Section, embed_picture
from ealn_plugin.reports.html.pictures import DETAILED
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.reports.names import file_name
from ealn_plugin.system.entrances import command
from ealn_plugin.system.files import csv_text, write_atomically
from ealn_plugin.system.messages import sentence
from ealn_plugin.visualization.reliability import draw_reliability

log = logging.getLogger(__name__)

ASKING = 2_000
"""Test images whose nearest ones are looked at, at most."""


def reliability(runs: Sequence[Any], store_folder: str, kept: KeptFigures) -> Section:
    """Section: for each run and dataset how far the probability of the same vehicle can be trusted.

    It is fitted on half of the test vehicles and drawn for the other half: the network knows its training vehicles by
    heart, and similarities among them promise too much.

    Args:
        runs: list of ReportedRun. store_folder: where features are kept. kept: where the figures are kept.
    """
    pictures: list[Any] = []
    blocks: list[Any] = []
    for run in [run for run in runs if not run.unavailable][:DETAILED]:

        def draw(chosen: Sequence[Any], folder: str) -> list[str]:
            return [
                draw_one(chosen[0].label, test_set.name, test_set.features, folder)
                for test_set in chosen[0].subject.evaluation_sets(FeatureStore(store_folder))
            ]

        try:
            pictures += [
                embed_picture(path, _alt(run.label), photographs=False)
                for path in kept.fetch("reliability of probabilities", [run], draw)
            ]
        except (ValueError, OSError, RuntimeError) as error:
            log.warning("%s: %s", run.label, error)
            blocks.append(Note(f"Not shown for {run.label}: {sentence(error)}", missing=True))
    if pictures:
        blocks = [Note(_ABOUT), Charts(tuple(pictures), width=26), *blocks]
    return Section("reliability", "The same vehicle? How far a probability can be trusted", blocks)


_ABOUT = (
    f"Of each test image the {calibration.HITS} most similar ones of other cameras count, as a search shows them. A "
    "logistic curve turns their similarities into probabilities of the same vehicle. It is fitted on half of the test "
    "vehicles, and the points show the other half: on the dashed line a probability is the share that it promises. "
    f"{command('search')} calibrate stores such a curve in an index."
)


def _alt(label: str) -> str:
    return f"Probability of the same vehicle against the share of hits that show it, on test vehicles of {label}"


def draw_one(label: str, dataset: str, features: Features, folder: str) -> str:
    """Fit on one half of the vehicles and draw the other, with the points as a CSV beside; returns the PNG's path.

    Raises:
        ValueError: too few vehicles. OSError: a file cannot be written.
    """
    fitted = fit(features, dataset)
    path = os.path.join(folder, f"reliability_{file_name(label)}_{file_name(dataset)}.png")
    draw_reliability(path, f"{label}: {dataset}", fitted.shares, fitted.error)
    header = ("mean_probability", "share_of_same_vehicles", "hits")
    write_atomically(f"{os.path.splitext(path)[0]}.csv", csv_text(header, fitted.shares))
    return path


def fit(features: Features, dataset: str) -> Calibration:
    """``calibration.fit`` of the images of a test set.

    Raises:
        ValueError: too few vehicles or hits.
    """
    lengths = np.linalg.norm(features.embeddings, axis=1, keepdims=True)
    known = (features.camids != np.where(features.is_query, 0, 1)).any()  # else numbers that stand for no camera
    cameras = features.camids.astype(str) if known else np.full(len(features), "")
    return calibration.fit(
        (features.embeddings / np.maximum(lengths, 1e-12)).astype(np.float32),
        features.pids.astype(str).tolist(),
        cameras.tolist(),
        dataset,
        most=ASKING,
    )
