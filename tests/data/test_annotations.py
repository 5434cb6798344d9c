import os

import pytest
import torch

from ealn_plugin.data.annotations import AnnotationTable, appearance_group, read_models


def test_lookup_gives_a_long_tensor_with_minus_one_for_unknown():
    table = AnnotationTable()
    table.update({"/data/a.jpg": 2, "/data/b.jpg": 0})
    labels = table.lookup(["/data/b.jpg", "/data/nothing.jpg", "/data/a.jpg"])
    assert labels.dtype == torch.int64 and labels.tolist() == [0, -1, 2]
    assert table.lookup([]).shape == (0,) and table.lookup([]).dtype == torch.int64


def test_relative_and_untidy_paths_are_the_same_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = AnnotationTable()
    table.update({os.path.join("VeRi", ".", "x", "..", "a.jpg"): 1})
    assert table.get(tmp_path / "VeRi" / "a.jpg") == 1
    assert table.get("VeRi/a.jpg") == 1


def test_update_replaces_and_clear_forgets():
    table = AnnotationTable()
    table.update({"/a": 1, "/b": 2})
    table.update({"/a": -1})
    assert len(table) == 2 and table.get("/a") == -1
    table.clear()
    assert len(table) == 0 and table.get("/b") == -1


def test_groups_differ_between_colours_types_and_families():
    numbers = {
        appearance_group(family, colour, kind)
        for family in ("veri776", "vehicleid")
        for colour in (0, 1, 999)
        for kind in (0, 1, 999)
    }
    assert len(numbers) == 18 and min(numbers) >= 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("market", 1, 1), "'market' is not one of veri776, vehicleid"),
        (("veri776", 1000, 1), "colour 1000 and type 1"),
        (("vehicleid", 1, -1), "colour 1 and type -1"),
    ],
)
def test_a_wrong_group_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        appearance_group(*arguments)


def test_models_are_numbered_by_name(tmp_path, caplog):
    path = tmp_path / "attributes.csv"
    assert read_models(path) == {}
    path.write_text("vehicle,model,type\n0003,sedan-b,sedan\n0001,suv-a,suv\n0007,sedan-b,sedan\n0008,,suv\n")
    assert read_models(path) == {3: 0, 1: 1, 7: 0} and not caplog.messages
    path.write_text("vehicle,colour\n1,red\n")
    assert read_models(path) == {} and "gives no models" in caplog.text
    path.write_text("vehicle,model\n" + "".join(f"{number},m{number:04d}\n" for number in range(1005)))
    assert len(read_models(path)) == 1000  # the codes end at 999
