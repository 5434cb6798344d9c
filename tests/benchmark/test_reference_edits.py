"""ealn_plugin/benchmark/reference_edits.py: it computes what the engine computes."""

import pytest
import torch

from ealn_plugin.benchmark.reference_edits import ReferenceEditStep
from tests.helpers.standins import build_engine


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def test_losses_are_the_engines(datamanager):
    engine = build_engine(datamanager, ("edit",), triplets="all_active")
    engine.embedding.train()
    reference = ReferenceEditStep(engine, sgd)
    loader, seen = iter(datamanager.train_loader), []
    for data in (next(loader), next(loader)):  # Adam follows the rounding of biases in front of a normalization
        ours, theirs = engine.forward_backward(data), reference(data)
        losses = {name: float(value) for name, value in ours.items() if name.startswith("loss/")}
        assert losses.keys() == theirs.keys()
        for name, value in theirs.items():
            assert losses[name] == pytest.approx(value, abs=2e-3), name
        seen.append(losses["loss/E"])
        reference.random.set_state(engine.random.get_state())  # the engine draws pairs to look at as well
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    "names, options, sentence",
    [
        (("edit",), dict(choose="belt", content="blend"), "ealn.hard.content, ealn.hard.choose differ"),
        (("edit",), dict(gan_loss="lsgan"), "ealn.gan_loss differ"),
    ],
)
def test_other_settings_are_refused(datamanager, names, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ReferenceEditStep(build_engine(datamanager, names, scheme_options=options), sgd)
