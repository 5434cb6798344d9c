"""ealn_plugin/engine/acceleration.py: every option leaves losses and gradients what they are."""

import copy

import pytest
import torch

from ealn_plugin.engine import acceleration, optimizers
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.losses import distance as distances
from ealn_plugin.system.randomness import seed_everything
from tests.helpers.standins import TinyBackbone, build_engine


@pytest.fixture
def batch(datamanager):
    """One batch, always the same, of detailed images: flat ones leave only rounding errors behind a normalization."""
    seed_everything(0)
    found = next(iter(datamanager.train_loader))
    return {**found, "img": torch.randn(found["img"].shape)}


def make(datamanager, names=("hard", "view"), **options):
    engine = build_engine(
        datamanager, names, scheme_options={} if "stargan" in names else dict(residual=False), **options
    )
    engine.embedding.train()
    return engine


def gradients(engine):
    """{network: all its gradients in one vector}, as the last step left them."""
    networks = {"model": engine.model}
    for scheme in engine.schemes:
        networks.update({f"{scheme.name}.{name}": network for name, network in scheme.generators.items()})
        networks.update({f"{scheme.name}.D.{name}": network for name, network in scheme.discriminators.items()})
    return {
        name: torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        for name, network in networks.items()
    }


def assert_same_step(plain, fast, batch, rtol=1e-4, atol=1e-4):
    """One step of both: the same losses, and the same gradients of every network."""
    expected, found = plain.forward_backward(batch), fast.forward_backward(batch)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=rtol, abs=atol), name
    for (name, there), here in zip(gradients(plain).items(), gradients(fast).values()):
        scale = float(there.norm())
        assert float((here - there).norm()) <= rtol * scale + 1e-6, name


# ---------------------------------------------------------------------------------------------- memory layout
def test_channels_last(datamanager, batch):
    plain, fast = make(datamanager, channels_last=False), make(datamanager)
    weight = fast.model.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert plain.model.conv.weight.is_contiguous()
    assert_same_step(plain, fast, batch, rtol=1e-3, atol=1e-4)


class Viewing(TinyBackbone):
    """A backbone that takes for granted how its maps lie in memory."""

    def forward(self, images):
        maps = self.conv(images)
        features = self.fc_norm(self.fc(maps.view(-1, 8)).view(len(maps), -1, 8).mean(1))
        return (self.classifier(features), features) if self.training else features


def test_a_backbone_that_needs_the_default_layout_keeps_it():
    model = Viewing(3)
    assert acceleration.use_channels_last(model, 32, 32) is False
    assert model.conv.weight.is_contiguous()
    model(torch.zeros(2, 3, 32, 32))


# ---------------------------------------------------------------------------------------------- optimisers
def trained(optimizer_options, tune, steps=3):
    torch.manual_seed(0)
    model = TinyBackbone(3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, **optimizer_options)
    if tune:
        optimizers.tune_optimizer(optimizer)
    for _ in range(steps):
        descend(model, optimizer)
    return model, optimizer


def descend(model, optimizer):
    optimizer.zero_grad()
    logits, features = model(torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32).sin())
    (logits.pow(2).sum() + features.sin().sum()).backward()
    optimizer.step()


def assert_same_weights(plain, fast):
    """Of TinyBackbones. Biases before a normalization have no gradient but rounding, which Adam blows up."""
    for (name, there), here in zip(plain.named_parameters(), fast.parameters()):
        if name not in ("conv.bias", "fc.bias"):
            torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"amsgrad": True}])
def test_a_fused_optimizer_takes_the_same_steps(options):
    (plain, _), (fast, optimizer) = trained({"foreach": False, **options}, False), trained(options, True)
    assert all(group["fused"] for group in optimizer.param_groups)
    assert_same_weights(plain, fast)


def test_averages_of_another_layout_are_laid_out_like_their_parameters():
    """The fused kernel reads both side by side; it would not notice."""
    model, optimizer = trained({}, True)
    saved = copy.deepcopy(optimizer.state_dict())
    for values in saved["state"].values():
        for name, value in values.items():
            values[name] = value.contiguous()
    other = copy.deepcopy(model)
    loaded = torch.optim.Adam(other.parameters(), lr=0.01)
    loaded.load_state_dict(saved)
    assert loaded.state[other.conv.weight]["exp_avg"].stride() != other.conv.weight.stride()
    optimizers.tune_optimizer(loaded)
    assert loaded.state[other.conv.weight]["exp_avg"].stride() == other.conv.weight.stride()
    for network, its in ((model, optimizer), (other, loaded)):
        descend(network, its)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def test_what_the_user_chose_stays():
    parameters = [torch.nn.Parameter(torch.ones(2))]
    foreach, sgd = torch.optim.Adam(parameters, foreach=True), torch.optim.SGD(parameters, lr=0.1)
    for optimizer in (foreach, sgd, None):
        optimizers.tune_optimizer(optimizer)
    assert not foreach.param_groups[0]["fused"] and not sgd.param_groups[0]["fused"]


@pytest.mark.parametrize("before, after", [(False, True), (True, False)])
def test_a_checkpoint_goes_on_in_the_other_layout(datamanager, batch, tmp_path, before, after):
    first, same, other = (make(datamanager, ("hard",), channels_last=layout) for layout in (before, before, after))
    for engine in (first, same, other):
        engine.optimizer = engine.step.optimizer = torch.optim.Adam(engine.model.parameters(), lr=0.01)
        optimizers.tune_optimizer(engine.optimizer)
        engine.max_epoch = 3
    first.forward_backward(batch)
    path = str(tmp_path / "checkpoint.pth.tar")
    checkpoint.save_atomically(state.capture(first, 0, 1), path)
    for engine in (same, other):
        state.restore(engine, path)
    assert_same_step(same, other, batch, rtol=1e-3)
    assert_same_weights(same.model, other.model)


# ---------------------------------------------------------------------------------------------- compilation
@pytest.mark.slow
def test_compiled_networks_compute_the_same_for_any_number_of_views(datamanager, batch):
    plain, fast = make(datamanager, ("view",)), make(datamanager, ("view",), compile="eager")
    assert list(fast.model.state_dict()) == list(plain.model.state_dict())
    assert list(fast.schemes[0].state_dict()) == list(plain.schemes[0].state_dict())
    for front in (4, 2):
        views = [0] * front + [1] * (8 - front)
        for engine in (plain, fast):
            engine._views = dict(zip(batch["impath"], views))
        assert_same_step(plain, fast, batch)


def test_networks_with_a_gradient_penalty_are_not_compiled(datamanager, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled.append((self, options)))
    engine = make(datamanager, ("hard", "stargan"), compile=True)
    hard, stargan = engine.schemes
    expected = [engine.model, hard.generators["hard"], hard.discriminators["real_fake"], stargan.generators["any"]]
    assert [id(network) for network, _ in compiled] == [id(network) for network in expected]
    assert all(options == {"backend": "inductor"} for _, options in compiled)


def test_a_machine_without_compiler_is_told(datamanager, monkeypatch):
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="no C\\+\\+ compiler .*install one, or set ealn.compile False"):
        make(datamanager, compile=True)


@pytest.mark.slow
def test_inductor_computes_the_same(datamanager, batch):
    plain, fast = make(datamanager), make(datamanager, compile=True)
    assert_same_step(plain, fast, batch, rtol=1e-3, atol=1e-3)


# ---------------------------------------------------------------------------------------------- mixed precision
@pytest.mark.parametrize("names", [("hard", "view"), ("stargan",)])
def test_mixed_precision_stays_near_float32(datamanager, batch, names):
    plain, fast = make(datamanager, names), make(datamanager, names, amp=True)
    expected, found = plain.forward_backward(batch), fast.forward_backward(batch)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert float(found[name]) == pytest.approx(float(value), rel=0.05, abs=0.02), name
    for (name, there), here in zip(gradients(plain).items(), gradients(fast).values()):
        assert here.dtype == torch.float32
        assert float(torch.cosine_similarity(there, here, dim=0)) > 0.9, name


def test_mixed_precision_is_for_networks_and_not_for_losses(datamanager, batch, monkeypatch):
    engine = make(datamanager, amp=True, degrade=0.5)
    layers, seen, distance, rounded = set(), set(), distances.distance, engine.step.degradation
    networks = [engine.model, *engine.schemes]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                layer.register_forward_hook(lambda module, inputs, output: layers.add(output.dtype))
    monkeypatch.setattr(
        distances, "distance", lambda a, b, *kind: seen.update((a.dtype, b.dtype)) or distance(a, b, *kind)
    )
    engine.step.degradation = lambda *images: seen.add(rounded(*images).dtype) or rounded(*images)
    engine.forward_backward(batch)
    assert layers == {torch.bfloat16} and seen == {torch.float32}
    assert all(p.dtype == torch.float32 for network in networks for p in network.parameters())


# ---------------------------------------------------------------------------------------------- memory
def test_memory_is_kept_where_malloc_can(monkeypatch):
    assert acceleration.keep_freed_memory() in (True, False)
    monkeypatch.setattr(acceleration.sys, "platform", "win32")
    assert acceleration.keep_freed_memory() is False
    monkeypatch.setattr(acceleration.sys, "platform", "linux")
    monkeypatch.setattr(acceleration.ctypes, "CDLL", lambda name: object())
    assert acceleration.keep_freed_memory() is False  # another C library
