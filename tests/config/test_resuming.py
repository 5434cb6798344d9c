"""ealn_plugin/config/resuming.py: every key may change, is kept or cannot change when a run goes on."""

import pytest

from ealn_plugin import config
from ealn_plugin.config.merging import flat
from ealn_plugin.config.resuming import FIXED, KEPT, MACHINE, RESUMING, TESTS, TRAINING, settings, settled

KEYS = sorted(flat(config.default_config()))


def test_every_key_is_sorted_and_no_other():
    assert sorted(RESUMING) == KEYS
    assert set(RESUMING.values()) == {MACHINE, TESTS, TRAINING, KEPT, FIXED}


def changed(tree, name):
    """The tree with another value of a key."""
    tree = tree.clone()
    *groups, key = name.split(".")
    node = tree
    for group in groups:
        node = node[group]
    value = node[key]
    if isinstance(value, bool):
        node[key] = not value
    else:
        node[key] = value + {str: "x", list: ["x"]}.get(type(value), 1)
    tree.freeze()
    return tree


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("tested", [False, True])
def test_a_difference_is_used_or_refused_or_kept_and_named(name, tested):
    run = config.default_config()
    asked = run.clone()
    asked.test.evaluate = run.test.evaluate = tested
    asked = changed(asked, name)
    if RESUMING[name] == FIXED:
        with pytest.raises(ValueError, match=f"^{name} is .*cannot change"):
            settled(asked, run)
        return
    used, kept = settled(asked, run)
    if RESUMING[name] == KEPT or RESUMING[name] == TRAINING and tested:
        assert used == run and kept == {name: (flat(asked)[name], flat(run)[name])}
    else:
        assert used == asked and not kept
    assert (name in settings(used)) == (RESUMING[name] in (TESTS, TRAINING))


def test_a_run_goes_on_with_its_own_settings(tmp_path):
    (tmp_path / "run").mkdir()
    begun = config.load_config("", ["data.height", 32, "train.lr", 0.5, "data.save_dir", "elsewhere"])
    (tmp_path / "run" / "config.yaml").write_text(begun.dump())
    (tmp_path / "run" / "checkpoint_last.pth.tar").touch()
    file = tmp_path / "run" / "checkpoint_last.pth.tar"
    (tmp_path / "more.yaml").write_text(f"model: {{resume: '{file}'}}\ntrain: {{lr: 0.25}}\n")
    for found in (
        config.load_config("", ["model.resume", str(tmp_path / "run"), "train.lr", 0.25], training=True),
        config.load_config("", ["train.lr", 0.25, "model.resume", str(file)], training=True),
        config.load_config(str(tmp_path / "more.yaml"), training=True),
    ):
        assert (found.data.height, found.train.lr) == (32, 0.25) and found.data.save_dir == str(tmp_path / "run")
    elsewhere = config.load_config("", ["model.resume", str(file), "data.save_dir", "other"], training=True)
    assert elsewhere.data.save_dir == "other" and elsewhere.train.lr == 0.5
    with pytest.raises(FileNotFoundError, match="model.resume is 'nowhere', but there is no such file or folder"):
        config.load_config("", ["model.resume", "nowhere"], training=True)
    (tmp_path / "run" / "earlier_1.moving").mkdir()  # a new run that was killed while it moved this one away
    (tmp_path / "run" / "config.yaml").rename(tmp_path / "run" / "earlier_1.moving" / "config.yaml")
    assert config.load_config("", ["model.resume", str(tmp_path / "run")], training=True).train.lr == 0.5
