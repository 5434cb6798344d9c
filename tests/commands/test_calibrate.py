"""ealn_plugin/commands/calibrate.py: an index learns what its similarities mean, and queries say it."""

import json

import pytest

from ealn_plugin.evaluation import calibration
from tests.helpers.tool_modules import load_tool

pytest.importorskip("lance")
search = load_tool("search")


def test_probabilities_and_a_threshold(veri_root, run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST", 2)
    index, data = str(tmp_path / "index"), ["--root", str(veri_root)]
    assert search.main(["index", "veri776", *data, "--run", str(run_folder), "--index", index, "--device", "cpu"]) == 0
    image = str(next(veri_root.rglob("image_query/*.jpg")))
    assert search.main(["query", image, "--index", index, "--threshold", "0.5"]) == 1
    assert "does not know what a similarity means" in capsys.readouterr().err
    figure = tmp_path / "reliability.png"
    assert (
        search.main(["calibrate", "veri776", *data, "--split", "train", "--index", index, "--figure", str(figure)]) == 0
    )
    out = capsys.readouterr().out
    assert "of 6 vehicles" in out and "a similarity of" in out and figure.stat().st_size > 1000
    answers = tmp_path / "answers.json"
    query = ["query", image, "--index", index, "--json", str(answers), "-k", "24"]
    assert search.main(query) == 0
    table = capsys.readouterr().out
    hits = json.loads(answers.read_text())["queries"][0]["nearest"]
    chances = [hit["probability"] for hit in hits]
    assert chances == sorted(chances, reverse=True) and all(0 <= chance <= 1 for chance in chances) and "same" in table
    middle = (chances[0] + chances[-1]) / 2
    assert (
        search.main(["query", image, "--index", index, "--json", str(answers), "-k", "24", "--threshold", f"{middle}"])
        == 0
    )
    kept = json.loads(answers.read_text())["queries"][0]["nearest"]
    assert [hit["id"] for hit in kept] == [hit["id"] for hit in hits if hit["probability"] >= middle] and kept
    assert search.main(["query", image, "--index", index, "--threshold", "2"]) == 1
    assert "--threshold is 2, expected a probability" in capsys.readouterr().err
