"""ealn_plugin/data/lookalike_lists.py: which pictures are an image's hard negatives, and where there are none."""

import json
import shlex

import pytest

from ealn_plugin.data import synthetic
from ealn_plugin.data.lookalike_lists import lookalikes_of, read_lookalikes
from ealn_plugin.data.synthetic import presets
from tests.helpers.tool_modules import load_tool


def make_list(folder, lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lookalikes.csv").write_text("\n".join(["image,lookalike,kind", *lines]) + "\n")


def test_lookalikes_by_image(tmp_path):
    assert read_lookalikes(str(tmp_path)) == {}
    make_list(
        tmp_path / "VeRi", [f"image_train/{name}.jpg,image_lookalike/{name}_k{k}.jpg,x" for name in "ab" for k in "12"]
    )
    make_list(tmp_path / "other", ["image/a.jpg,image_lookalike/q.jpg,x"])
    own = [str(tmp_path / "VeRi" / "image_lookalike" / f"b_k{k}.jpg") for k in "12"]
    path, foreign = str(tmp_path / "VeRi" / "image_train" / "b.jpg"), str(tmp_path / "other" / "image" / "a.jpg")
    assert read_lookalikes(str(tmp_path / "VeRi"))[path] == own
    assert lookalikes_of([path, foreign]) == {
        path: own,
        foreign: [str(tmp_path / "other" / "image_lookalike" / "q.jpg")],
    }


def test_paths_may_be_relative(tmp_path, monkeypatch):
    make_list(tmp_path / "VeRi", ["image_train/a.jpg,image_lookalike/b.jpg,x"])
    monkeypatch.chdir(tmp_path)
    assert lookalikes_of(["VeRi/image_train/a.jpg"]) == {
        "VeRi/image_train/a.jpg": [str(tmp_path / "VeRi" / "image_lookalike" / "b.jpg")]
    }


def test_photographs_have_none(tmp_path):
    path = str(tmp_path / "VeRi" / "image_train" / "a.jpg")
    with pytest.raises(ValueError, match="a.jpg' has no lookalikes in .*only rendered datasets can have them"):
        lookalikes_of([path])


@pytest.mark.parametrize("size", [96, 40])
def test_the_message_has_the_command_that_makes_them(tmp_path, size):
    folder = tmp_path / "a folder" / "VeRi"
    folder.mkdir(parents=True)
    parameters = dict(layout="veri776", preset=vars(presets.PRESETS["tiny"]), seed=4, image_size=size)
    (folder / synthetic.writer.MARKER).write_text(json.dumps({"parameters": parameters}))
    with pytest.raises(ValueError) as caught:
        lookalikes_of([str(folder / "image_train" / "a.jpg")])
    command = shlex.split(str(caught.value).partition("render them: ")[2])
    assert command[:2] == ["ealn", "make-synthetic"]
    options = load_tool("make_synthetic").build_parser().parse_args(command[2:])
    assert (options.root, options.layout, options.preset) == (str(folder.parent), "veri776", "tiny")
    assert (options.seed, options.lookalikes) == (4, 2)
    assert options.image_size == (None if size == 96 else 40)


def test_a_preset_without_a_name_is_added_to_from_python(tmp_path):
    preset = dict(vars(presets.PRESETS["tiny"]), models=3)
    (tmp_path / synthetic.writer.MARKER).write_text(json.dumps({"parameters": {"preset": preset}}))
    with pytest.raises(ValueError, match=r"add_companions\(.*, 2\)"):
        lookalikes_of([str(tmp_path / "image" / "a.jpg")])
