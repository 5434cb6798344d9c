"""ealn_plugin/commands/table_one.py: Table I from the real command line, gone on with, and its pictures."""

import csv

import pytest
from PIL import Image

from ealn_plugin.runs import grid
from tests.helpers.tool_modules import load_tool
from tests.runs.test_compared import SMALL

OPTIONS = [str(item) for setting in {**SMALL, "model.name": "resnet_small"}.items() for item in setting]


def table(root, out, *arguments):
    return load_tool("reproduce").main(["--table", "1", "--root", str(root), "--out", str(out), *arguments, *OPTIONS])


def test_rows_are_run_once(rendered_root, tmp_path, monkeypatch, capsys):
    started, train = [], grid.training.train
    monkeypatch.setattr(
        grid.training, "train", lambda config, *rest: started.append(config.model.name) or train(config, *rest)
    )
    arguments = ["--rows", "mixed_diff", "en", "--seeds", "1", "--jobs", "1"]
    assert table(rendered_root, tmp_path, *arguments) == 0
    assert sorted(started) == ["mixed:resnet_small", "resnet_small"]
    out = capsys.readouterr().out
    assert "Table I: veri776, veri_image" in out and "published figures are no yardstick" in out
    with open(tmp_path / "table_one.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["Mixed Diff + CCL", "EN"] and rows[0]["uses"] == "pixels"
    assert rows[1]["VeRI-776 mAP, published"] == "47.9"
    with open(tmp_path / "fig4_cmc.csv", encoding="utf-8", newline="") as file:
        curves = list(csv.DictReader(file))
    assert len(curves) == 20 and float(curves[-1]["EN"]) == 1.0
    assert min(Image.open(tmp_path / "fig4_cmc.png").size) > 500
    kept = (tmp_path / "table_one.md").read_bytes()
    assert table(rendered_root, tmp_path, *arguments) == 0
    assert len(started) == 2 and (tmp_path / "table_one.md").read_bytes() == kept


@pytest.mark.parametrize(
    "arguments, message", [(["--rows", "hdc"], "expected en among them"), (["--seeds", "1", "1"], "--seeds are 1 1")]
)
def test_nonsense_gets_one_sentence(rendered_root, tmp_path, capsys, arguments, message):
    assert table(rendered_root, tmp_path, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--config-file is missing"),
        (["--table", "1", "--bounds"], "expected it alone"),
        (["--table", "2"], "choose"),
    ],
)
def test_wrong_flags_end_at_once(capsys, arguments, message):
    with pytest.raises(SystemExit):
        load_tool("reproduce").main(arguments)
    assert message in capsys.readouterr().err
