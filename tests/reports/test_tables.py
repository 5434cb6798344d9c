"""ealn_plugin/reports/tables.py: rows in order, published ones marked, nothing filled in."""

import csv
import io

import pytest

from ealn_plugin.reports.tables import Row, csv_table, markdown_table, published_rows, rows_of, text_table

RESULTS = {
    "ours": {
        "datasets": {
            "veri776": {
                "veri_image": {"mAP": 0.5, "rank1": 0.75, "rank10": 0.875, "mINP": 0.25},
                "veri_track": {"mAP": 0.6, "rank1": 0.7},
            }
        },
        "untrained": {"veri776": {"veri_image": {"mAP": 0.0625, "rank1": 0.125}}},
    },
    "a|b": {
        "datasets": {
            "vehicleid": {"vehicleid_map": {"mAP": 0.3, "mAP_std": 0.01, "rank1": 0.4, "rank1_std": 0.02}},
            "veri776": {"veri_image": {"mAP": 1 / 3, "rank1": 0.5, "rank10": 1.0, "mINP": 0.0}},
        },
        "untrained": {},
    },
}


def test_rows_of_one_task_stand_together():
    rows = rows_of(RESULTS)
    assert [(row.dataset, row.protocol, row.network, row.kind) for row in rows] == [
        ("veri776", "veri_image", "ours", "measured"),
        ("veri776", "veri_image", "ours", "untrained"),
        ("veri776", "veri_image", "a|b", "measured"),
        ("veri776", "veri_track", "ours", "measured"),
        ("vehicleid", "vehicleid_map", "a|b", "measured"),
    ]
    assert rows[1].metrics == {"mAP": 0.0625, "rank1": 0.125}


@pytest.mark.parametrize(
    "dataset, protocol, expected",
    [
        (
            "veri776",
            "veri_image",
            {
                "EN": (47.85, None),
                "Hard-EALN": (55.36, 84.26),
                "Hard-View-EALN": (57.44, 84.39),
                "VAMI (2018)": (50.13, 77.03),
                "OIFE (2017)": (48.00, None),
                "FastReID, ResNet-50-IBN": (81.9, 97.0),
                "TransReID": (82.1, 97.4),
                "CLIP-SENet": (92.9, 98.7),
            },
        ),
        ("vehicleid", "vehicleid_map", {"EN": (67.5, None), "Hard-EALN": (75.1, None), "Hard-View-EALN": (77.5, None)}),
        ("vehicleid_small", "cross_view", {"Hard-EALN": (37.8, None), "Hard-View-EALN": (42.6, None)}),
        ("vehicleid_small", "same_view", {"Hard-EALN": (89.6, None), "Hard-View-EALN": (89.2, None)}),
        ("vehicleid_small", "vehicleid_cmc", {}),
        ("vehicleid_large", "vehicleid_map", {}),
        ("veri776", "cross_view", {}),
    ],
)
def test_published_figures(dataset, protocol, expected):
    found = {
        row.network: tuple(
            None if row.metrics.get(key) is None else round(100 * row.metrics[key], 4) for key in ("mAP", "rank1")
        )
        for row in published_rows(dataset, protocol)
    }
    assert found == expected


def test_markdown_marks_what_is_published():
    lines = markdown_table(rows_of(RESULTS)).splitlines()
    assert lines[0] == "| dataset | protocol | network | source | mAP | rank 1 | rank 10 | mINP |"
    assert lines[1] == "|---|---|---|---|---:|---:|---:|---:|"
    assert lines[2] == "| veri776 | veri_image | **ours** | measured | 50.00 | 75.00 | 87.50 | 25.00 |"
    assert lines[3] == "| veri776 | veri_image | ours | untrained | 6.25 | 12.50 |  |  |"
    assert lines[4] == r"| veri776 | veri_image | **a\|b** | measured | 33.33 | 50.00 | 100.00 | 0.00 |"
    assert lines[5] == "| veri776 | veri_image | *EN* | *published* | *47.85* |  |  |  |"
    assert lines[6] == "| veri776 | veri_image | *Hard-EALN* | *published* | *55.36* | *84.26* |  |  |"
    assert "| vehicleid | vehicleid_map | **a\\|b** | measured | 30.00 ± 1.00 | 40.00 ± 2.00 |  |  |" in lines
    assert all(line.count("|") - line.count(r"\|") == 9 for line in lines)


def test_text_is_aligned():
    lines = text_table(rows_of(RESULTS)).splitlines()
    assert lines[0].split() == ["dataset", "protocol", "network", "source", "mAP", "rank", "1", "rank", "10", "mINP"]
    ours = next(line for line in lines if "veri_track" in line)
    assert ours.index("60.00") + 5 == lines[0].index("mAP") + 3 and "published" not in ours
    assert sum("published" in line for line in lines) == 11
    assert lines.index("") == 13  # between one protocol and the next


def test_csv_keeps_every_digit_and_only_measured_rows():
    rows = list(csv.DictReader(io.StringIO(csv_table(rows_of(RESULTS)))))
    assert list(rows[0]) == [
        "dataset",
        "protocol",
        "network",
        "kind",
        "mAP",
        "mAP_std",
        "rank1",
        "rank1_std",
        "rank10",
        "mINP",
    ]
    assert float(rows[2]["mAP"]) == 1 / 3 and rows[0]["mAP_std"] == "" and rows[4]["mAP_std"] == "0.01"
    assert [row["kind"] for row in rows] == ["measured", "untrained", "measured", "measured", "measured"]


def test_ranks_are_ordered_by_number():
    row = Row("d", "image", "n", "measured", {"mINP": 0.1, "rank20": 0.5, "rank5": 0.3, "mAP": 0.2})
    assert markdown_table([row]).startswith("| dataset | protocol | network | source | mAP | rank 5 | rank 20 | mINP |")
