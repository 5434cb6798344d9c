"""ealn_plugin/runs/weights.py: all layers but the classifier, or a sentence."""

import argparse
import pathlib

import numpy as np
import pytest
import torch

from ealn_plugin.models.vggm import COLLECTION_LAYERS
from ealn_plugin.runs.weights import fill_weights, load_weights
from tests.helpers.standins import TinyBackbone


def equal_but_classifier(a, b):
    return all(
        torch.equal(value, b.state_dict()[key])
        for key, value in a.state_dict().items()
        if not key.startswith("classifier")
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": state, "epoch": 3, "rank1": 0.5, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {
            "state_dict": state,
            "rank1": np.float32(0.5),
            "best": np.float64(0.25),
        },  # torchreid's own engines
        lambda state: {**state, "extra.weight": torch.zeros(2)},
    ],
)
def test_every_way_to_save_them(tmp_path, wrap):
    saved, model = TinyBackbone(5), TinyBackbone(7)
    before = model.classifier.weight.clone()
    torch.save(wrap(saved.state_dict()), tmp_path / "w.pth")
    assert not equal_but_classifier(model, saved)
    load_weights(model, str(tmp_path / "w.pth"))
    assert equal_but_classifier(model, saved) and torch.equal(model.classifier.weight, before)


def test_a_classifier_that_fits_is_loaded(tmp_path):
    saved, model = TinyBackbone(5), TinyBackbone(5)
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    load_weights(model, str(tmp_path / "w.pth"))
    assert torch.equal(model.classifier.weight, saved.classifier.weight)


class Evil:
    def __reduce__(self):
        return eval, ("1 / 0",)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (TinyBackbone(5, dim=4).state_dict(), r"layer 'fc.weight' is \[4, 8\] there and \[8, 8\] in the network"),
        ({"conv.weight": torch.zeros(8, 3, 5, 5)}, "layer 'conv.bias' is not there"),
        ({"ealn_format": 1, "model": {}}, "checkpoint of a whole EALN run; give its folder with --run"),
        ([1, 2], "holds no state dict"),
        ({"a": 1}, "holds no state dict"),
        ({"a": Evil()}, "cannot be read as plain tensors"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(tmp_path, content, sentence):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=sentence):
        load_weights(TinyBackbone(5), str(tmp_path / "w.pth"))


def test_a_broken_file_gets_a_sentence(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ValueError, match="cannot be read as plain tensors"):
        load_weights(TinyBackbone(5), str(tmp_path / "w.pth"))


# ---------------------------------------------------------------------------------------------- other people's files
def behind(prefix):
    return lambda state: {f"{prefix}{key}": value for key, value in state.items()}


PREFIXES = [
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.",
    "ema.",
    "backbone.",
    "net.",
    "network.",
    "encoder.0.",
    "model.backbone.",
    "module.model.backbone.",
    "ema_model.module.",
    "student.",
    "embedding.backbone._orig_mod.",
]
KEYS = ["model", "model_state_dict", "net_dict", "state_dict", "ema", "net", "network", "weights", "params", "module"]


def read_lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "ealn_plugin.runs.weights"]


def assert_both_ways(path, saved):
    """Fills a network for a test and one to start from; both must have what was saved."""
    for load in (load_weights, lambda *given: fill_weights(*given, [0.5] * 3, [0.5] * 3)):
        model = TinyBackbone(7)
        assert not equal_but_classifier(model, saved)
        load(model, str(path))
        assert equal_but_classifier(model, saved)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [None, "state_dict"])
def test_prefixes_are_stripped_and_told(tmp_path, caplog, prefix, key):
    caplog.set_level("INFO")
    saved = TinyBackbone(5)
    state = behind(prefix)(saved.state_dict())
    state["head.weight"] = torch.zeros(3)
    torch.save(state if key is None else {key: state}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)
    place = f", its '{key}'" if key else ""
    for line in read_lines(caplog)[:2]:
        assert f"w.pth{place}: '{prefix}' stripped from the names, 14 of 16 layers filled" in line


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_dictionaries_are_opened(tmp_path, key, prefix):
    saved = TinyBackbone(5)
    optimizer = torch.optim.Adam(saved.parameters())
    saved(torch.zeros(2, 3, 32, 32))[1].sum().backward()
    optimizer.step()
    beside = {"epoch": 3, "optimizer": optimizer.state_dict(), "args": argparse.Namespace(out=pathlib.Path("log"))}
    torch.save({**beside, key: behind(prefix)(saved.state_dict())}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)
    torch.save({"checkpoint": {"inner": {key: behind(prefix)(saved.state_dict())}}}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)


def test_wrappers_within_names(tmp_path):
    saved = TinyBackbone(5)
    state = {key.replace("norm.", "norm._orig_mod.module."): value for key, value in saved.state_dict().items()}
    torch.save(behind("model.")(state), tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)


def test_of_weights_and_their_average_the_weights_are_taken(tmp_path):
    saved, average = TinyBackbone(5), TinyBackbone(5)
    torch.save({"ema": average.state_dict(), "model": saved.state_dict()}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)
    both = {**behind("ema.")(average.state_dict()), **behind("model.")(saved.state_dict())}
    torch.save({"state_dict": both}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)
    torch.save({"model": {"other.weight": torch.zeros(3)}, "ema": average.state_dict()}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", average)


def test_a_whole_network_was_saved(tmp_path):
    saved = TinyBackbone(5)
    torch.save({"model": torch.nn.DataParallel(saved)}, tmp_path / "w.pth")
    assert_both_ways(tmp_path / "w.pth", saved)


def test_a_prefix_that_fits_by_accident_is_none(tmp_path):
    """Of a network of another architecture one block has layers of the same size."""
    other = {f"layers.{number}.norm.weight": torch.zeros(8) for number in range(3)}
    torch.save(other, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="fits no layer of TinyBackbone before the classifier; its first layers are"):
        fill_weights(TinyBackbone(5), str(tmp_path / "w.pth"), [0.5] * 3, [0.5] * 3)
    with pytest.raises(ValueError, match="does not fit TinyBackbone: layer 'conv.weight' is not there"):
        load_weights(TinyBackbone(5), str(tmp_path / "w.pth"))


@pytest.mark.parametrize("prefix", ["", "model.", "module._orig_mod."])
def test_the_vggm_file_behind_a_prefix(tmp_path, prefix):
    from ealn_plugin.models import VGGM

    network = VGGM(3, width=1 / 32, input_size=(64, 64))
    own = network.state_dict()
    state = {
        f"{there}.{kind}": own[f"{here}.{kind}"] + 1
        for there, here in COLLECTION_LAYERS.items()
        for kind in ("weight", "bias")
        if "classifier" not in there and here != "fc7"
    }
    before = own["fc6.bias"].clone()
    torch.save({"state_dict": behind(prefix)(state)}, tmp_path / "w.pth")
    fill_weights(network, str(tmp_path / "w.pth"), [0.5] * 3, [0.5] * 3)
    assert torch.equal(network.state_dict()["fc6.bias"], before + 1)
