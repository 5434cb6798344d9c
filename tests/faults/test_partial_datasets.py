"""A copy of a dataset that has only its test part: it is tested on, and training on it is refused in a sentence."""

import shutil

import pytest

from ealn_plugin.data import VehicleID, VeRi776
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

SAME = ["data.workers", "0", "ealn.test_untrained", "False"]


@pytest.fixture
def part_root(veri_root, tmp_path):
    shutil.copytree(veri_root / "VeRi", tmp_path / "part" / "VeRi")
    shutil.rmtree(tmp_path / "part" / "VeRi" / "image_train")
    return tmp_path / "part"


def run_tool(name, *arguments):
    return load_tool(name).main([str(argument) for argument in arguments])


def test_a_run_is_tested_on_it(part_root, veri_root, run_folder, tmp_path):
    """The same results as on the whole dataset, by evaluate.py and by train_ealn.py test.evaluate True."""
    found = []
    for root, name in ((veri_root, "whole"), (part_root, "part")):
        out = tmp_path / name
        arguments = ["--run", run_folder, "--root", root, "--out", out, "--workers", 0, "--no-figures"]
        assert run_tool("evaluate", *arguments) == 0
        tested = tmp_path / f"{name}_again"
        assert (
            run_tool(
                "train_ealn",
                "--config-file",
                run_folder / "config.yaml",
                "--root",
                root,
                *SAME,
                "test.evaluate",
                "True",
                "model.resume",
                run_folder,
                "data.save_dir",
                tested,
            )
            == 0
        )
        found.append([(out / "results.csv").read_text(), (tested / "results.json").read_text()])
    assert found[0] == found[1]


def test_a_model_is_tested_on_it(part_root, tmp_path, tiny_resnet):
    out = tmp_path / "out"
    size = ["--height", 32, "--width", 32, "--workers", 0, "--no-figures"]
    assert run_tool("evaluate", "--model", "resnet18", "-t", "veri776", "--root", part_root, "--out", out, *size) == 0


@pytest.fixture
def tiny_resnet(monkeypatch):
    from tests.helpers.standins import use_tiny_backbone

    use_tiny_backbone(monkeypatch, "resnet18")


def test_training_on_it_is_refused(part_root, run_folder, tmp_path, capsys):
    for sampler in ("RandomIdentitySampler", "RandomSampler"):
        code = run_tool(
            "train_ealn",
            "--config-file",
            run_folder / "config.yaml",
            "--root",
            part_root,
            "data.save_dir",
            tmp_path / "run",
            "sampler.train_sampler",
            sampler,
            *SAME,
        )
        error = capsys.readouterr().err.splitlines()[-1]
        assert code == 1 and f"veri776 in '{part_root}' has no training images; unpack them" in error, error


def test_the_datasets_say_so(part_root, tmp_path, caplog):
    dataset = VeRi776(part_root)
    assert dataset.train == [] and dataset.num_train_pids == 0 and len(dataset.query) == 8
    assert "holds no training images: it can be tested on, not trained on" in caplog.text
    assert len(VeRi776(part_root, mode="train")) == 0 and len(VeRi776(part_root, mode="gallery")) == 24
    combined = VeRi776(part_root, combineall=True)
    assert len(combined.train) == 32 and combined.num_train_pids == 4
    assert {item[1] for item in combined.train} == {0, 1, 2, 3} and combined.data is combined.train


def test_vehicleid_without_its_training_list(tmp_path, caplog):
    folder = tmp_path / "VehicleID"
    (folder / "image").mkdir(parents=True)
    (folder / "train_test_split").mkdir()
    for number in range(4):
        (folder / "image" / f"000000{number}.jpg").touch()
    listed = "".join(f"000000{number} {number // 2}\n" for number in range(4))
    (folder / "train_test_split" / "test_list_800.txt").write_text(listed)
    dataset = VehicleID(tmp_path)
    assert dataset.train == [] and len(dataset.query) == 2
    assert "holds no training images" in caplog.text


def test_a_whole_dataset_says_nothing_of_the_kind(tmp_path, caplog):
    VeRi776(make_veri_folder(tmp_path))
    assert "training images:" not in caplog.text
