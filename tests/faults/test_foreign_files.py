"""Checkpoints, weights, classifiers and features from somebody else: no code in them runs, wrong contents are named."""

import copy
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.features import Features
from ealn_plugin.labelling import classifier as viewpoint_classifier
from ealn_plugin.runs import folder, weights
from ealn_plugin.system.cli import exit_code
from tests.helpers.command_lines import SMALL
from tests.helpers.fault_injection import inject
from tests.helpers.standins import TinyBackbone, build_datamanager, build_engine, make_veri_folder, use_tiny_backbone
from tests.helpers.tool_modules import load_tool


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def plain(marker, path):
    path.write_bytes(pickle.dumps({"state_dict": Trap(marker), "ealn_format": 1}))


def zipped(marker, path):
    torch.save({"ealn_format": 1, "state_dict": {"fc.weight": Trap(marker)}, "model": Trap(marker)}, path)


def legacy(marker, path):
    torch.save({"ealn_format": 1, "model": Trap(marker)}, path, _use_new_zipfile_serialization=False)


TRAPS = {"a pickle": plain, "a torch file": zipped, "an old torch file": legacy}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_veri_folder(tmp_path_factory.mktemp("foreign"))


def only_sentence(capsys):
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("key", ["model.resume", "model.load_weights", "ealn.start_from", "--weights", "--classifier"])
def test_no_code_runs(data, tmp_path, tiny, capsys, trap, key):
    file, marker = tmp_path / "gift.pth.tar", tmp_path / "marker"
    TRAPS[trap](marker, file)
    if key == "--weights":
        code = load_tool("evaluate").main(
            [
                "--model",
                "resnet18",
                "--weights",
                str(file),
                "-t",
                "veri776",
                "--root",
                str(data),
                "--out",
                str(tmp_path / "out"),
                "--workers",
                "0",
                "--device",
                "cpu",
                "--height",
                "32",
                "--width",
                "32",
                "--no-figures",
            ]
        )
    elif key == "--classifier":
        code = load_tool("label_viewpoints").main(
            ["--classifier", str(file), "--images", str(data / "VeRi"), "--out", str(tmp_path / "out"), "--force"]
        )
    else:
        code = load_tool("train_ealn").main(
            [
                "--root",
                str(data),
                *map(str, SMALL),
                "ealn.scheme",
                "en",
                "data.save_dir",
                str(tmp_path / "out"),
                key,
                str(file),
            ]
        )
    sentence = only_sentence(capsys)
    assert code == 1 and "gift.pth.tar" in sentence and "cannot be read" in sentence
    assert not marker.exists()
    inject("code in a file of weights")


def test_no_code_runs_in_features(tmp_path, capsys):
    marker, file = tmp_path / "marker", tmp_path / "gift.npz"
    np.savez(file, features=np.zeros((2, 3)), pids=np.array([Trap(marker), 1], dtype=object), allow_pickle=True)
    assert load_tool("evaluate").main(["--features", str(file), "--out", str(tmp_path / "out"), "--no-figures"]) == 1
    assert "gift.npz" in only_sentence(capsys) and not marker.exists()
    (tmp_path / "net").mkdir()
    np.savez(tmp_path / "net" / "veri776.npz", features=np.array([Trap(marker)], dtype=object))
    (tmp_path / "net" / "veri776.json").write_text("{}")
    made = Features(np.zeros((1, 2)), [1], [0], [0], [True])
    assert FeatureStore(tmp_path).fetch("net", "veri776", {}, lambda: made) is made and not marker.exists()
    inject("code in a file of features")


# ---------------------------------------------------------------------------------------------- wrong contents
@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    """(data manager, content of a checkpoint of a run of it)"""
    manager = build_datamanager(data)
    engine = build_engine(manager, ("hard",))
    engine.run(str(tmp_path_factory.mktemp("run")), max_epoch=1, progress=False, test_untrained=False)
    return manager, state.capture(engine, 0, 1)


def restored(manager, content, path):
    torch.save(content, path)
    engine = build_engine(manager, ("hard",))
    engine.max_epoch = 1
    state.restore(engine, str(path))
    return engine


def parts(value, place=()):
    """Every place in a nested value, as tuples of keys."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:6]:
        yield from parts(item, (*place, key))


WRONG = [
    None,
    -1,
    2**70,
    1.5,
    "text",
    [],
    {},
    [1, 2],
    {"a": 1},
    True,
    torch.zeros(2),
    torch.zeros(0, dtype=torch.uint8),
]


@pytest.mark.parametrize("examples", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_a_well_formed_checkpoint_with_anything_in_it(saved, tmp_path, examples):
    """Any part replaced by anything, or left out: restored, or one sentence that names the file."""
    manager, content = saved
    restored(manager, content, tmp_path / "good")
    places = [place for place in parts(content) if place and place != ("ealn_format",)]

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.sampled_from(places), wrong=st.sampled_from([*WRONG, "absent"]))
    def test(place, wrong):
        changed = copy.deepcopy(content)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        if isinstance(wrong, str) and wrong == "absent":
            del holder[place[-1]]
        else:
            holder[place[-1]] = wrong
        inject("wrong contents in a checkpoint")
        try:
            engine = restored(manager, changed, tmp_path / "bad")
        except checkpoint.CheckpointError as error:
            assert "bad" in str(error)
            return
        engine.step  # usable  # noqa: B018
        state.capture(engine, 0, 1)

    test()


@pytest.mark.parametrize(
    "place, value",
    [
        (("optimizer", "param_groups", 0, "lr"), "fast"),
        (("model", "fc.weight"), [1]),
        (("schemes",), 3),
        (("random", "numpy", 2), 10**6),
        (("random", "python", 1), [0] * 624 + [10**6]),
        (("choices",), torch.zeros(3)),
        (("adversaries", "generators"), {}),
        (("results",), {"a": 1}),
        (("best",), "yes"),
        (("global_step",), -1),
        (("kinds", "schedule"), torch.zeros(2)),
        (("random", "torch"), torch.zeros(5056, dtype=torch.uint8)),
    ],
)
def test_wrong_contents_are_named(saved, tmp_path, place, value):
    """Among them a position beyond numpy's random state, which numpy itself would read from."""
    manager, content = saved
    changed = copy.deepcopy(content)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with pytest.raises(checkpoint.CheckpointError, match="checkpoint '.*bad' is damaged or was not written by this"):
        restored(manager, changed, tmp_path / "bad")
    inject("wrong contents in a checkpoint")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 4000),
)
def test_damage_anywhere_in_a_file_of_weights(tmp_path, changes, cut):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": TinyBackbone(3).state_dict()}, path)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[: len(content) - cut] if cut % 2 else content)
    inject("weights with bytes changed")
    for load in (weights.load_weights, lambda *given: weights.fill_weights(*given, [0.5] * 3, [0.5] * 3)):
        try:
            load(TinyBackbone(3), str(path))
        except ValueError as error:
            assert "weights.pth" in str(error)
    with pytest.raises(checkpoint.CheckpointError, match="weights.pth"):
        checkpoint.load(str(path))


@pytest.mark.parametrize(
    "content",
    [
        {1: torch.zeros(3), "fc.weight": torch.zeros(8, 8)},
        {"state_dict": {"fc.weight": "text"}},
        [1, 2],
        None,
        {"state_dict": TinyBackbone(3).state_dict() | {"fc.weight": torch.zeros(8, 8).to_sparse()}},
        {"state_dict": TinyBackbone(3).state_dict() | {"fc.weight": torch.zeros(8, 8, device="meta")}},
    ],
)
def test_weights_of_another_kind(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="weights.pth"):
        weights.load_weights(TinyBackbone(3), str(path))
    inject("wrong contents in a file of weights")


@pytest.mark.parametrize(
    "change",
    [
        {"size": 10**6},
        {"size": "big"},
        {"model": "nothing"},
        {"model": 3},
        {"weights": {}},
        {"weights": None},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"report": 3},
        {"report": ...},
    ],
)
def test_a_classifier_with_anything_in_it(tmp_path, monkeypatch, change):
    use_tiny_backbone(monkeypatch, "resnet18")
    path = str(tmp_path / "classifier.pth")
    viewpoint_classifier.save_classifier(viewpoint_classifier.ViewpointClassifier("resnet18", 32), path, None)
    content = torch.load(path, weights_only=True)
    viewpoint_classifier.load_classifier(path)
    content.update(change)
    if change.get("report") is ...:
        del content["report"]
    torch.save(content, path)
    with pytest.raises(ValueError, match="classifier.pth' is damaged or was not written by this plugin"):
        viewpoint_classifier.load_classifier(path)
    inject("wrong contents in a classifier")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 800),
)
def test_damage_anywhere_in_features(tmp_path, changes, cut):
    path = tmp_path / "features.npz"
    Features(np.ones((4, 3)), [1, 1, 2, 2], [0, 1, 0, 1], [0] * 4, [True, False, True, False], list("abcd")).save(path)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[: len(content) - cut] if cut % 2 else content)
    inject("features with bytes changed")
    try:
        Features.load(path)
    except ValueError as error:
        assert "features.npz" in str(error)


def test_features_that_claim_terabytes(tmp_path):
    """A header may claim any shape; nobody has so much memory."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 100000000), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("features.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
        archive.writestr("pids.npy", b"")
    with pytest.raises(ValueError, match="f.npz' cannot be read"):
        Features.load(tmp_path / "f.npz")
    inject("features that claim terabytes")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"primary": 3}',
        '{"primary": "a/b", "datasets": []}',
        "[" * 10**5,
        "\x00",
        '{"primary": "a/b", "datasets": {"a": {"b": {"mAP": "x"}}}, "config": {}}',
    ],
)
def test_results_of_another_kind(tmp_path, text, capsys):

    pathlib.Path(tmp_path / "results.json").write_text(text)
    assert exit_code(lambda: folder.read_results(str(tmp_path / "results.json")) and None, "") == 1
    assert "results.json' is not a results file" in only_sentence(capsys)
    inject("wrong contents in a results file")
