"""tools/label_viewpoints.py: the real command line on stand-in data."""

import json
import pathlib
import shutil

import pytest

from ealn_plugin.data.viewpoints import View, read_viewpoints_csv
from ealn_plugin.labelling.labels import VARIED
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

tool = load_tool("label_viewpoints")

SMALL = ["--size", "32", "--steps", "60", "--batch-size", "16", "--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return make_veri_folder(tmp_path_factory.mktemp("labelled"), train=16, test=8)


@pytest.fixture(scope="module")
def saved(labelled, tmp_path_factory):
    """The output folder of a run that only trains."""
    out = tmp_path_factory.mktemp("out")
    assert tool.main(["-s", "veri776", "--root", str(labelled), "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture
def unlabelled(labelled, tmp_path):
    shutil.copytree(labelled, tmp_path / "data")
    (tmp_path / "data" / "VeRi" / "viewpoints.csv").unlink()
    return tmp_path / "data"


@pytest.fixture
def use(saved, tmp_path):
    """A function that runs the tool with the saved classifier."""
    return lambda *options: tool.main(
        [
            "--classifier",
            str(saved / "classifier.pth"),
            "--workers",
            "0",
            "--device",
            "cpu",
            "--out",
            str(tmp_path / "out"),
            *map(str, options),
        ]
    )


def test_training_reports_on_held_out_vehicles(saved):
    report = json.loads((saved / "report.json").read_text())
    assert report["images"] == 8 * 6 and report["front_rear_accuracy"] > 0.9 and report["sources"] == ["veri776"]
    assert sum(map(sum, report["confusion"])) == report["images"]


def test_a_dataset_without_labels_gets_them_and_can_be_labelled_again(unlabelled, labelled, use, capsys):
    path = unlabelled / "VeRi" / "viewpoints.csv"
    assert use("-t", "veri776", "--root", unlabelled, "--min-confidence", 0.6) == 0
    first = path.read_bytes()
    found, true = read_viewpoints_csv(path), read_viewpoints_csv(labelled / "VeRi" / "viewpoints.csv")
    assert found.keys() == true.keys()
    known = [image for image, (view, _) in found.items() if view != View.UNKNOWN]
    assert len(known) > 0.8 * len(true) and sum(found[i][0] == true[i][0] for i in known) > 0.9 * len(known)
    assert all((view == View.UNKNOWN) == (confidence < 0.6) for view, confidence in found.values())
    assert "front/rear accuracy" in capsys.readouterr().out
    assert use("-t", "veri776", "--root", unlabelled, "--min-confidence", 0.6) == 0
    assert path.read_bytes() == first


def test_what_a_person_labelled_is_kept_unless_forced(labelled, unlabelled, use, capsys):
    path = unlabelled / "VeRi" / "viewpoints.csv"
    before = (labelled / "VeRi" / "viewpoints.csv").read_bytes()
    path.write_bytes(before)
    assert use("-t", "veri776", "--root", unlabelled) == 1
    assert "was not predicted" in capsys.readouterr().err and path.read_bytes() == before
    assert use("-t", "veri776", "--root", unlabelled, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "compared with the views that are known" in out and path.read_bytes() == before
    assert use("-t", "veri776", "--root", unlabelled, "--force") == 0
    assert read_viewpoints_csv(path).keys() == read_viewpoints_csv(labelled / "VeRi" / "viewpoints.csv").keys()
    assert (path.parent / "viewpoints.json").is_file()


def test_any_folder_and_the_first_images_of_it(unlabelled, use):
    folder = unlabelled / "VeRi" / "image_train"
    assert use("--images", folder, "--limit", 7) == 0
    labels = read_viewpoints_csv(folder / "viewpoints.csv")
    assert sorted(labels) == sorted(file.name for file in folder.glob("*.jpg"))[:7]
    assert json.loads((folder / "viewpoints.json").read_text())["held_out"]["images"] == 48


def test_rendered_vehicles_are_the_default(tmp_path, monkeypatch):
    asked = []

    def render(folder, layout, preset, seed):
        asked.append((folder, layout, preset, seed))
        return make_veri_folder(pathlib.Path(folder)) / "VeRi"

    monkeypatch.setattr(tool, "render_dataset", render)
    for preset in ([], ["--preset", "tiny", "--render-seed", "3"]):
        assert (
            tool.main(
                ["--rendered", str(tmp_path / "r"), *preset, "--out", str(tmp_path / "out"), *SMALL, "--steps", "2"]
            )
            == 0
        )
    assert asked == [
        (str(tmp_path / "r" / "varied_0"), "veri776", VARIED, 0),
        (str(tmp_path / "r" / "tiny_3"), "veri776", "tiny", 3),
    ]
    assert (tmp_path / "out" / "classifier.pth").is_file()


@pytest.mark.parametrize(
    "options, words",
    [
        (["--min-confidence", "1.5"], "--min-confidence is 1.5"),
        (["--steps", "0"], "--steps is 0"),
        (["--limit", "0"], "--limit is 0"),
        (["-s", "nothing"], "'nothing' is unknown"),
        (["-t", "veri776", "--root", "nowhere"], "was not found"),
        (["--images", "nowhere"], "holds no image"),
        (["--classifier", "none.pth"], "does not exist"),
        (["--classifier", "a", "-s", "b"], "leave one out"),
    ],
)
def test_bad_input_is_one_sentence(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert tool.main(options) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and len(error.splitlines()) == 1
