"""Names of a user's own datasets in a configuration: absolute in the run, short in what is recorded."""

import os

import pytest

from ealn_plugin import config
from ealn_plugin.config import own_data
from ealn_plugin.config.resuming import settings, settled


@pytest.mark.parametrize(
    "name, expected",
    [
        ("csv:a/cars.csv", ("csv", "a/cars.csv")),
        ("folder:cars", ("folder", "cars")),
        ("cars.csv", ("csv", "cars.csv")),
        ("CARS.CSV", ("csv", "CARS.CSV")),
        ("veri776", None),
        ("csv:", None),
        ("https:x", None),
        ("csvs:x", None),
    ],
)
def test_what_a_name_says(name, expected):
    assert own_data.parse(name) == expected


def test_absolute_and_short_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert own_data.absolute("csv:a/cars.csv") == f"csv:{tmp_path}/a/cars.csv"
    assert own_data.absolute("~/cars.csv") == f"csv:{os.path.expanduser('~')}/cars.csv"
    assert own_data.short(own_data.absolute("folder:a/cars/")) == "folder:cars"
    assert own_data.absolute("veri776") == own_data.short("veri776") == "veri776"


@pytest.mark.parametrize(
    "name, parents, expected",
    [
        ("csv:/photos/my cars.csv", 0, "my_cars"),
        ("csv:/photos/my cars.csv", 1, "photos_my_cars"),
        ("csv:/photos/my cars.csv", 9, "photos_my_cars"),
        ("csv:/photos/labels.txt", 0, "labels.txt"),
        ("folder:/photos/Käfer & Co/", 0, "K_fer_Co"),
        ("csv:/photos/+++.csv", 0, "own_data"),
        ("csv:/" + "x" * 200 + ".csv", 0, "x" * 60),
        ("veri776", 0, "veri776"),
    ],
)
def test_display_names_are_safe_in_files_and_tables(name, parents, expected):
    assert own_data.display_name(name, parents) == expected


def test_from_path_finds_out_what_is_there(tmp_path):
    (tmp_path / "cars.txt").touch()
    (tmp_path / "cars").mkdir()
    assert own_data.from_path(str(tmp_path / "cars.txt")) == f"csv:{tmp_path}/cars.txt"
    assert own_data.from_path(str(tmp_path / "cars")) == f"folder:{tmp_path}/cars"
    assert own_data.from_path(f"folder:{tmp_path}/cars") == f"folder:{tmp_path}/cars"
    for wrong in ("none.csv", "veri776", f"csv:{tmp_path}/cars", "csv:none.csv"):
        with pytest.raises(FileNotFoundError, match="there is no such"):
            own_data.from_path(wrong)


def loaded(path, **options):
    return config.load_config(
        "", [item for pair in options.items() for item in pair], training=True, sources=[path], targets=[path]
    )


def test_a_configuration_has_absolute_names_and_its_record_short_ones(tmp_path, monkeypatch):
    (tmp_path / "cars.csv").touch()
    monkeypatch.chdir(tmp_path)
    found = loaded("csv:cars.csv")
    assert found.data.sources == found.data.targets == [f"csv:{tmp_path}/cars.csv"]
    recorded = config.recorded(found)
    assert recorded["data"]["sources"] == ["csv:cars.csv"] and str(tmp_path) not in str(recorded)
    assert str(tmp_path) not in str(settings(found))


def test_a_run_goes_on_with_data_that_have_moved_but_not_with_others(tmp_path):
    for name in ("a/cars.csv", "b/cars.csv", "b/bikes.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    began, moved, other = (loaded(f"csv:{tmp_path}/{name}") for name in ("a/cars.csv", "b/cars.csv", "b/bikes.csv"))
    used, kept = settled(moved, began)
    assert used.data.sources == [f"csv:{tmp_path}/b/cars.csv"] and kept == {}
    with pytest.raises(ValueError, match="data.sources is .*bikes.csv.* cannot change on the way"):
        settled(other, began)


def test_training_data_that_are_gone_are_named_at_once(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="data.sources names 'csv:.*none.csv', but there is no such CSV file; giv"
    ):
        loaded(f"csv:{tmp_path}/none.csv")
    config.load_config("", [], sources=[f"csv:{tmp_path}/none.csv"])  # a network is loaded without its data
