"""ealn_plugin/benchmark/reference_step.py: it computes what the engine computes."""

import pytest
import torch

from ealn_plugin.benchmark.reference_step import ReferenceStep, stock
from tests.helpers.standins import build_datamanager, build_engine


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def batches(datamanager, count):
    loader = iter(datamanager.train_loader)
    first = [next(loader) for _ in range(2)]
    return [first[i % 2] for i in range(count)]


def standing_still(engine):
    """A reference of the engine, the generators of both learning at rate 0."""
    engine.embedding.train()
    reference = ReferenceStep(engine, sgd)
    if engine.schemes:
        for optimizer in (engine.adversaries["generators"], reference.gan_optimizers[0]):
            optimizer.param_groups[0]["lr"] = 0.0
    return reference


@pytest.mark.parametrize("names, triplets", [(("hard", "view"), "all_active"), (("view",), "random"), ((), "random")])
def test_losses_are_the_engines_while_the_generators_stand_still(datamanager, names, triplets):
    """With the generators' rate at 0 the fakes made again are the fakes reused, so nothing may differ."""
    engine = build_engine(datamanager, names, triplets=triplets, scheme_options=dict(residual=False))
    reference = standing_still(engine)
    seen = []
    for data in batches(datamanager, 3):  # rounding grows from step to step
        ours, theirs = engine.forward_backward(data), reference(data)
        losses = {name: float(value) for name, value in ours.items() if name.startswith("loss/")}
        assert losses.keys() == {name for name in theirs if name.startswith("loss/")}
        for name, value in theirs.items():
            assert float(ours[name]) == pytest.approx(value, abs=1e-4), name
        seen.append(losses["loss/E"])
    assert len(set(seen)) == len(seen)  # everything else learns
    for name, value in engine.model.state_dict().items():
        torch.testing.assert_close(value, reference.embedding.backbone.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_fakes_are_made_again_by_the_updated_generators(datamanager, monkeypatch):
    engine = build_engine(datamanager, ("hard",), scheme_options=dict(residual=False))
    reference = ReferenceStep(engine, sgd, gan_lr=0.01)
    judged, original = [], reference._judged
    monkeypatch.setattr(reference, "_judged", lambda name, *pair: judged.append(pair[1]) or original(name, *pair))
    data = batches(datamanager, 1)[0]
    pictures = engine.pixels.to_generator(data["img"])
    before = engine.schemes[0].generators["hard"](pictures)
    reference(data)
    assert not torch.allclose(judged[0], before, atol=1e-4)
    torch.testing.assert_close(judged[0], reference.generators["hard"](pictures))


def test_batches_without_views(datamanager):
    engine = build_engine(datamanager, views={})
    reference = standing_still(engine)
    data = batches(datamanager, 1)[0]
    ours, theirs = engine.forward_backward(data), reference(data)
    assert theirs["loss/E_view"] == 0 and theirs["loss/E"] == pytest.approx(float(ours["loss/E"]), abs=1e-4)


def test_it_is_plain(datamanager):
    engine = build_engine(datamanager)
    before = {name: value.clone() for name, value in engine.schemes[0].state_dict().items()}
    reference = ReferenceStep(engine, sgd)
    for optimizer in (reference.optimizer, *reference.gan_optimizers):
        assert not any(group["foreach"] or group["fused"] for group in optimizer.param_groups)
    copies = [stock(network) for scheme in engine.schemes for network in scheme.generators.values()]
    assert {type(m) for copy in copies for m in copy.modules() if "Norm" in type(m).__name__} == {
        torch.nn.InstanceNorm2d
    }
    reference(batches(datamanager, 1)[0])
    for name, value in engine.schemes[0].state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    "names, options, scheme_options, sentence",
    [
        (("stargan",), {}, {}, "ealn.scheme differ"),
        (("hard",), {"degrade": 0.5}, {}, "ealn.degrade"),
        (("hard",), {"discriminator_steps": 2}, {"gan_loss": "lsgan"}, "ealn.discriminator_steps, ealn.gan_loss"),
    ],
)
def test_what_the_paper_does_not_do_is_refused(veri_root, names, options, scheme_options, sentence):
    engine = build_engine(build_datamanager(veri_root), names, scheme_options=scheme_options, **options)
    with pytest.raises(ValueError, match=sentence):
        ReferenceStep(engine, sgd)
