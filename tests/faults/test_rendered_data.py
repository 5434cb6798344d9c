"""Rendered data in the place of a release says so in every log, table and report."""

import json

import pytest

from ealn_plugin.data.files import RENDERED, RENDERED_NOTE
from tests.helpers.command_lines import SMALL
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

EN_ALONE = [
    *map(str, SMALL),
    *("ealn.scheme", "en", "train.max_epoch", "1", "ealn.warmup_epochs", "0", "ealn.warmup_generator_epochs", "0"),
]


@pytest.fixture(params=[True, False], ids=["rendered", "real"])
def place(request, tmp_path):
    root = make_veri_folder(tmp_path / "reid-data")
    if request.param:
        (root / "VeRi" / RENDERED).write_text('{"parameters": {}, "counts": {}}')
    return tmp_path, request.param


def run_tool(name, *arguments):
    assert load_tool(name).main([str(argument) for argument in arguments]) == 0


def test_training_and_evaluation_say_it(place, tiny, capsys):
    folder, rendered = place
    root, run = folder / "reid-data", folder / "run"
    run_tool("train_ealn", "--root", root, *EN_ALONE, "data.save_dir", run)
    printed = capsys.readouterr().out
    assert (f"VeRi: {RENDERED_NOTE}" in (run / "train.log").read_text()) == rendered
    assert (f"\nveri776: {RENDERED_NOTE}\n" in printed) == rendered
    assert set(json.loads((run / "results.json").read_text())) == {"config", "primary", "datasets", "untrained"}
    run_tool("evaluate", "--run", run, "--root", root, "--out", folder / "out", "--workers", 0, "--no-figures")
    assert (RENDERED_NOTE in (folder / "out" / "results.md").read_text()) == rendered
    assert (RENDERED_NOTE in capsys.readouterr().out) == rendered


def test_the_page_and_the_papers_tables_say_it(place, tiny, capsys):
    pytest.importorskip("jinja2")
    folder, rendered = place
    (folder / "empty.yaml").touch()
    out, page = folder / "grid", folder / "page.html"
    start = ["--config-file", folder / "empty.yaml", "--root", folder / "reid-data", "--out", out]
    run_tool("reproduce", *start, "--schemes", "en", "--seeds", "1", "--jobs", "1", *EN_ALONE)
    assert (f"veri776: {RENDERED_NOTE}" in (out / "tables.md").read_text()) == rendered
    assert (f"veri776: {RENDERED_NOTE}" in capsys.readouterr().out) == rendered
    run_tool("report", "--run", out / "seed_1" / "en", "--recorded", "--out", page)
    assert (RENDERED_NOTE in page.read_text()) == rendered
