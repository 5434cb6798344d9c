"""ealn_plugin/commands/evaluate.py: the real command line on stand-in data."""

import importlib.util
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin.evaluation.extraction import FeatureExtraction
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

evaluate, train = load_tool("evaluate"), load_tool("train_ealn")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_veri_folder(tmp_path_factory.mktemp("evaluate"), train=4, test=4)


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Two short runs, with and without a generator of other views."""
    folder = tmp_path_factory.mktemp("runs")
    for scheme in ("en", "view"):
        assert (
            train.main(
                [
                    "--root",
                    str(root),
                    "model.name",
                    "osnet_x0_25",
                    "model.pretrained",
                    "False",
                    "use_gpu",
                    "False",
                    "data.height",
                    "32",
                    "data.width",
                    "32",
                    "data.workers",
                    "0",
                    "train.max_epoch",
                    "1",
                    "train.batch_size",
                    "8",
                    "ealn.scheme",
                    scheme,
                    "ealn.generator.filters",
                    "2",
                    "ealn.generator.blocks",
                    "1",
                    "ealn.discriminator.filters",
                    "2",
                    "ealn.discriminator.layers",
                    "1",
                    "data.save_dir",
                    str(folder / scheme),
                ]
            )
            == 0
        )
    return folder


@pytest.fixture
def extractions(monkeypatch):
    """The names of the datasets whose features were extracted."""
    names, before = [], FeatureExtraction.dataset

    def counted(self, loaders, name, progress=True):
        names.append(name)
        return before(self, loaders, name, progress)

    monkeypatch.setattr(FeatureExtraction, "dataset", counted)
    return names


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def flags(root, out, *more):
    return [*map(str, more), "--root", str(root), "--out", str(out), "--workers", "0", "--device", "cpu"]


def test_a_runs_figures_are_its_own(runs, root, tmp_path, capsys):
    assert evaluate.main(flags(root, tmp_path, "--run", runs / "view")) == 0
    found, own = results_of(tmp_path), results_of(runs / "view")
    for key in ("datasets", "untrained", "primary"):
        assert found[key] == own[key]
    out = capsys.readouterr().out
    assert "veri_track" in out and "published" in out and f"results and figures: {tmp_path}" in out
    for name in ("cmc_veri776_veri_image.png", "cmc_veri776_cross_view.png", "ranked_veri776.png"):
        assert min(Image.open(tmp_path / name).size) > 300
    text = "".join((tmp_path / name).read_text() for name in ("results.json", "results.csv", "results.md"))
    assert str(root) not in text and str(runs) not in text and str(tmp_path) not in text


def test_where_and_when_is_added_and_recorded(runs, root, tmp_path, capsys):
    command = flags(root, tmp_path, "--run", runs / "en", "--no-figures", "--where-and-when", "transitions")
    assert evaluate.main([*command, "--where-weight", "0.25"]) == 0
    found, own = results_of(tmp_path), results_of(runs / "en")
    assert found["config"]["test"]["where_and_when"] == {"form": "transitions", "weight": 0.25}
    assert found["datasets"] != own["datasets"]
    assert evaluate.main([*command, "--where-weight", "-1"]) == 1
    assert "--where-weight is -1, expected 0 or more" in capsys.readouterr().err


def test_features_are_stored_and_equal_runs_write_equal_files(runs, root, tmp_path, extractions):
    command = flags(root, tmp_path, "--run", runs / "view", runs / "en")
    assert evaluate.main(command) == 0 and extractions == ["veri776"] * 2
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.suffix != ".log"}
    assert evaluate.main(command) == 0 and extractions == ["veri776"] * 2
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.suffix != ".log"}
    assert sorted(results_of(tmp_path)["runs"]) == ["en", "view"]
    fused, own = (np.load(tmp_path / "features" / name / "veri776.npz")["features"] for name in ("view", "en"))
    assert fused.shape[1] == 2 * own.shape[1]
    assert evaluate.main([*command, "--recompute", "--no-figures"]) == 0 and len(extractions) == 4
    assert evaluate.main([*command, "--no-fusion", "--no-figures"]) == 0 and len(extractions) == 5
    assert (
        evaluate.main(
            [
                *command,
                "--no-figures",
                "--dist-metric",
                "cosine",
                "--normalize-feature",
                "--rerank",
                "--ranks",
                "1",
                "3",
                "--average-precision",
                "trapezoid",
                "--protocols",
                "veri_image",
            ]
        )
        == 0
    )
    assert len(extractions) == 6  # the fused features again
    found = results_of(tmp_path)
    assert found["datasets"]["veri776"].keys() == {"veri_image"}
    assert found["datasets"]["veri776"]["veri_image"].keys() == {"mAP", "mINP", "rank1", "rank3"}
    assert found["config"]["test"]["dist_metric"] == "cosine" and found["config"]["test"]["rerank"] is True


def test_a_changed_checkpoint_or_dataset_is_noticed(runs, tmp_path, extractions):
    data = make_veri_folder(tmp_path / "data", train=4, test=4)
    run = shutil.copytree(runs / "en", tmp_path / "run")
    command = flags(data, tmp_path / "out", "--run", run, "--no-figures")
    assert evaluate.main(command) == 0 and len(extractions) == 1
    path = run / "checkpoint_last.pth.tar"
    state = torch.load(path, weights_only=True)
    torch.save({**state, "global_step": 999}, path)
    assert evaluate.main(command) == 0 and len(extractions) == 1  # the same networks
    next(value for value in state["model"].values() if value.is_floating_point()).add_(1e-3)
    torch.save(state, path)
    assert evaluate.main(command) == 0 and len(extractions) == 2
    os.unlink(sorted((data / "VeRi" / "image_test").iterdir())[0])
    assert evaluate.main(command) == 0 and len(extractions) == 3


def test_a_torchreid_model_and_features_beside_it(runs, root, tmp_path):
    weights = runs / "en" / "model" / "model-last.pth.tar"
    model = ["--model", "osnet_x0_25", "--weights", weights, "--height", "32", "--width", "32", "-t", "veri776"]
    assert evaluate.main(flags(root, tmp_path, *model, "--normalize-feature", "--no-figures")) == 0
    normalized = results_of(tmp_path)["datasets"]["veri776"]
    own = results_of(runs / "en")["datasets"]["veri776"]
    for protocol in own:  # EALN's features have length 1
        assert normalized[protocol]["mAP"] == pytest.approx(own[protocol]["mAP"], abs=1e-4)
    stored = tmp_path / "features" / "osnet_x0_25" / "veri776.npz"
    assert evaluate.main(flags(root, tmp_path / "again", "--features", stored, *model, "--queries", "2")) == 0
    found = results_of(tmp_path / "again")["runs"]
    assert found["veri776.npz"]["datasets"] == found["osnet_x0_25"]["datasets"]
    assert "veri776.npz" in (tmp_path / "again" / "cmc_veri776_same_view.csv").read_text().splitlines()[0]


def test_features_made_elsewhere(tmp_path):
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(30), 4)
    path = tmp_path / "vehicleid_large.npz"
    arrays = dict(features=rng.normal(size=(120, 8)) + pids[:, None], pids=pids, camids=pids * 0)
    np.savez(path, **arrays, is_query=rng.random(120) < 0.5)
    assert evaluate.main(["--features", str(path), "--out", str(tmp_path / "a")]) == 0
    np.savez(path, **arrays, is_query=np.zeros(120, dtype=bool))
    assert evaluate.main(["--features", str(path), "--out", str(tmp_path / "b"), "--no-figures"]) == 0
    one, two = (results_of(tmp_path / name)["datasets"]["vehicleid_large"] for name in "ab")
    assert set(one) == {"vehicleid_cmc", "vehicleid_map"} and one["vehicleid_map"]["mAP_std"] > 0
    assert one == two  # whatever is_query says
    assert (tmp_path / "a" / "cmc_vehicleid_large_vehicleid_cmc.png").exists()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "nothing to evaluate"),
        (["--weights", "x"], "--weights is 'x', but there is no such file"),
        (["--model", "resnet18"], "has no datasets to be tested on"),
        (["--run", "/no/run"], "'/no/run' has no config.yaml"),
        (["--features", "/no.npz"], "is '/no.npz', but there is no such file"),
        (["--features", "a", "-t", "a", "b"], "-t names 2 datasets"),
        (["--model", "resnet18", "-t", "veri776", "--root", "/no"], "VeRi776 was not found"),
        (["--model", "resnet18", "-t", "veri776", "--protocols", "veri"], "'veri' is not a protocol"),
        (["--model", "resnet18", "-t", "veri776", "--ranks", "0"], "--ranks is 0, expected 1 or more"),
        (["--model", "resnet18", "-t", "veri776", "--queries", "-1"], "--queries is -1, expected 0 or more"),
        (["--model", "resnet18", "-t", "veri776", "--batch-size", "0"], "test.batch_size is 0, expected at least 1"),
        (["--model", "resnet18", "-t", "veri776", "--height", "4"], "data.height is 4, expected at least 16"),
        (["--model", "resnet18", "-t", "veri776", "--weights", "/no.pth"], "is '/no.pth', but there is no such file"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, sentence, tmp_path, capsys):
    assert evaluate.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_an_unreadable_image_and_a_missing_matplotlib_get_a_sentence(runs, tmp_path, capsys, monkeypatch):
    data = make_veri_folder(tmp_path / "data", train=4, test=4)
    sorted((data / "VeRi" / "image_test").iterdir())[3].write_bytes(b"no picture")
    assert evaluate.main(flags(data, tmp_path / "out", "--run", runs / "en")) == 1
    assert "cannot be decoded" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert evaluate.main(flags(data, tmp_path / "out", "--run", runs / "en")) == 1
    error = capsys.readouterr().err
    assert "matplotlib is not installed" in error and "or leave the figures out with --no-figures" in error
