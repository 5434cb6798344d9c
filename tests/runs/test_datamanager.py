"""The data manager of a configuration that names a user's own photographs."""

import json

import pytest

from ealn_plugin import config
from ealn_plugin.runs.datamanager import build_datamanager
from tests.helpers.photographs import take_photographs, write_rows

SMALL = [
    *("use_gpu", False, "data.height", 16, "data.width", 16, "data.workers", 0),
    *("train.batch_size", 8, "sampler.num_instances", 2),
]


def configured(path, *options, **names):
    names = names or dict(sources=[path], targets=[path])
    return config.load_config("", [*SMALL, *options], **names)


@pytest.fixture
def path(tmp_path):
    return f"csv:{write_rows(tmp_path / 'my cars.csv', take_photographs(tmp_path))}"


def test_sources_and_targets_are_registered(path):
    manager = build_datamanager(configured(path))
    assert manager.sources == manager.targets == ["my_cars"] and manager.num_train_pids == 4
    assert len(next(iter(manager.train_loader))["img"]) == 8


def test_split_id_is_the_seed(path):
    tested = [
        frozenset(
            item[1]
            for item in build_datamanager(configured(path, "data.split_id", seed))
            .test_loader["my_cars"]["query"]
            .dataset.data
        )
        for seed in range(5)
    ]
    assert len(set(tested)) > 1


def test_a_run_that_is_tested_uses_what_it_has_recorded(path, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    recorded = {"train": [f"car {n}" for n in range(3)], "test": [f"car {n}" for n in range(3, 6)], "query": []}
    (folder / "splits.json").write_text(json.dumps({"my_cars": recorded}))
    began = ["model.resume", str(folder)], ["ealn.start_from", str(folder / "checkpoint_warmup.pth.tar")]
    for options in (["test.evaluate", True, "data.save_dir", str(folder)], *began):
        manager = build_datamanager(
            configured(path, "train.batch_size", 6, *options), train=options[0] != "test.evaluate"
        )
        assert {item[1] for item in manager.test_loader["my_cars"]["query"].dataset.data} == {3, 4, 5}
    fresh = build_datamanager(configured(path, "data.save_dir", str(folder)))  # a new run that replaces it
    assert {item[1] for item in fresh.test_loader["my_cars"]["query"].dataset.data} != {3, 4, 5}


@pytest.mark.parametrize("text", ["{", "[]", '{"my_cars": {"train": []}}', '{"my_cars": 3}'])
def test_a_broken_record_is_named(path, tmp_path, text):
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(ValueError, match="splits.json does not say how datasets are split"):
        build_datamanager(configured(path, "model.resume", str(tmp_path)))


def test_too_few_vehicles_for_a_batch_are_counted(path):
    with pytest.raises(
        ValueError, match="takes 8 vehicles at a time .*, but my_cars has 4 training vehicles; use train.b.* 8 or"
    ):
        build_datamanager(configured(path, "train.batch_size", 16))


def test_modules_are_imported_before_names_are_looked_up(path, tmp_path):
    (tmp_path / "own_registration.py").write_text(
        "import torchreid\nfrom ealn_plugin.data import VeRi776\n\n\n"
        "class Registered(VeRi776):\n    pass\n\n\n"
        "torchreid.data.register_image_dataset('registered_there', Registered)\n"
    )
    wanted = configured(
        path, "ealn.imports", [f"{tmp_path}/own_registration"], sources=["registered_there"], targets=[path]
    )
    with pytest.raises(FileNotFoundError, match="Registered was not found"):  # known, and looks for its release
        build_datamanager(wanted)
