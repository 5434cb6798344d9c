"""ealn_plugin/reports/table_one.py: measured figures with intervals, published ones beside them, curves by hand."""

import pytest

from ealn_plugin.reports.paper_tables import Grid
from ealn_plugin.reports.table_one import cmc_curves, published_cells, table_one


def results(value, ranks=(1, 2, 3, 5, 10)):
    metrics = {"mAP": value, **{f"rank{rank}": min(1.0, value + rank / 20) for rank in ranks}}
    return {"primary": "veri776/veri_image", "datasets": {"veri776": {"veri_image": metrics}}}


@pytest.fixture
def grid():
    values = {"en": (0.3, 0.4), "hdc": (0.35, 0.41), "hard_view": (0.5, 0.5)}
    return Grid({(row, seed): results(value) for row, both in values.items() for seed, value in enumerate(both)})


LABELS = {"en": "EN", "hdc": "HDC + contrastive", "hard_view": "Hard-View-EALN"}


def test_each_row_says_what_it_uses_and_what_was_published(grid):
    rows = table_one(grid, ["hdc", "en", "hard_view", "vami"], LABELS, {"hard_view": ("view",), "en": ()})
    assert [row["network"] for row in rows] == ["HDC + contrastive", "EN", "Hard-View-EALN"]
    assert [row["uses"] for row in rows] == ["pixels", "pixels", "pixels + view"]
    assert rows[1]["mAP"] == "35.0 ± 63.5" and rows[1]["mAP - EN"] == "" and rows[0]["mAP - EN"].startswith("+3.0 ± ")
    assert rows[2]["VeRI-776 mAP, published"] == "57.4" and rows[2]["VehicleID small mAP, published"] == "77.5"
    assert rows[0]["VeRI-776 mAP, published"] == "" and len({tuple(row) for row in rows}) == 1
    assert published_cells("vami")["rank 1, published"] == "77.0"


def test_curves_are_means_over_the_seeds_up_to_the_first_gap(grid):
    curves = cmc_curves(grid, ["en", "xvgan", "hdc"], LABELS)
    assert list(curves) == ["EN", "HDC + contrastive"]
    assert curves["EN"].curve == pytest.approx((0.4, 0.45, 0.5)) and curves["EN"].metrics["mAP"] == pytest.approx(0.35)
