"""ealn_plugin/schemes/controls.py: cheap negatives by hand; an engine with no network beside D_emb."""

import pytest
import torch

from ealn_plugin.models.embedding import l2_normalize
from ealn_plugin.schemes import controls
from ealn_plugin.schemes.base import Batch
from ealn_plugin.schemes.controls import perturb
from tests.helpers.standins import build_engine, small_schemes


def make_batch(pids=(0, 0, 1, 1, 2, 2), size=16, seed=1):
    images = torch.rand(len(pids), 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    count = len(pids)
    return Batch(
        images=images,
        pids=torch.tensor(pids),
        views=torch.full((count,), -1),
        groups=torch.full((count,), -1),
        random=torch.Generator().manual_seed(seed),
    )


def embeddings_of(count, seed=0):
    return l2_normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)))


def d(a, b):
    return ((a - b) ** 2).sum()


def test_mixtures_equal_the_formula_by_hand(monkeypatch):
    negative, positive = [2, 3, 4, 5, 0, 1], [1, 0, 3, 2, 5, 4]
    everywhere = torch.ones(6, dtype=torch.bool)
    monkeypatch.setattr(controls.Scheme, "negatives_of", lambda self, *a: (torch.tensor(negative), everywhere))
    scheme, batch = controls.MixedNegativesScheme(alpha=0.9, lambda_ed=0.3), make_batch()
    real = embeddings_of(6)
    share = 0.5 * torch.rand(6, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    loss, parts = scheme.embedding_loss(batch, real, {})
    total = distance = 0
    for i in range(6):
        mixed = share[i] * real[i] + (1 - share[i]) * real[negative[i]]
        mixed = mixed / mixed.norm()
        assert d(real[i], mixed) <= d(real[i], real[negative[i]]) + 1e-6
        total += max(d(real[i], real[positive[i]]) + 0.9 - d(real[i], mixed), torch.tensor(0.0)) / 6
        distance += d(real[i], mixed) / 6
    torch.testing.assert_close(loss, 0.3 * total)
    torch.testing.assert_close(parts["loss/E_mix"], total)
    torch.testing.assert_close(parts["distance/mix"], distance)


@pytest.mark.parametrize("negatives", ["random", "semi_hard", "hardest", "attribute"])
def test_mixtures_push_real_images_apart(negatives):
    scheme, batch = controls.MixedNegativesScheme(negatives=negatives, alpha=2.0), make_batch()
    real = embeddings_of(6).requires_grad_()
    scheme.embedding_loss(batch, real, {})[0].backward()
    assert torch.isfinite(real.grad).all() and real.grad.abs().sum() > 0


def test_one_identity_has_nothing_to_mix():
    scheme, batch = controls.MixedNegativesScheme(), make_batch((3, 3))
    loss, parts = scheme.embedding_loss(batch, embeddings_of(2), {})
    assert loss == 0 and parts["distance/mix"] == 0


def test_perturbed_copies_take_the_place_of_the_hard_negatives():
    torch.manual_seed(0)
    (hard,) = small_schemes(["hard"], alpha=1.5, lambda_ed=0.3)
    copies, real = controls.PerturbedCopiesScheme(alpha=1.5, lambda_ed=0.3), embeddings_of(6)
    made = copies.generate(make_batch())["perturb"]
    assert made.anchor_index.tolist() == list(range(6))
    fake = (embeddings_of(6, seed=5), made.anchor_index)
    ours, parts = copies.embedding_loss(make_batch(), real, {"perturb": fake})
    torch.testing.assert_close(ours, hard.embedding_loss(make_batch(), real, {"hard": fake})[0])
    torch.testing.assert_close(parts["distance/perturb"], ((real - fake[0]) ** 2).sum(1).mean())


def test_true_hard_negatives_take_the_place_of_the_generated_ones():
    torch.manual_seed(0)
    (hard,) = small_schemes(["hard"], alpha=1.5, lambda_ed=0.3)
    truth, real = controls.TrueHardNegativesScheme(alpha=1.5, lambda_ed=0.3), embeddings_of(6)
    lookalikes = torch.rand(6, 3, 16, 16)
    made = truth.generate(Batch(**{**vars(make_batch()), "companions": {"lookalike": lookalikes}}))["truth"]
    assert made.images is lookalikes and made.anchor_index.tolist() == list(range(6))
    fake = (embeddings_of(6, seed=5), made.anchor_index)
    ours, parts = truth.embedding_loss(make_batch(), real, {"truth": fake})
    torch.testing.assert_close(ours, hard.embedding_loss(make_batch(), real, {"hard": fake})[0])
    torch.testing.assert_close(parts["distance/truth"], ((real - fake[0]) ** 2).sum(1).mean())
    with pytest.raises(ValueError, match="has no lookalikes"):
        truth.generate(make_batch())


def test_perturbation_is_bounded_random_and_repeatable():
    images = make_batch(size=40).images * 0.6
    first, again, other = (perturb(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == images.shape and first.abs().max() <= 1
    torch.testing.assert_close(perturb(images, torch.Generator(), 0.0), images)
    for image, copy in zip(images, first):
        values, counts = copy.flatten(1).unique(dim=1, return_counts=True)
        share = int(counts.max()) / 1600  # the wiped-out region has one colour
        assert 0.01 < share < 0.12
        wiped = (copy == values[:, counts.argmax()].view(3, 1, 1)).all(0)
        rows, columns = wiped.any(1).sum(), wiped.any(0).sum()
        assert rows * columns == wiped.sum(), "a rectangle"
        kept = ~wiped
        slope = (copy[:, kept] - copy[:, kept].mean(1, keepdim=True)).std() / (
            image[:, kept] - image[:, kept].mean(1, keepdim=True)
        ).std()
        assert 0.69 < slope < 1.31
        assert ((copy - image).mean((1, 2)).abs() < 0.17).all()
    assert perturb(images[:0]).shape == (0, 3, 40, 40)


def test_pictures_are_the_same_every_time():
    copies, images = controls.PerturbedCopiesScheme(), make_batch().images
    assert torch.equal(copies.pictures(images, None)["perturb"], copies.pictures(images, None)["perturb"])
    assert controls.MixedNegativesScheme().pictures(images, None) == {}


@pytest.mark.parametrize("names", [("mix",), ("perturb",), ("mix", "perturb"), ("hard", "mix")])
def test_an_engine_trains_with_them(datamanager, tmp_path, names):
    engine = build_engine(datamanager, names, warmup_epochs=1)
    alone = "hard" not in names
    assert set(engine.adversaries) == (set() if alone else {"generators", "discriminators"})
    seen, train_batch = [], engine.forward_backward
    engine.forward_backward = lambda data: seen.append((engine.stage.name, train_batch(data))) or seen[-1][1]
    engine.run(save_dir=str(tmp_path), max_epoch=3, progress=False)
    stages = [name for name, _ in seen]
    assert set(stages) == ({"embedding", "joint"} if alone else {"embedding", "generators", "joint"})
    values = seen[-1][1]
    assert {f"loss/E_{name}" for name in names} <= set(values) and ("loss/G" in values) is not alone
    assert (tmp_path / "samples" / "epoch_003.png").exists()


def test_controls_alone_change_what_is_learned(datamanager):
    data, losses = next(iter(datamanager.train_loader)), {}
    for names in ((), ("mix",), ("perturb",)):
        engine = build_engine(datamanager, names)
        engine.embedding.train()
        losses[names] = float(engine.forward_backward(data)["loss/E"])
    assert losses[()] < min(losses[("mix",)], losses[("perturb",)])


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: controls.MixedNegativesScheme(alpha=9), "alpha is 9"),
        (lambda: controls.MixedNegativesScheme(negatives="easy"), "negatives is 'easy'"),
        (lambda: controls.PerturbedCopiesScheme(strength=-1), "strength is -1"),
    ],
)
def test_options_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()
