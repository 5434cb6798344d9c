"""ealn_plugin/engine/step.py: in each phase only its own networks learn, and only they change."""

import pytest
import torch

from ealn_plugin.engine import schedule, step
from ealn_plugin.losses import distance as distances
from ealn_plugin.models.embedding import EmbeddingNetwork
from tests.helpers.standins import build_datamanager, build_engine

PHASES = {"generators": "generators", "discriminators": "discriminators", "embedding": "model"}


def everything(engine):
    """{name: tensor} of every parameter and buffer, prefixed by the role of its network."""
    found = {f"model.{name}": value for name, value in engine.model.state_dict().items()}
    for scheme in engine.schemes:
        found.update(
            {f"{name.split('.')[0]}.{scheme.name}.{name}": value for name, value in scheme.state_dict().items()}
        )
    return {name: value.clone() for name, value in found.items()}


def parameters(engine):
    named = [(f"model.{name}", p) for name, p in engine.model.named_parameters()]
    for scheme in engine.schemes:
        named += [(f"{name.split('.')[0]}.{scheme.name}", p) for name, p in scheme.named_parameters()]
    return named


def first_batch(engine):
    return next(iter(engine.train_loader))


@pytest.mark.parametrize("names", [(), ("hard",), ("view",), ("hard", "view"), ("hard", "cyclegan"), ("stargan",)])
@pytest.mark.parametrize("refresh", [False, True])
def test_each_phase_changes_its_own_networks_alone(datamanager, monkeypatch, names, refresh):
    engine = build_engine(datamanager, names, refresh_fakes=refresh, scheme_options=dict(residual=False))
    for scheme in engine.schemes:  # so that every network has something to learn from the first step
        scheme.alpha = 2.0
    roles = {id(optimizer): role for role, optimizer in engine.adversaries.items()}
    roles[id(engine.optimizer)] = "embedding"
    seen, update = [], step._update

    def watched(optimizer, loss):
        before = everything(engine)
        learning = {name.split(".")[0] for name, p in parameters(engine) if p.requires_grad}
        update(optimizer, loss)
        after = everything(engine)
        changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
        seen.append((roles[id(optimizer)], learning, changed))

    monkeypatch.setattr(step, "_update", watched)
    engine.stage = schedule.JOINT
    engine.embedding.train()
    start = everything(engine)
    engine.forward_backward(first_batch(engine))

    assert [role for role, _, _ in seen] == (list(PHASES) if names else ["embedding"])
    for role, learning, changed in seen:
        assert learning == {PHASES[role]}, role
        assert changed == {PHASES[role]}, role
    end = everything(engine)
    kept = ("norm", "bias", "chosen_weight")  # the last is no parameter
    still = [name for name in end if torch.equal(start[name], end[name]) and not any(part in name for part in kept)]
    assert not still, f"nothing changed in {still}"
    assert all(p.requires_grad for _, p in parameters(engine))


def test_running_statistics_see_real_images_only(datamanager):
    data = next(iter(datamanager.train_loader))
    with_fakes, without = build_engine(datamanager), build_engine(datamanager, ())
    for engine in (with_fakes, without):
        engine.embedding.train()
        engine.forward_backward(data)
    for name, value in without.model.state_dict().items():
        if "running" in name or "tracked" in name:
            assert torch.equal(value, with_fakes.model.state_dict()[name]), name
            assert not torch.equal(value, torch.zeros_like(value)), name


@pytest.mark.parametrize(
    "stage, unchanged", [(schedule.WARMUP, {"generators", "discriminators"}), (schedule.GENERATORS, {"model"})]
)
def test_stages_leave_the_others_alone(datamanager, stage, unchanged):
    engine = build_engine(datamanager)
    engine.stage = stage
    engine.embedding.train()
    before = everything(engine)
    engine.forward_backward(first_batch(engine))
    after = everything(engine)
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"model", "generators", "discriminators"} - unchanged


def test_embedding_phase_is_the_sum_of_the_papers_losses(datamanager):
    """L_E = EN + lambda_ed (L_D_hard + L_D_view), recomputed from the networks' outputs by hand."""
    engine = build_engine(datamanager, scheme_options=dict(lambda_ed=0.7))
    engine.embedding.train()
    values = engine.forward_backward(first_batch(engine))
    en = values["loss/E_triplet"] + values["loss/E_identity"]
    expected = en + 0.7 * (values["loss/E_hard"] + values["loss/E_view"])
    torch.testing.assert_close(values["loss/E"], expected)


def test_a_batch_without_views_trains_the_rest(datamanager):
    engine = build_engine(datamanager, views={})
    engine.embedding.train()
    values = engine.forward_backward(first_batch(engine))
    assert float(values["loss/E_view"]) == 0 and "loss/G_rear_gan" not in values
    assert all(torch.isfinite(value) for value in values.values())


def test_a_single_fake_uses_running_statistics(datamanager):
    engine = build_engine(datamanager, ("view",))
    data = first_batch(engine)
    views = {path: -1 for path in data["impath"]}
    views[data["impath"][0]] = 0
    engine._views = views
    engine.embedding.train()
    values = engine.forward_backward(data)
    assert torch.isfinite(values["loss/E"])


def test_own_statistics_of_the_fakes_differ_from_running_ones(datamanager):
    data = next(iter(datamanager.train_loader))
    losses = []
    for statistics in ("batch", "running"):
        engine = build_engine(datamanager, ("hard",), fake_statistics=statistics)
        engine.embedding.train()
        losses.append(float(engine.forward_backward(data)["loss/E_hard"]))
    assert losses[0] != losses[1]


def watch_fakes(scheme):
    """A dictionary that will hold the fakes which the discriminators learn from."""
    captured, original = {}, scheme.discriminator_loss
    scheme.discriminator_loss = lambda batch, made: captured.update(made) or original(batch, made)
    return captured


def test_refreshed_fakes_come_from_the_updated_generators(datamanager):
    data = next(iter(datamanager.train_loader))
    fakes = []
    for refresh in (False, True):
        engine = build_engine(datamanager, ("hard",), refresh_fakes=refresh)
        captured = watch_fakes(engine.schemes[0])
        engine.embedding.train()
        engine.forward_backward(data)
        fakes.append(captured["hard"].images)
        made_again = engine.schemes[0].generators["hard"](engine.pixels.to_generator(data["img"]))
        assert torch.equal(made_again, captured["hard"].images) is refresh
    assert not torch.equal(*fakes)


def test_logged_distances_are_those_of_real_pairs(datamanager):
    engine = build_engine(datamanager, ())
    data = first_batch(engine)
    engine.embedding.train()
    torch.manual_seed(0)
    copy = EmbeddingNetwork(engine.model)
    with torch.no_grad():
        embeddings = copy.train()(data["img"])[1]
    values = engine.forward_backward(data)
    pairwise = distances.pairwise_distance(embeddings, embeddings)
    same = data["pid"][:, None] == data["pid"]
    other = same & ~torch.eye(len(same), dtype=torch.bool)
    # two instances per identity: the positive is not a matter of chance
    torch.testing.assert_close(values["distance/positive"], pairwise[other].mean(), rtol=1e-4, atol=1e-5)
    assert pairwise[~same].min() <= values["distance/negative"] <= pairwise[~same].max()


def test_discriminator_steps(datamanager, monkeypatch):
    engine = build_engine(build_datamanager(datamanager.train_loader.dataset.dataset_dir), discriminator_steps=3)
    count, update = [], step._update
    monkeypatch.setattr(step, "_update", lambda *a: count.append(a[0]) or update(*a))
    engine.embedding.train()
    engine.forward_backward(first_batch(engine))
    assert sum(optimizer is engine.adversaries["discriminators"] for optimizer in count) == 3
    assert len(count) == 5
