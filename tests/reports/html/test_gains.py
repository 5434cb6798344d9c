"""ealn_plugin/reports/html/gains.py: the run that a gain is measured against, and the room."""

import json
import math

import pytest

from ealn_plugin.reports.html import gains, open_runs
from tests.helpers.run_folders import make_folder


def with_map(folder, value):
    """Change the mAP of the primary protocol in a folder's results."""
    results = json.loads((folder / "results.json").read_text())
    results["datasets"]["veri776"]["veri_image"]["mAP"] = value
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def folder(tmp_path):
    """A run of Hard-EALN with EN beside it, as ealn.beside leaves it."""
    folder = with_map(make_folder(tmp_path / "hard run", "ealn.scheme", "hard"), 0.30)
    with_map(make_folder(folder / "en", "ealn.scheme", "en"), 0.25)
    return folder


def test_en_beside_the_run_and_the_room(folder):
    (run,) = open_runs([str(folder)])
    found = gains.references(run)
    assert list(found) == ["en"] and gains.gain(run.results, found["en"], "mAP") == pytest.approx(0.05)
    assert math.isnan(gains.gain(run.results, found["en"], "rank50")) and gains.room_sentence(run, found) == ""
    with_map(make_folder(folder / "hard_truth", "ealn.scheme", "hard_truth"), 0.35)
    found = gains.references(run)
    assert gains.room_sentence(run, found).startswith("That is 50% of the room: Hard, renderer's fakes gain +10.0")
    with_map(folder / "hard_truth", 0.25)
    assert "so there is no room" in gains.room_sentence(run, gains.references(run))


def test_runs_of_other_settings_are_no_reference(folder, tmp_path):
    for options in (["train.seed", 2], ["ealn.paired_groups", True], ["train.max_epoch", 3], ["ealn.scheme", "view"]):
        other = make_folder(tmp_path / str(options), "ealn.scheme", "en", *options)
        (run,) = open_runs([str(folder)])
        (folder / "en").rename(tmp_path / "away")
        other.rename(folder / "en")
        assert gains.references(run) == {}, options
        (folder / "en").rename(other)
        (tmp_path / "away").rename(folder / "en")
    (folder / "en" / "results.json").write_text("{")
    assert gains.references(run) == {}
    pasted = make_folder(tmp_path / "en page", "ealn.scheme", "en", "ealn.hard.candidates", 5)
    run, other = open_runs([str(folder), str(pasted)])
    assert list(gains.references(run, [other])) == ["en"], "EN knows nothing of edits"


def test_a_grid_says_its_share_over_all_seeds(tmp_path):
    for scheme, value in (("en", 0.25), ("hard", 0.30)):
        with_map(make_folder(tmp_path / "seed_1" / scheme, "ealn.scheme", scheme), value)
    (run,) = open_runs([str(tmp_path / "seed_1" / "hard")])
    found = gains.references(run)
    assert list(found) == ["en"] and gains.room_sentence(run, found) == ""
    shares = tmp_path / "share_of_the_room.csv"
    shares.write_text("network,source,mAP\nHard-EALN,of the truth,61% (40 to 85)\n")
    assert gains.room_sentence(run, found).endswith("this share of the truth: 61% (40 to 85).")
    shares.write_text("nothing\n1\n")
    assert gains.room_sentence(run, found) == ""
