"""ealn_plugin/config/merging.py: trees and keys into a configuration; what a user sees of it is in test_loading.py."""

import pytest
from yacs.config import CfgNode

from ealn_plugin import config as configuration
from ealn_plugin.config.merging import flat, literal, merge, read_yaml, set_key


def make_tree():
    return CfgNode({"train": {"lr": 0.1, "steps": [1]}, "name": "a", "gpu": True})


@pytest.mark.parametrize(
    "text, value",
    [
        ("1", 1),
        ("1.5", 1.5),
        ("[1, 2]", [1, 2]),
        ("True", True),
        ("false", False),
        ("TRUE", True),
        ("log/a b", "log/a b"),
        ("", ""),
        (3, 3),
    ],
)
def test_literals(text, value):
    assert literal(text) == value and type(literal(text)) is type(value)


def test_a_tree_and_a_key():
    tree = make_tree()
    merge(tree, {"train": {"lr": 1, "steps": [2, 3]}, "gpu": False}, "a.yaml")
    set_key(tree, "train.lr", "1e-3", "the command line")
    assert flat(tree) == {"train.lr": 0.001, "train.steps": [2, 3], "name": "a", "gpu": False}


@pytest.mark.parametrize(
    "tree, message",
    [
        ({"train": {"rl": 1}}, r"unknown config key 'train.rl' in a.yaml; did you mean train.lr\?"),
        ({"train": 3}, "train is 3 in a.yaml"),
        ({"gpu": 1}, "gpu is 1 in a.yaml, expected bool"),
    ],
)
def test_slips(tree, message):
    with pytest.raises(ValueError, match=message):
        merge(make_tree(), tree, "a.yaml")


def test_a_key_below_a_leaf():
    with pytest.raises(ValueError, match="unknown config key 'name.first'"):
        set_key(make_tree(), "name.first", 1, "the command line")


def test_an_empty_file_is_an_empty_tree(tmp_path):
    (tmp_path / "empty.yaml").touch()
    assert read_yaml(str(tmp_path / "empty.yaml")) == {}


def test_a_list_of_words_on_the_command_line_needs_no_quotes():
    for text, expected in (("[wandb, tensorboard]", ["wandb", "tensorboard"]), ("['mlflow']", ["mlflow"]), ("[]", [])):
        assert configuration.load_config("", ["ealn.loggers", text]).ealn.loggers == expected
    assert configuration.load_config("", ["data.transforms", "[random_flip]"]).data.transforms == ["random_flip"]
