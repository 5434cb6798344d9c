"""ealn_plugin/schemes/hard_negative.py: Eq. 3 to 8 by hand, and what all schemes share."""

import pytest
import torch

from ealn_plugin.schemes import hard_negative
from tests.helpers.scheme_batches import FixedPairs, d, embed, log_loss, make_batch
from tests.helpers.standins import small_schemes


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


@pytest.mark.parametrize("negatives", ["random", "semi_hard", "hardest", "attribute"])
@pytest.mark.parametrize("kind, gan_loss", [("squared", "vanilla"), ("euclidean", "lsgan")])
def test_every_option_gives_gradients_to_the_generators(negatives, kind, gan_loss):
    batch = make_batch()
    batch.groups[:4] = 3
    for scheme in small_schemes(residual=False, distance=kind, negatives=negatives, gan_loss=gan_loss):
        loss, _ = scheme.generator_loss(batch, scheme.generate(batch), embed)
        loss.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.generators.parameters())


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
        hard = hard_negative.HardNegativeScheme()
    assert sum(p.numel() for p in hard.parameters()) == 11_378_179 + 2_764_737
