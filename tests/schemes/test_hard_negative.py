"""ealn_plugin/schemes/hard_negative.py: every loss of a scheme against the equations, by hand."""

import pytest
import torch
from torch.nn import functional

from ealn_plugin import View
from ealn_plugin.losses import selection
from ealn_plugin.schemes import Batch, cross_view, hard_negative
from tests.helpers.standins import small_schemes


def make_batch(views=(0, 1, 0, 1, 2, -1), pids=(0, 0, 1, 1, 2, 2), size=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(pids), 3, size, size, generator=generator) * 2 - 1
    return Batch(
        images=images,
        pids=torch.tensor(pids),
        views=torch.tensor(views),
        groups=torch.full((len(pids),), -1),
        embeddings=embed(images),
        random=torch.Generator().manual_seed(1),
    )


def embed(images):
    """A fixed embedding: mean colour per quarter of the image, L2-normalised."""
    return functional.normalize(functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)


def d(a, b):
    return float(((a - b) ** 2).sum())


def log_loss(logits, real):
    values = [(-functional.logsigmoid(x if real else -x)).item() for x in logits.flatten()]
    return sum(values) / len(values)


class FixedPairs:
    """x_n is the next identity's first image, x_p the identity's other image, in place of random choices."""

    @staticmethod
    def negatives(distances, pids, strategy, groups=None, generator=None, d_positive=None):
        index = [next(j for j in range(len(pids)) if pids[j] == (pids[i] + 1) % 3) for i in range(len(pids))]
        return torch.tensor(index), torch.ones(len(pids), dtype=torch.bool)

    @staticmethod
    def positives(pids, generator=None):
        index = [next(j for j in range(len(pids)) if pids[j] == pids[i] and j != i) for i in range(len(pids))]
        return torch.tensor(index), torch.ones(len(pids), dtype=torch.bool)


@pytest.fixture
def fixed_pairs(monkeypatch):
    monkeypatch.setattr(selection, "select_negatives", FixedPairs.negatives)
    monkeypatch.setattr(selection, "select_positives", FixedPairs.positives)


def test_hard_negative_scheme_equals_equations_4_to_8(fixed_pairs):
    torch.manual_seed(0)
    scheme, batch = small_schemes(["hard"], residual=False, alpha=0.9, lambda_ed=0.3)[0], make_batch()
    fakes = scheme.generate(batch)
    images, anchor = fakes["hard"]
    assert anchor.tolist() == list(range(6))
    negative, _ = FixedPairs.negatives(None, batch.pids, "random")
    positive, _ = FixedPairs.positives(batch.pids)
    f, g = batch.embeddings, embed(images).detach()
    belt = (
        sum(
            max(scheme.beta1 - d(f[i], g[i]), 0) + max(d(f[i], g[i]) + scheme.beta2 - d(f[i], f[negative[i]]), 0)
            for i in range(6)
        )
        / 6
    )
    judge = scheme.discriminators["real_fake"]
    with torch.no_grad():
        on_fake, on_real = judge(images), judge(batch.images)
    loss, parts = scheme.generator_loss(batch, fakes, embed)
    assert float(loss) == pytest.approx(log_loss(on_fake, True) + 0.3 * belt, rel=1e-4)
    assert parts["loss/G_hard_belt"].item() == pytest.approx(belt, rel=1e-4)
    assert not parts["distance/hard"].requires_grad
    loss, _ = scheme.discriminator_loss(batch, {"hard": fakes["hard"].detach()})
    assert float(loss) == pytest.approx(log_loss(on_real, True) + log_loss(on_fake, False), rel=1e-4)
    loss, _ = scheme.embedding_loss(batch, f, {"hard": (g, anchor)})
    pushed = sum(max(d(f[i], f[positive[i]]) + 0.9 - d(f[i], g[i]), 0) for i in range(6)) / 6
    assert float(loss) == pytest.approx(0.3 * pushed, rel=1e-4)


def test_cross_view_scheme_equals_equations_9_to_14(fixed_pairs):
    torch.manual_seed(0)
    options = dict(alpha=1.2, lambda_ed=0.4, lambda_cyc=7.0)
    scheme, batch = cross_view.CrossViewScheme(*_four_networks(), **options), make_batch()
    fakes = scheme.generate(batch)
    fronts, rears = [0, 2], [1, 3]
    assert fakes["rear"].anchor_index.tolist() == fronts and fakes["front"].anchor_index.tolist() == rears
    negative, _ = FixedPairs.negatives(None, batch.pids, "random")
    positive, _ = FixedPairs.positives(batch.pids)
    f = batch.embeddings
    generators_total = discriminators_total = 0
    with torch.no_grad():
        for made, back, anchors, others in (("rear", "front", fronts, rears), ("front", "rear", rears, fronts)):
            image, judge = fakes[made].images, scheme.discriminators[made]
            again = scheme.generators[back](image)
            cycle = (again - batch.images[anchors]).abs().mean().item()
            g = embed(image)
            near = sum(max(d(f[i], g[k]) + 1.2 - d(f[i], f[negative[i]]), 0) for k, i in enumerate(anchors)) / 2
            generators_total += log_loss(judge(image), True) + 7.0 * cycle + 0.4 * near
            discriminators_total += log_loss(judge(batch.images[others]), True) + log_loss(judge(image), False)
    loss, _ = scheme.generator_loss(batch, fakes, embed)
    assert float(loss) == pytest.approx(generators_total, rel=1e-4)
    detached = {name: fake.detach() for name, fake in fakes.items()}
    assert float(scheme.discriminator_loss(batch, detached)[0]) == pytest.approx(discriminators_total, rel=1e-4)
    fake = {name: (embed(made.images).detach(), made.anchor_index) for name, made in fakes.items()}
    pairs = [
        (i, fake[name][0][k]) for name, anchors in (("rear", fronts), ("front", rears)) for k, i in enumerate(anchors)
    ]
    pushed = sum(max(d(f[i], f[positive[i]]) + 1.2 - d(f[i], g), 0) for i, g in pairs) / 4
    assert float(scheme.embedding_loss(batch, f, fake)[0]) == pytest.approx(0.4 * pushed, rel=1e-4)


def _four_networks():
    source = small_schemes(["view"], residual=False)[0]
    return (
        source.generators["rear"],
        source.generators["front"],
        source.discriminators["front"],
        source.discriminators["rear"],
    )


@pytest.mark.parametrize("views", [(0, 0, 0, 0, 2, -1), (1, 1, 1, 1, 1, 1), (2, 2, -1, -1, 2, 2)])
def test_a_direction_without_images_adds_nothing(views):
    scheme, batch = small_schemes(["view"])[0], make_batch(views)
    fakes = scheme.generate(batch)
    assert {name: len(fake.images) for name, fake in fakes.items()} == {"rear": views.count(0), "front": views.count(1)}
    loss, parts = scheme.generator_loss(batch, fakes, embed)
    assert torch.isfinite(loss) and all(("rear" in name) == (views.count(0) > 0) for name in parts)
    detached = {name: fake.detach() for name, fake in fakes.items()}
    assert float(scheme.discriminator_loss(batch, detached)[0]) == 0
    fake = {name: (embed(made.images).detach(), made.anchor_index) for name, made in fakes.items()}
    assert torch.isfinite(scheme.embedding_loss(batch, batch.embeddings, fake)[0])


def test_equation_10_is_switched_off_in_the_last_epochs():
    for options, expected in (({}, 10), (dict(embedding_off_epochs=7), 7), (dict(embedding_off_epochs=0), 0)):
        scheme = cross_view.CrossViewScheme(*_four_networks(), **options)
        active = []
        for epoch in range(50):
            scheme.begin_epoch(epoch, 50)
            active.append(scheme.embedding_active)
        assert active == [True] * (50 - expected) + [False] * expected


def test_other_view_turns_front_and_rear_only():
    scheme, batch = cross_view.CrossViewScheme(*_four_networks()), make_batch()
    with torch.no_grad():
        turned = scheme.other_view(batch.images, batch.views)
        for row, view in enumerate(batch.views.tolist()):
            made = {View.FRONT: "rear", View.REAR: "front"}.get(view)
            expected = scheme.generators[made](batch.images[row : row + 1])[0] if made else batch.images[row]
            torch.testing.assert_close(turned[row], expected)


@pytest.mark.parametrize("negatives", ["random", "semi_hard", "hardest", "attribute"])
@pytest.mark.parametrize("kind, gan_loss", [("squared", "vanilla"), ("euclidean", "lsgan")])
def test_every_option_gives_gradients_to_the_generators(negatives, kind, gan_loss):
    batch = make_batch()
    batch.groups[:4] = 3
    for scheme in small_schemes(residual=False, distance=kind, negatives=negatives, gan_loss=gan_loss):
        loss, _ = scheme.generator_loss(batch, scheme.generate(batch), embed)
        loss.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.generators.parameters())


@pytest.mark.parametrize("views", [[0, 0, 0], [1, 1], [-1, 2]])
def test_training_images_without_both_views_are_refused(views):
    with pytest.raises(ValueError, match="labelled front and rear.*viewpoints.csv.*ealn.scheme hard"):
        small_schemes(["view"])[0].check(torch.tensor(views), 32, 32)


def test_image_sizes_are_refused_by_the_networks_themselves():
    scheme = small_schemes(["hard"])[0]
    scheme.check(torch.tensor([-1]), 32, 32)
    with pytest.raises(ValueError, match="cannot halve twice: 30x32"):
        scheme.check(torch.tensor([-1]), 30, 32)
    with pytest.raises(ValueError, match="8x8 pixels leave no logits"):
        hard_negative.HardNegativeScheme(small_schemes(["hard"])[0].generators["hard"]).check(torch.tensor([-1]), 8, 8)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(alpha=4.5), "alpha is 4.5"),
        (dict(alpha=2.5, distance="euclidean"), "alpha is 2.5"),
        (dict(beta1=-0.1), "beta1 is -0.1"),
        (dict(beta2=float("nan")), "beta2 is nan"),
        (dict(lambda_ed=-1), "lambda_ed"),
        (dict(distance="cosine"), "distance is 'cosine'"),
        (dict(negatives="easy"), "negatives is 'easy'"),
        (dict(gan_loss="wgan"), "gan_loss is 'wgan'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        small_schemes(["hard"], **options)


def test_default_networks_are_the_papers():
    with torch.device("meta"):
        hard, view = hard_negative.HardNegativeScheme(), cross_view.CrossViewScheme()
    assert sum(p.numel() for p in hard.parameters()) == 11_378_179 + 2_764_737
    assert sum(p.numel() for p in view.parameters()) == 2 * (11_378_179 + 2_764_737)
