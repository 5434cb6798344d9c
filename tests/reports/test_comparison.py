"""ealn_plugin/reports/comparison.py: which protocols run, what is kept, and the files."""

import json
import os

import numpy as np
import pytest

from ealn_plugin import config as configuration
from ealn_plugin.evaluation.features import Features
from ealn_plugin.reports.comparison import evaluate_subjects, protocols_to_run, write_report
from ealn_plugin.reports.subjects import Subject, TestSet

VERI = ("veri_image", "veri_track", "same_view")


class Given(Subject):
    """A subject with features made here."""

    def __init__(self, label, seed=0, views=(0, 1), untrained=None, own_results=None):
        super().__init__(
            label,
            configuration.load_config("", ["ealn.scheme", "en", "test.ranks", [1, 5]]),
            own_results or {},
            untrained or {},
        )
        rng = np.random.default_rng(seed)
        self.features = Features(
            rng.normal(size=(60, 4)), np.arange(60) % 6, np.arange(60) % 4, rng.choice(views, 60), np.arange(60) < 12
        )

    def evaluation_sets(self, store):
        yield TestSet("veri776", self.features, VERI)


@pytest.mark.parametrize(
    "own, wanted, expected",
    [
        (VERI, (), VERI),
        (VERI, ("veri_track", "image"), ("veri_track", "image")),
        (VERI, ("vehicleid_cmc", "veri_image"), ("veri_image",)),
        (VERI, ("vehicleid_cmc",), ("vehicleid_cmc",)),
        (
            ("vehicleid_cmc", "cross_view"),
            ("veri_image", "vehicleid_cmc", "cross_view"),
            ("vehicleid_cmc", "cross_view"),
        ),
        (("image",), ("veri_image", "image"), ("image",)),
    ],
)
def test_each_dataset_runs_its_own_of_the_wanted_protocols(own, wanted, expected):
    assert protocols_to_run(own, wanted) == expected


def test_one_subject_has_the_shape_of_results_json(tmp_path):
    report = evaluate_subjects([Given("net")], None, num_queries=4)
    text = write_report(report, tmp_path, figures=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert sorted(results) == ["config", "datasets", "primary", "untrained"]
    assert results["primary"] == "veri776/veri_image" and list(results["datasets"]["veri776"]) == sorted(VERI)
    assert sorted(results["datasets"]["veri776"]["veri_image"]) == ["mAP", "mINP", "rank1", "rank5"]
    assert results["config"]["test"]["average_precision"] == "mean"
    assert text.endswith("veri776: 12 query and 48 gallery images") and "published" in text
    assert sorted(os.listdir(tmp_path)) == [
        "cmc_veri776_same_view.csv",
        "cmc_veri776_veri_image.csv",
        "cmc_veri776_veri_track.csv",
        "results.csv",
        "results.json",
        "results.md",
    ]
    markdown = (tmp_path / "results.md").read_text()
    assert "average precision as mean of precisions" in markdown and "Lou et al." in markdown


def test_several_subjects(tmp_path):
    report = evaluate_subjects([Given("net"), Given("other", seed=1)], None, ("veri_image",), "trapezoid")
    write_report(report, tmp_path, figures=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert sorted(results["runs"]) == ["net", "other"] and results["network"] == "net"
    assert results["datasets"] == results["runs"]["net"]["datasets"] != results["runs"]["other"]["datasets"]
    assert results["config"]["test"]["average_precision"] == "trapezoid"
    assert (tmp_path / "cmc_veri776_veri_image.csv").read_text().startswith("rank,net,other\n")
    assert "by trapezoids" in (tmp_path / "results.md").read_text()


def test_untrained_figures_are_kept_only_beside_the_figures_they_were_recorded_with():
    now = evaluate_subjects([Given("net")], None).results["net"]["datasets"]
    before = {"veri776": {name: {"mAP": 0.1, "rank1": 0.2, "rank20": 0.5} for name in (*VERI, "cross_view")}}
    kept = evaluate_subjects([Given("net", own_results=now, untrained=before)], None).results["net"]["untrained"]
    assert kept == {"veri776": {name: {"mAP": 0.1, "rank1": 0.2} for name in VERI}}
    now["veri776"]["veri_image"]["mAP"] += 0.01
    kept = evaluate_subjects([Given("net", own_results=now, untrained=before)], None).results["net"]["untrained"]
    assert list(kept["veri776"]) == ["veri_track", "same_view"]


def test_nothing_to_rank_is_an_error():
    with pytest.raises(ValueError, match="none of the protocols could be run on the features of net"):
        evaluate_subjects([Given("net", views=(-1,))], None, ("cross_view",))
