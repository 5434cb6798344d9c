"""Names of a user's datasets: registered on the fly, the same in every process, safe in files."""

import functools
import multiprocessing
import pickle

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data.own.names import build_dataset, registered, splits_to_record
from tests.helpers.photographs import take_photographs, write_rows


@pytest.fixture
def make_csv(tmp_path):
    """A function that makes a CSV of photographs in a folder and returns the name of the dataset."""

    def make(name):
        folder = (tmp_path / name).parent
        return f"csv:{write_rows(tmp_path / name, take_photographs(folder))}"

    return make


def test_a_data_manager_knows_the_name(make_csv):
    name = make_csv("photos of mine/my cars.csv")
    names = registered([name, "veri776"])
    assert names == {name: "my_cars", "veri776": "veri776"}
    manager = toolkit.build_datamanager(
        sources=names[name], targets=names[name], height=16, width=16, batch_size_train=4, workers=0, use_gpu=False
    )
    assert manager.num_train_pids == 4 and list(manager.test_loader) == ["my_cars"]


def test_names_do_not_collide_and_do_not_depend_on_earlier_calls(make_csv):
    one, other, taken = make_csv("a/cars.csv"), make_csv("b/cars.csv"), make_csv("c/veri776.csv")
    assert registered([one, other]) == {one: "cars", other: "b_cars"}
    assert registered([other, one]) == {other: "cars", one: "a_cars"}
    assert registered([other]) == {other: "cars"} and build_dataset(other, "").dataset_dir.endswith("b")
    assert registered([taken])[taken] == "c_veri776"
    assert registered([one, one]) == {one: "cars"}


def test_one_that_is_gone_leaves_its_name_to_another_copy(make_csv, tmp_path):
    there = make_csv("new/cars.csv")
    gone = f"csv:{tmp_path}/old/cars.csv"
    assert registered([gone, there])[there] == "cars"


def test_relative_names_mean_the_same_dataset(make_csv, tmp_path, monkeypatch):
    name = make_csv("a/cars.csv")
    monkeypatch.chdir(tmp_path / "a")
    assert set(registered([name, "csv:cars.csv", "cars.csv"]).values()) == {"cars"}
    assert build_dataset("cars.csv", "").num_train_pids == 4


def test_what_is_registered_is_no_class_of_its_own(make_csv):
    name = make_csv("a/cars.csv")
    assert isinstance(toolkit.registered_dataset(registered([name])[name]), functools.partial)


def test_a_dataset_reaches_a_process_that_is_started_anew(make_csv):
    found = build_dataset(make_csv("a/cars.csv"), "")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_look, (pickle.dumps(found),)).get(timeout=120) == (24, 4, 8, "a/cars")


def _look(pickled):
    found = pickle.loads(pickled)
    return len(found.train), len(found.query), len(found.gallery), f"{found.dataset_dir[-1]}/{found.title}"


def test_splits_are_recorded_under_the_registered_name(make_csv):
    name = make_csv("a/cars.csv")
    assert [*splits_to_record([name, "veri776"], 0)] == ["cars"]
    assert splits_to_record(["veri776"], 0) == {}
