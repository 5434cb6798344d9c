"""ealn_plugin/reports/html/reported_run.py: what a folder holds, and one sentence for what it lacks."""

import pytest

from ealn_plugin.reports.html import open_runs
from tests.helpers.run_folders import make_folder


def test_a_folder_without_checkpoint_says_so_and_shows_its_records(runs):
    first, second = runs
    assert (first.label, second.label) == ("hard_view", "en") and first.results["primary"] == "veri776/veri_image"
    assert first.unavailable == (
        "hard_view: there is no checkpoint_last.pth.tar; copy it into the run folder, or train on."
    )
    assert first.scalar_names() == ["distance/hard", "loss/D_star", "loss/E"] and list(first.sample_grids()) == [1, 2]


def test_where_a_missing_dataset_comes_from(tmp_path):
    folder = make_folder(tmp_path / "run", "ealn.render.preset", "small", "ealn.render.image_size", 48)
    (folder / "checkpoint_last.pth.tar").touch()
    assert open_runs([str(folder)])[0].unavailable.endswith(
        "ealn make-synthetic --root DIR --layout veri776 --preset small --seed 0 --image-size 48; then name "
        "it with --root DIR."
    )
    (other,) = open_runs([str(make_folder(tmp_path / "other"))], recorded=True)
    assert other.unavailable.startswith("other: only what the run recorded is shown, as asked")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"primary": 3}',
        '{"primary": "a/b", "datasets": {"a": {}}}',
        '{"primary": "a/b", "datasets": {"a": {"b": {"mAP": 1}, "c": 5}}}',
        '{"primary": "a/b", "datasets": {"a": {"b": {"mAP": "high"}}}}',
    ],
)
def test_results_that_cannot_be_used_are_none(tmp_path, content, caplog):
    folder = make_folder(tmp_path / "run")
    (folder / "results.json").write_text(content)
    assert open_runs([str(folder)])[0].results is None and "results.json cannot be used" in caplog.text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no config.yaml; give the data.save_dir"):
        open_runs([str(tmp_path)])
