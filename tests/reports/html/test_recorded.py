"""ealn_plugin/reports/html/recorded.py: results with published rows marked, curves, diagnostics."""

import math

from ealn_plugin.data.files import RENDERED_NOTE
from ealn_plugin.reports.html import recorded
from ealn_plugin.reports.kept_figures import KeptFigures
from ealn_plugin.reports.plain_names import DIAGNOSTICS
from tests.helpers.run_folders import METRICS, texts


def test_published_rows_are_marked_and_the_primary_protocols_come_first(runs):
    section = recorded.results(runs, {})
    tables = [block for block in section.blocks if block.block == "table"]
    assert [table.caption.partition(":")[0] for table in tables] == ["veri776, veri_image", "veri776, cross_view"]
    kinds = {}
    for line in tables[0].lines:
        kinds.setdefault(line.kind, []).append(line.cells)
    assert kinds["measured"] == [("hard_view", "measured", "25.00", "50.00"), ("en", "measured", "25.00", "50.00")]
    assert kinds["untrained"][0] == ("hard_view", "untrained", "6.25", "12.50")
    assert ("EN", "published", "47.85", "") in kinds["published"] and len(kinds) == 3
    assert "figures of the methods' authors" in texts(section, "note")[1]


def test_a_rendered_benchmark_is_no_yardstick_and_missing_results_are_measured(runs, tmp_path):
    runs[0].own_config.defrost()
    runs[0].own_config.ealn.render.preset = "tiny"
    section = recorded.results(runs, {})
    assert texts(section, "note")[1] == f"The dataset holds {RENDERED_NOTE}."
    kinds = {line.kind for block in section.blocks if block.block == "table" for line in block.lines}
    assert kinds == {"measured", "untrained"}
    for run in runs:
        run.results = None
    assert "None of the runs has results yet" in texts(recorded.results(runs, {}), "note")[0]
    measured = {"en": {"datasets": {"veri776": METRICS}, "untrained": {}}}
    assert "veri776, veri_image" in texts(recorded.results(runs, measured), "table")[0]


def test_curves_in_groups_and_runs_without_any(runs, tmp_path):
    section = recorded.curves(runs, KeptFigures(tmp_path))
    groups = {block.title: block.blocks[0].pictures for block in section.blocks if block.block == "group"}
    assert {title: [picture.alt for picture in pictures] for title, pictures in groups.items()} == {
        f"{title} (1)": [f"Curve over the training steps: {words} of hard_view"]
        for title, words in (
            ("Embedding network: what it minimises", "all terms together (loss/E)"),
            ("Discriminators: what they minimise", "real or generated views (loss/D_star)"),
            ("Distances in a batch, means", "to the hard negative (distance/hard)"),
        )
    }
    assert section.teaser == "3 values in 3 groups"
    assert any("No training curves of en" in note for note in texts(section, "note"))


def test_diagnostics_and_their_meaning(runs, tmp_path):
    section = recorded.diagnostics(runs, KeptFigures(tmp_path))
    assert "No diagnostics of en" in texts(section, "note")[-1]
    (group,) = [block for block in section.blocks if block.block == "group"]
    table, charts = group.blocks
    assert group.title == "Hard negatives" and len(charts.pictures) == 2
    assert table.lines[0].cells == ("hard_view", ": ".join(DIAGNOSTICS["probe_auc"]), "1.000")
    assert table.lines[1].cells[2] == "nan"


def test_a_broken_table_of_diagnostics_is_no_table(runs, tmp_path):
    for content in (b"\xff\xfe\x00", b"no,header\n1,2\n", b"epoch,hard/change\nx,1\n2,y\n"):
        (tmp_path / "hard_view" / "diagnostics.csv").write_bytes(content)
        recorded.diagnostics(runs, KeptFigures(tmp_path))
        assert recorded._numbers(runs[0]) == []


def test_every_number_that_the_engine_diagnoses_is_explained():
    import numpy as np

    from ealn_plugin.evaluation.diagnostics import diagnose

    rng, found = np.random.default_rng(0), {}
    real, pixels = rng.normal(size=(6, 4)), dict(change=np.ones(6), output_variety=1, change_variety=1)
    for margins in ({"alpha": 1.0}, {"alpha": 1.0, "beta1": 0.1, "beta2": 0.1}):
        found |= diagnose(real, np.arange(6) // 2, real + 0.1, np.arange(6), pixels, margins)
    found |= diagnose(real, np.arange(6) // 2, real + 0.1, np.arange(6), pixels, {"alpha": 1.0}, d_hard=np.ones(6))
    assert set(found) == set(DIAGNOSTICS) and all(not math.isnan(value) for value in found.values())
