"""datasets.md says what the classes do: names, folders and code in it are checked against them."""

import re
from pathlib import Path

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data import DATASETS, VehicleID, VeRi776, View, cityflow, read_viewpoints_csv, veriwild, vric
from ealn_plugin.data.own.photographs import SPLITS as SPLIT_NAMES
from ealn_plugin.data.own.table import NEEDED, OPTIONAL
from ealn_plugin.data.veri776 import KEYPOINT_FILES, LABEL_FILES, SPLITS

PAGE = (Path(__file__).parents[2] / "datasets.md").read_text(encoding="utf-8")


def test_every_name_and_folder_is_on_the_page():
    names = [*DATASETS, *VeRi776.folder_names, *VehicleID.folder_names, *VeRi776.protocols[:4]]
    names += [
        *VehicleID.protocols[:2],
        *(dataset.test_list for dataset in DATASETS.values() if hasattr(dataset, "test_list")),
    ]
    names += [folder for dataset in DATASETS.values() for folder in dataset.folder_names]
    names += [name for splits in (vric.SPLITS, cityflow.SPLITS) for pair in splits.values() for name in pair]
    names += [*NEEDED, *OPTIONAL, *SPLIT_NAMES, veriwild.CAMERA_FILE, f"{veriwild.TRAIN_LIST}.txt"]
    names += [*KEYPOINT_FILES, *LABEL_FILES, *(name for pair in SPLITS.values() for name in pair)]
    assert [name for name in names if name not in PAGE] == []


def test_the_python_on_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, "datasets.md", "exec"), {})
    assert len(blocks) == 2
    assert VehicleID.view_order == ("front", "rear")
    with pytest.raises(FileNotFoundError, match="RearFirst"):  # registered, and looks for the release
        toolkit.build_dataset("vehicleid_rear_first", str(tmp_path))
    assert read_viewpoints_csv("viewpoints.csv")["image/0000002.jpg"] == (View.REAR, 0.88)


@pytest.mark.parametrize("class_name", ["VeRi776", "VehicleID"])
def test_the_commands_that_show_the_counts_run(class_name, make_veri, make_vehicleid, monkeypatch, capsys):
    folder = make_veri("reid-data/VeRi")
    make_vehicleid("reid-data/VehicleID_V1.0")
    monkeypatch.chdir(folder.parents[1])
    code = re.search(rf'python -c "(.*{class_name}\(.*)"', PAGE).group(1)
    exec(compile(code, "datasets.md", "exec"), {})
    assert re.search(r"train +\| +\d+ \| +5 \|", capsys.readouterr().out)
