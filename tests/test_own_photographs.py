"""A user's own photographs and modules, from training to export without writing Python; real processes with a limit."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.helpers.pages import ROOT
from tests.helpers.photographs import take_photographs, write_rows

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]), "OMP_NUM_THREADS": "1"}
TINY = {
    "use_gpu": False,
    "model": {"name": "resnet_small", "pretrained": False},
    "data": {"height": 32, "width": 32, "workers": 0},
    "train": {"batch_size": 8, "max_epoch": 1},
    "sampler": {"num_instances": 2},
    "ealn": {
        "scheme": "hard",
        "hard": {"generator": "edit"},
        "generator": {"filters": 4, "blocks": 1},
        "discriminator": {"filters": 4, "layers": 1},
    },
}


def ealn(folder, *arguments, code=0):
    """What a command printed, as one line of words; its exit code is checked."""
    done = subprocess.run(
        [sys.executable, "-m", "ealn_cli", *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code and "Traceback" not in said, said[-4000:]
    return " ".join(said.split())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, its run): a run on 'photos/my cars.csv' without a split, begun there with a relative path."""
    folder = tmp_path_factory.mktemp("user")
    rows = take_photographs(folder / "photos" / "shots", vehicles=7)
    for row in rows:
        row["path"] = f"shots/{row['path']}"
    write_rows(folder / "photos" / "my cars.csv", rows, ("path", "pid", "camid", "view"))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    said = ealn(
        folder, "train", "--config-file", "tiny.yaml", "--data", "photos/my cars.csv", "data.save_dir", "log/run"
    )
    assert (
        "split by vehicle with data.split_id 0, as no split is given: 5 training vehicles and 2 test vehicles" in said
    )
    return folder, folder / "log" / "run"


def test_names_are_safe_and_the_record_has_no_paths(trained):
    folder, run = trained
    results = json.loads((run / "results.json").read_text())
    assert results["primary"] == "my_cars/image"
    assert set(results["datasets"]["my_cars"]) == {"image", "same_view", "cross_view", "all_views"}
    assert results["config"]["data"]["sources"] == ["csv:my cars.csv"] and str(folder) not in json.dumps(results)
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert kept["data"]["sources"] == kept["data"]["targets"] == [f"csv:{folder}/photos/my cars.csv"]
    assert len(json.loads((run / "splits.json").read_text())["my_cars"]["train"]) == 5


def test_evaluate_from_another_folder_finds_the_data_and_the_same_figures(trained, tmp_path):
    _, run = trained
    said = ealn(tmp_path, "evaluate", "--run", run, "--out", "evaluation", "--no-figures")
    assert "split by vehicle as this run has recorded it: 5 training vehicles and 2 test vehicles" in said
    then, now = (json.loads((path / "results.json").read_text()) for path in (run, tmp_path / "evaluation"))
    assert now["datasets"]["my_cars"]["image"]["mAP"] == pytest.approx(
        then["datasets"]["my_cars"]["image"]["mAP"], abs=1e-6
    )
    assert sorted(os.listdir(tmp_path / "evaluation" / "features" / "run")) == ["my_cars.json", "my_cars.npz"]


def test_data_that_have_moved_and_grown_keep_the_split_of_the_run(trained, tmp_path):
    folder, run = trained
    os.symlink(folder / "photos" / "shots", tmp_path / "shots")
    rows = take_photographs(tmp_path / "new", vehicles=9, seed=5)
    new = "".join(f"new/{row['path']},new {row['pid']},{row['camid']},{row['view']}\n" for row in rows)
    (tmp_path / "my cars.csv").write_text((folder / "photos" / "my cars.csv").read_text() + new)
    said = ealn(tmp_path, "evaluate", "--run", run, "--data", "my cars.csv", "--out", "evaluation", "--no-figures")
    assert "as this run has recorded it: 5 training vehicles and 11 test vehicles" in said


def test_search_finds_photographs(trained, tmp_path):
    folder, run = trained
    csv = folder / "photos" / "my cars.csv"
    said = ealn(tmp_path, "search", "index", "--data", csv, "--run", run, "--index", "index")
    assert "its gallery part is taken, 8 of 42 images; --split train query gallery takes all" in said
    ealn(tmp_path, "search", "add", f"csv:{csv}", "--split", "train", "query", "--index", "index")
    image = folder / "photos" / "shots" / "3_gate_1.jpg"
    ealn(tmp_path, "search", "query", image, "--index", "index", "--json", "found.json", "-k", "1")
    text = (tmp_path / "found.json").read_text()
    assert str(image) in text and "42" in ealn(tmp_path, "search", "info", "--index", "index")


@pytest.mark.slow  # half a minute; CI exports, draws and reports other runs
def test_export_visualize_and_report(trained, tmp_path):
    _, run = trained
    ealn(tmp_path, "export", "--run", run, "--out", "exported", "--formats", "program")
    assert (tmp_path / "exported" / "embedding.pt2").stat().st_size > 0
    ealn(tmp_path, "visualize", "--run", run, "--figures", "4", "--out", "figures")
    assert any("my_cars" in name for name in os.listdir(tmp_path / "figures"))
    ealn(tmp_path, "report", "--recorded", "--run", run, "--out", "report.html")
    assert "my_cars" in (tmp_path / "report.html").read_text()


def test_a_run_goes_on(trained, tmp_path):
    _, run = trained
    said = ealn(tmp_path, "train", "model.resume", run, "train.max_epoch", "2", "data.save_dir", "on")
    assert "as this run has recorded it: 5 training vehicles" in said
    assert (tmp_path / "on" / "splits.json").read_text() == (run / "splits.json").read_text()


@pytest.mark.slow
def test_a_folder_without_views_through_a_grid(tmp_path):
    for vehicle in range(6):
        take_photographs(tmp_path / "cars" / f"car {vehicle}", vehicles=1, cameras=("gate",), shots=4, seed=vehicle)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    arguments = ["--config-file", "tiny.yaml", "--data", "cars", "--schemes", "en", "--seeds", "1", "2", "--jobs", "2"]
    said = ealn(tmp_path, "reproduce", *arguments, "--out", "grid")
    assert "tables: grid/tables.md" in said
    logs = [(tmp_path / "grid" / f"seed_{seed}" / "en" / "train.log").read_text() for seed in (1, 2)]
    line = "4 training vehicles and 2 test vehicles with 2 query images of 2 vehicles and 6 gallery images; every image"
    assert all(line in log for log in logs)
    assert "tables: grid/tables.md" in ealn(tmp_path, "reproduce", *arguments, "--out", "grid")  # nothing is run again


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["train", "--data", "none.csv"], "--data is 'none.csv', but there is no such file or folder; give a CSV with"),
        (["train", "-s", "csv:none.csv", "-t", "veri776"], "-s names 'csv:none.csv', but there is no such CSV file"),
        (
            ["evaluate", "--model", "resnet18", "--data", "none", "--out", "out"],
            "--data is 'none', but there is no such",
        ),
        (
            ["search", "index", "--index", "out", "--model", "resnet18"],
            "there is nothing to add, expected a folder, an",
        ),
        (["label-viewpoints", "--data", "none.csv"], "--data is 'none.csv', but there is no such file or folder"),
        (
            ["reproduce", "--config-file", "ealn_veri.yaml", "--data", "none.csv"],
            "--data is 'none.csv', but there is no",
        ),
        (
            ["train", "--import", "no_such_module", "--data", "."],
            "the module 'no_such_module' of --import could not be imp",
        ),
        (["train", "--data", "empty.csv"], "empty.csv is empty, expected the line path,pid,camid"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, expected):
    (tmp_path / "empty.csv").touch()
    said = ealn(tmp_path, *arguments, code=1)
    assert "error: " in said and expected in said


OWN_MODULE = """
import torch
import torchreid
from ealn_plugin import toolkit
from ealn_plugin.data.base import VehicleDataset
from own_names import NAME


class Registered(VehicleDataset):
    def __init__(self, root="", **kwargs):
        names = [f"{v}_{c}_{s}.jpg" for v in range(7) for c in ("gate", "yard") for s in range(3)]
        items = [(f"shots/{name}", int(name[0]), int("yard" in name)) for name in names]
        splits = {"train": items[:30], "query": items[30::6], "gallery": items[33::6]}
        super().__init__(root, splits, {}, {}, **kwargs)


def own_model(num_classes, loss="softmax", pretrained=False, use_gpu=False, **kwargs):
    return toolkit.build_model("resnet_small", num_classes, loss, pretrained, use_gpu)


torchreid.data.register_image_dataset(NAME, Registered)
toolkit.register_model("own_model", own_model)
"""


@pytest.mark.slow  # half a minute; tests/system/test_imports.py has the parts
def test_a_module_of_ones_own_is_used_by_every_command(trained, tmp_path):
    folder, _ = trained
    here, there = tmp_path / "project", tmp_path / "elsewhere"
    here.mkdir(), there.mkdir()
    (here / "own_module.py").write_text(OWN_MODULE)
    (here / "own_names.py").write_text("NAME = 'registered_by_me'\n")
    (here / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    root = folder / "photos"
    said = ealn(
        here, "train", "--import", "own_module", "--config-file", "tiny.yaml", "-s", "registered_by_me", "-t",
        "registered_by_me", "--root", root, "model.name", "own_model", "ealn.scheme", "en", "data.save_dir", "run",
        "data.workers", "1",
    )  # fmt: skip
    assert f"imported own_module from {here}/own_module.py" in said
    kept = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert kept["ealn"]["imports"] == [f"{here}/own_module"]
    results = json.loads((here / "run" / "results.json").read_text())
    assert results["config"]["ealn"]["imports"] == ["own_module"] and results["primary"] == "registered_by_me/image"
    run = here / "run"
    ealn(there, "evaluate", "--run", run, "--out", "evaluation", "--no-figures")
    imports = ["--import", here / "own_module.py"]
    ealn(there, "search", "index", "registered_by_me", "--root", root, "--run", run, *imports, "--index", "index")
    ealn(there, "search", "query", root / "shots" / "6_gate_0.jpg", "--index", "index")
    ealn(there, "export", "--run", run, "--out", "exported", "--formats", "program")


@pytest.mark.slow
def test_an_index_of_a_model_of_ones_own_is_asked_without_naming_its_module(trained, tmp_path):
    folder, run = trained
    (tmp_path / "own_module.py").write_text(OWN_MODULE.replace("from own_names import NAME", "NAME = 'another'"))
    shots, weights = folder / "photos" / "shots", run / "model" / "model-last.pth.tar"
    given = ["--model", "own_model", "--weights", weights, "--height", "32", "--width", "32"]
    said = ealn(tmp_path, "search", "index", shots, *given, "--index", "index", code=1)
    assert "model.name is 'own_model', expected one of torchreid's" in said
    ealn(tmp_path, "search", "index", shots, *given, "--import", "own_module", "--index", "index")
    ealn(folder, "search", "query", shots / "6_gate_0.jpg", "--index", tmp_path / "index")
