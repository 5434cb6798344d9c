"""ealn_plugin/reports/html/reliability.py: a figure for each run that can be fitted, else a sentence."""

import csv
import types

import numpy as np
import pytest

from ealn_plugin.evaluation import calibration
from ealn_plugin.evaluation.features import Features
from ealn_plugin.reports.html import reliability
from ealn_plugin.reports.html.page import render
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.reports.subjects import TestSet
from tests.helpers.browser import open_in_chromium


def features_of(vehicles, cameras=True):
    """Clusters that overlap, not of length 1; four images of each vehicle, a query among them, from two cameras."""
    random = np.random.default_rng(0)
    pids = np.repeat(np.arange(vehicles), 4)
    embeddings = 7 * (random.normal(size=(vehicles, 6))[pids] + 0.35 * random.normal(size=(len(pids), 6)))
    is_query = np.arange(len(pids)) % 4 == 0
    camids = np.arange(len(pids)) // 2 % 2 if cameras else np.where(is_query, 0, 1)
    return Features(embeddings.astype(np.float32), pids, camids, np.full(len(pids), -1), is_query)


def run_of(label, features, unavailable=""):
    """Stands for a ReportedRun, as far as the section asks."""
    sets = [TestSet("veri776", features, ())]
    subject = types.SimpleNamespace(evaluation_sets=lambda store: asked.append(label) or sets)
    asked = []
    return types.SimpleNamespace(
        label=label,
        subject=subject,
        unavailable=unavailable,
        num_images=1,
        state_of_files=lambda: label,
        state_of_images=lambda: "",
        asked=asked,
    )


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """(the section, its runs, folder of the figures, the section made again)."""
    folder = tmp_path_factory.mktemp("figures")
    runs = [run_of("<b>one", features_of(60)), run_of("few", features_of(4)), run_of("gone", None, "no dataset")]
    made = [reliability.reliability(runs, str(folder), KeptFigures(folder)) for _ in range(2)]
    return made[0], runs, folder, made[1]


def test_a_figure_or_a_sentence_for_each_run(section):
    made, runs, folder, again = section
    note, charts, missing = made.blocks
    assert made.folded and "fitted on half of the test vehicles" in note.text and len(charts.pictures) == 1
    assert "test vehicles of <b>one" in charts.pictures[0].alt
    assert missing.missing and missing.text.startswith("Not shown for few: veri776: 4 vehicles have hits, ")
    assert again.blocks == made.blocks and runs[0].asked == ["<b>one"], "what has not changed is not drawn again"


def test_the_points_are_those_of_the_half_that_was_not_fitted(section):
    (path,) = section[2].glob("reliability_*.csv")
    features = features_of(60)
    unit = features.embeddings / np.linalg.norm(features.embeddings, axis=1, keepdims=True)
    names = [str(pid) for pid in features.pids]
    fitted = calibration.fit(unit.astype(np.float32), names, [str(camera) for camera in features.camids])
    rows = list(csv.reader(path.open()))[1:]
    np.testing.assert_allclose(np.array(rows, dtype=float), fitted.shares, rtol=1e-6)


def test_numbers_that_stand_for_no_camera_leave_no_image_out():
    """As the field gives queries the one and gallery images the other where cameras are not known."""
    fitted = reliability.fit(features_of(60, cameras=False), "vehicleid")
    assert fitted.pairs == 240 * calibration.HITS and fitted.shares[-1][1] > fitted.shares[0][1]


def test_it_fits_a_phone(section, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render("one", "two", [section[0]]), encoding="utf-8")
    found = open_in_chromium(page, tmp_path)
    assert found["scrollWidth"] <= found["innerWidth"] == 390 and found["sideways"] == [] and found["folded"] < 400
    assert found["images"] and found["without_alt"] == 0 and found["problems"] == []
