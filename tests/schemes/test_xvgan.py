"""ealn_plugin/schemes/xvgan.py: every loss by hand, the joined feature, views that are missing, a run that goes on."""

import math

import pytest
import torch

from ealn_plugin.evaluation.extraction import fuse
from tests.helpers.scheme_batches import embed, make_batch
from tests.helpers.standins import small_schemes

VIEWS, PIDS = (0, 1, 0, 1, 2, -1), (0, 0, 1, 1, 2, 2)


def make(**options):
    torch.manual_seed(0)
    return small_schemes(["xvgan"], **options)[0]


def batch_of(views=VIEWS):
    return make_batch(views, PIDS, 32)


def detached(fakes):
    return {name: fake.detach() for name, fake in fakes.items()}


def minus_log_share(logits, label):
    return -logits.log_softmax(0)[label]


def softplus(values):
    return torch.log1p(values.exp())


def test_the_losses_equal_their_formulas():
    scheme, batch = make(lambda_cls=0.7, lambda_rec=3.0), batch_of()
    fakes = scheme.generate(batch)
    assert {name: fake.anchor_index.tolist() for name, fake in fakes.items()} == {"rear": [0, 2], "front": [1, 3]}
    encoder, classifier, judge = (
        *(scheme.generators[k] for k in ("encoder", "classifier")),
        scheme.discriminators["vehicles"],
    )
    vehicles, views = classifier(*encoder(batch.images))
    codes = sum(minus_log_share(vehicles[i], PIDS[i]) for i in range(6)) / 6
    codes = codes + sum(minus_log_share(views[i], VIEWS[i]) for i in range(5)) / 5
    realism = right = likeness = seen = 0
    # each of them has the one other image of its vehicle as its real other view
    for name, row, anchor, other in (("rear", 0, 0, 1), ("rear", 1, 2, 3), ("front", 0, 1, 0), ("front", 1, 3, 2)):
        fake = fakes[name].images[row]
        scores, vehicle, view = (found[0] for found in judge(fake[None]))
        real_scores, real_vehicle, real_view = (found[0] for found in judge(batch.images[anchor, None]))
        realism = realism + softplus(-scores).mean() / 4
        right = right + (minus_log_share(vehicle, PIDS[anchor]) + minus_log_share(view, VIEWS[other])) / 4
        likeness = likeness + (fake - batch.images[other]).abs().mean() / 4
        seen = seen + (softplus(-real_scores).mean() + softplus(scores).mean()) / 4
        seen = (
            seen + 0.7 * (minus_log_share(real_vehicle, PIDS[anchor]) + minus_log_share(real_view, VIEWS[anchor])) / 4
        )
    loss, parts = scheme.generator_loss(batch, fakes, embed)
    torch.testing.assert_close(loss, codes + realism + 0.7 * right + 3 * likeness)
    assert not any(value.requires_grad for value in parts.values()) and {"distance/rear", "distance/front"} <= set(
        parts
    )
    torch.testing.assert_close(scheme.discriminator_loss(batch, detached(fakes))[0], seen)


def test_the_metric_is_learned_on_the_feature_that_is_tested():
    scheme, batch = make(margin=1.1, lambda_ed=0.5), batch_of()
    generator = torch.Generator().manual_seed(3)
    raw = torch.randn(6, 4, generator=generator).requires_grad_()
    real = torch.nn.functional.normalize(raw, dim=1)
    made = torch.nn.functional.normalize(torch.randn(4, 4, generator=generator), dim=1)
    fake = {"rear": (made[:2], torch.tensor([0, 2])), "front": (made[2:], torch.tensor([1, 3]))}
    other = torch.stack([made[0], made[2], made[1], made[3], real[4], real[5]])
    joined = fuse(real, other, batch.views)
    near, far = [], []
    for i in range(6):
        for j in range(6):
            d = (joined[i] - joined[j]).pow(2).sum()
            if i != j:
                (near if PIDS[i] == PIDS[j] else far).append(d if PIDS[i] == PIDS[j] else (1.1 - d).clamp(min=0))
    loss, parts = scheme.embedding_loss(batch, real, fake)
    expected = 0.5 * (sum(near) / len(near) + sum(far) / len(far))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(parts["loss/E_xvgan"] * 0.5, loss.detach())
    torch.testing.assert_close(*(torch.autograd.grad(value, raw, retain_graph=True)[0] for value in (loss, expected)))


def test_each_phase_reaches_its_own_networks():
    scheme, batch = make(), batch_of()
    fakes = scheme.generate(batch)
    scheme.generator_loss(batch, fakes, embed)[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.generators.parameters())
    scheme.zero_grad()
    scheme.discriminator_loss(batch, detached(fakes))[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.discriminators.parameters())
    assert all(p.grad is None for p in scheme.generators.parameters())


@pytest.mark.parametrize("views", [(0, 0, 0, 0, 2, -1), (1,) * 6, (2, 2, -1, -1, 2, 2), (-1,) * 6])
def test_batches_that_lack_views(views):
    scheme, batch = make(), batch_of(views)
    fakes = scheme.generate(batch)
    loss, parts = scheme.generator_loss(batch, fakes, embed)
    loss.backward()
    assert torch.isfinite(loss) and ("distance/rear" in parts) == (0 in views)
    assert parts.get("loss/G_xv_likeness", 0) == 0  # no vehicle shows both views
    assert torch.isfinite(scheme.discriminator_loss(batch, detached(fakes))[0])
    embedded = {
        name: (embed(fake.images) if len(fake.images) else batch.embeddings[:0], fake.anchor_index)
        for name, fake in fakes.items()
    }
    assert torch.isfinite(scheme.embedding_loss(batch, batch.embeddings, embedded)[0])


def test_only_training_has_noise():
    scheme, batch = make(), batch_of()
    scheme.generator_loss(batch, scheme.generate(batch), embed)  # which finds the centres
    with torch.no_grad():
        again, once = (scheme.other_view(batch.images, batch.views) for _ in range(2))
        noisy = scheme.generate(batch)["rear"].images
    assert torch.equal(again, once) and torch.equal(once[4:], batch.images[4:])
    assert (noisy - once[[0, 2]]).abs().mean() > 1e-3
    assert not math.isclose(float((once[0] - once[1]).abs().mean()), 0, abs_tol=1e-4)
    assert set(scheme.turning) == {"encoder", "decoder"}


@pytest.mark.parametrize("option", ["lambda_cls", "lambda_rec", "lambda_ed", "margin"])
def test_options_out_of_range(option):
    with pytest.raises(ValueError, match=f"{option} is -1"):
        make(**{option: -1.0})


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="64x64 pixels reached an XVGAN that makes 32x32"):
        make().check(torch.tensor([0, 1]), 64, 64)
