"""ealn_plugin/runs/weights.py: all layers but the classifier, or a sentence."""

import numpy as np
import pytest
import torch

from ealn_plugin.runs.weights import load_weights
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
