"""ealn_plugin/schemes/base.py and the remedies of the paper's schemes: reconstructions and adaptive weights."""

import math

import pytest
import torch
from torch.nn import functional

from ealn_plugin import schemes
from ealn_plugin.losses import selection
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.schemes.base import Batch, where
from tests.helpers.standins import build_engine, small_schemes


def make_batch(views=(0, 1, 0, 1, 2, -1), pids=(0, 0, 1, 1, 2, 2), size=16):
    images = torch.rand(len(pids), 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(
        images=images,
        pids=torch.tensor(pids),
        views=torch.tensor(views),
        groups=torch.full((len(pids),), -1),
        embeddings=embed(images),
        random=torch.Generator().manual_seed(1),
    )


def embed(images):
    return functional.normalize(functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)


def d(a, b):
    return float(((a - b) ** 2).sum())


def test_reconstructions_equal_their_equations(monkeypatch):
    negative = torch.tensor([2, 3, 4, 5, 0, 1])
    monkeypatch.setattr(selection, "select_negatives", lambda *a, **k: (negative, torch.ones(6, dtype=torch.bool)))
    torch.manual_seed(0)
    options = dict(residual=False, alpha=0.9, lambda_ed=0.3)
    (scheme,) = small_schemes(["hard"], reconstructions=True, lambda_rec=4.0, **options)
    plain = schemes.HardNegativeScheme(
        scheme.generators["hard"], scheme.discriminators["real_fake"], alpha=0.9, lambda_ed=0.3
    )
    fakes = scheme.generate(make_batch())
    assert set(fakes) == {"hard", "reconstruction"} and set(plain.generate(make_batch())) == {"hard"}
    loss, parts = scheme.generator_loss(make_batch(), fakes, embed)
    again = (fakes["reconstruction"].images - make_batch().images).abs().mean()
    torch.testing.assert_close(loss, plain.generator_loss(make_batch(), fakes, embed)[0] + 4.0 * again)
    torch.testing.assert_close(parts["loss/G_hard_reconstruction"], again.detach())

    f = make_batch().embeddings
    fake = {name: (embed(made.images).detach(), made.anchor_index) for name, made in fakes.items()}
    r, g = fake["reconstruction"][0], fake["hard"][0]
    kept = (
        sum(
            max(d(f[i], r[i]) + 0.9 - d(f[i], g[i]), 0) + max(d(f[i], r[i]) + 0.9 - d(f[i], f[negative[i]]), 0)
            for i in range(6)
        )
        / 12
    )
    loss, parts = scheme.embedding_loss(make_batch(), f, fake)
    expected = plain.embedding_loss(make_batch(), f, fake)[0] + 0.3 * kept
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert parts["loss/E_reconstruction"].item() == pytest.approx(kept, rel=1e-5)
    assert parts["distance/reconstruction"].item() == pytest.approx(sum(d(f[i], r[i]) for i in range(6)) / 6, rel=1e-5)


def test_to_look_generated_no_longer_helps():
    """A D_emb that only sees 'generated': Eq. 5 is satisfied for free, with reconstructions it costs alpha."""
    torch.manual_seed(0)
    (scheme,) = small_schemes(["hard"], residual=False, reconstructions=True)
    real, generated = torch.eye(4)[:1].expand(6, 4), torch.eye(4)[1:2].expand(6, 4)
    everything = torch.arange(6)
    loss, parts = scheme.embedding_loss(
        make_batch(), real, {"hard": (generated, everything), "reconstruction": (generated, everything)}
    )
    assert parts["loss/E_hard"] == 0
    # half of [d(x, r) + alpha - d(x, G)] = 0.6 and half of [2 + alpha - 0], all real images being one point
    assert parts["loss/E_reconstruction"].item() == pytest.approx(0.5 * (0.6 + 2.6)) and float(loss) > 0.6


def test_reconstructions_are_learned_in_a_few_steps(datamanager):
    engine = build_engine(
        datamanager, ("hard",), gan_lr=0.01, scheme_options=dict(residual=False, reconstructions=True)
    )
    engine.embedding.train()
    data = next(iter(datamanager.train_loader))
    errors = [float(engine.forward_backward(data)["loss/G_hard_reconstruction"]) for _ in range(30)]
    assert errors[-1] < 0.8 * errors[0]


def test_reconstructions_need_a_generator_of_them():
    generator = small_schemes(["hard"])[0].generators["hard"]
    with pytest.raises(ValueError, match="ResnetGenerator has no method both; give a ReconstructingGenerator"):
        schemes.HardNegativeScheme(generator, reconstructions=True)
    with pytest.raises(ValueError, match="lambda_rec is -1"):
        small_schemes(["hard"], reconstructions=True, lambda_rec=-1)
    with torch.device("meta"):
        assert hasattr(schemes.HardNegativeScheme(reconstructions=True).generators["hard"], "both")


@pytest.mark.parametrize(
    "name, terms", [("hard", ["loss/G_hard_belt"]), ("view", ["loss/G_rear_near", "loss/G_front_near"])]
)
def test_the_weight_follows_the_generators_own_constraint(name, terms):
    losses = {}
    for beta in (0.0, 0.2):
        torch.manual_seed(0)
        (scheme,) = small_schemes([name], residual=False, alpha=1.2, lambda_ed=0.5, adaptive_weight=beta)
        batch = make_batch()
        fakes = scheme.generate(batch)
        _, parts = scheme.generator_loss(batch, fakes, embed)
        misfit = sum(parts[term].item() for term in terms) / len(terms)
        fake = {key: (embed(made.images).detach(), made.anchor_index) for key, made in fakes.items()}
        loss, parts = scheme.embedding_loss(batch, batch.embeddings, fake)
        losses[beta] = float(loss)
        assert (f"weight/{name}" in parts) == (beta > 0)
    weight = 1 - math.exp(-0.2 / misfit)
    assert 0 < weight < 1 and parts[f"weight/{name}"].item() == pytest.approx(weight, rel=1e-5)
    assert losses[0.2] == pytest.approx(weight * losses[0.0], rel=1e-5)


def test_small_pieces():
    assert where(torch.tensor([True, False, True]), torch.device("cpu")).tolist() == [0, 2]
    check_not_negative("option", 0)
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match="option is"):
            check_not_negative("option", value)
    with pytest.raises(ValueError, match="adaptive_weight is -1"):
        small_schemes(["hard"], adaptive_weight=-1)
