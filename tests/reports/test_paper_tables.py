"""ealn_plugin/reports/paper_tables.py: means, paired differences and intervals by hand, and the three tables."""

import math
import statistics

import pytest
from scipy import stats

from ealn_plugin.reports import paper_tables as grids


def results(mean_ap, cross=0.2, dataset="veri776", protocol="veri_image"):
    metrics = {"mAP": mean_ap, "rank1": mean_ap + 0.1, "rank5": mean_ap + 0.2, "rank10": mean_ap + 0.3}
    return {
        "primary": f"{dataset}/{protocol}",
        "config": {},
        "untrained": {},
        "datasets": {
            dataset: {
                protocol: metrics,
                "cross_view": {"mAP": cross},
                "same_view": {"mAP": 0.5},
                "all_views": {"mAP": mean_ap},
            }
        },
    }


EN, HARD = [0.30, 0.34, 0.29], [0.33, 0.35, 0.35]


@pytest.fixture
def grid():
    found = {("en", seed): results(value) for seed, value in enumerate(EN, 1)}
    found.update({("hard", seed): results(value, cross=0.25) for seed, value in enumerate(HARD, 1)})
    return grids.Grid(found)


def test_an_interval_is_students(grid):
    found = grid.mean("en", "veri_image", "mAP")
    half = stats.t.ppf(0.975, 2) * statistics.stdev(EN) / math.sqrt(3)
    assert (found.mean, found.half_width, found.count) == (pytest.approx(0.31), pytest.approx(half), 3)
    low, high = stats.t.interval(0.95, 2, loc=statistics.mean(EN), scale=stats.sem(EN))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_differences_are_paired_by_seed(grid):
    found = grid.difference("hard", "veri_image", "mAP")
    pairs = [b - a for a, b in zip(EN, HARD)]
    assert found.mean == pytest.approx(statistics.mean(pairs))
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * statistics.stdev(pairs) / math.sqrt(3))
    del grid.results["en", 2]
    assert grid.difference("hard", "veri_image", "mAP").count == 2


def test_one_seed_has_no_interval():
    found = grids.estimate([0.5])
    assert found.mean == 0.5 and math.isnan(found.half_width) and grids.estimate([]).count == 0


def test_tables(grid):
    one, two, three = grids.tables(grid).values()
    assert [row["network"] for row in one[:2]] == ["EN", "Hard-EALN"]
    assert one[0]["source"] == "measured, 3 seed(s)" and one[0]["mAP"].startswith("31.0 ± ")
    assert one[1]["mAP - EN"].startswith("+3.3 ± ") and one[0]["mAP - EN"] == ""
    published = {row["network"]: row for row in one if row["source"] == "published"}
    assert published["Hard-EALN"]["mAP"] == "55.4" and published["EN"].get("rank 1") is None
    assert two[1]["cross view"].startswith("25.0") and two[1]["cross view - EN"].startswith("+5.0")
    assert [row["network"] for row in three] == ["EN"]
    text, markdown = grids.as_text("Table I", one), grids.as_markdown("Table I", one)
    assert "Hard-EALN" in text and "*55.4*" in markdown and "| Hard-EALN | measured" in markdown


def test_the_papers_table_2_stands_beside_vehicleid():
    two = list(
        grids.tables(grids.Grid({("en", 1): results(0.5, dataset="vehicleid", protocol="vehicleid_cmc")})).values()
    )[1]
    row = next(row for row in two if row["network"] == "Hard-View-EALN")
    assert row["source"] == "published" and row["cross view"] == "42.6" and row["same view"] == "89.2"
