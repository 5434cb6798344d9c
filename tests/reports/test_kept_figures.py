"""ealn_plugin/reports/kept_figures.py: a figure is drawn again exactly when what it shows has changed."""

import pathlib
import types

import pytest

from ealn_plugin.reports import kept_figures
from ealn_plugin.reports.kept_figures import KeptFigures


class Run(types.SimpleNamespace):
    """A run with two states that a test sets."""

    def state_of_files(self):
        return self.files

    def state_of_images(self):
        return self.images


@pytest.fixture
def run():
    return Run(label="run", num_images=16, files=1, images="a")


def drawer(stem="figure"):
    """A function that draws and counts."""

    def draw(runs, folder):
        draw.times += 1
        for ending in ("png", "csv"):
            pathlib.Path(folder, f"{stem}.{ending}").write_text(str(draw.times))
        return [str(pathlib.Path(folder, f"{stem}.png"))]

    draw.times = 0
    return draw


def test_drawn_once_until_something_changes(tmp_path, run, monkeypatch):
    draw, folder = drawer(), tmp_path / "figures"

    def times(networks=True):
        paths = KeptFigures(folder).fetch("what", [run], draw, networks)
        assert paths == [str(folder / "figure.png")]
        return draw.times

    assert [times(), times()] == [1, 1]
    run.files = 2
    assert [times(), times()] == [2, 2]
    run.images = "b"
    assert [times(), times()] == [3, 3]
    (folder / "figure.csv").unlink()
    assert [times(), times()] == [4, 4]
    (folder / kept_figures.LIST).write_bytes(b"\xff[")
    assert [times(), times()] == [5, 5]
    monkeypatch.setattr(kept_figures, "_program", lambda: "another version")
    assert times() == 6
    assert times(networks=False) == 7
    run.images = "c"
    assert times(networks=False) == 7, "what needs no networks does not look at the test images"


def test_a_file_belongs_to_the_figure_that_was_drawn_last(tmp_path, run):
    other = Run(label="other", num_images=16, files=1, images="a")
    draw, kept = drawer(), KeptFigures(tmp_path)
    for runs in ([run], [other], [run]):
        kept.fetch("what", runs, draw)
    assert draw.times == 3
    kept.fetch("another", [run], drawer("second"))
    kept.fetch("what", [run], draw)
    assert draw.times == 3


def test_what_cannot_be_drawn_leaves_no_entry(tmp_path, run):
    def fail(runs, folder):
        raise ValueError("no")

    kept = KeptFigures(tmp_path / "figures")
    with pytest.raises(ValueError, match="no"):
        kept.fetch("what", [run], fail)
    assert not (tmp_path / "figures" / kept_figures.LIST).exists()
