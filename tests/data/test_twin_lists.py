"""ealn_plugin/data/twin_lists.py: the twin of each training image, and where there are none."""

import json
import shlex

import pytest

from ealn_plugin.data import synthetic
from ealn_plugin.data.synthetic import presets
from ealn_plugin.data.twin_lists import training_twins_of
from tests.helpers.tool_modules import load_tool


def test_twins_by_image(tmp_path, monkeypatch):
    (tmp_path / "VeRi").mkdir()
    lines = ["image,twin", *(f"image_train/{name}.jpg,image_train_twin/{name}.jpg" for name in "ab")]
    (tmp_path / "VeRi" / "train_twins.csv").write_text("\n".join(lines) + "\n")
    path = str(tmp_path / "VeRi" / "image_train" / "b.jpg")
    assert training_twins_of([path]) == {path: [str(tmp_path / "VeRi" / "image_train_twin" / "b.jpg")]}
    monkeypatch.chdir(tmp_path)
    assert list(training_twins_of(["VeRi/image_train/a.jpg"])) == ["VeRi/image_train/a.jpg"]
    with pytest.raises(ValueError, match="c.jpg' has no twin in .*only rendered datasets can have them"):
        training_twins_of([path.replace("b.jpg", "c.jpg")])


def test_the_message_has_the_command_that_makes_them(tmp_path):
    folder = tmp_path / "VeRi"
    folder.mkdir()
    parameters = dict(layout="veri776", preset=vars(presets.PRESETS["tiny"]), seed=4, image_size=96)
    (folder / synthetic.writer.MARKER).write_text(json.dumps({"parameters": parameters}))
    with pytest.raises(ValueError) as caught:
        training_twins_of([str(folder / "image_train" / "a.jpg")])
    command = shlex.split(str(caught.value).partition("render them: ")[2])
    options = load_tool("make_synthetic").build_parser().parse_args(command[2:])
    assert (options.twins, options.lookalikes, options.seed) == (True, 0, 4)
    parameters["preset"] = dict(parameters["preset"], models=3)
    (folder / synthetic.writer.MARKER).write_text(json.dumps({"parameters": parameters}))
    with pytest.raises(ValueError, match=r"add_training_twins\('[^,]*'\)"):
        training_twins_of([str(folder / "image_train" / "a.jpg")])
