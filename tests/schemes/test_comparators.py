"""ealn_plugin/schemes/comparators.py: the losses of CycleGAN and StarGAN by hand, and that D_emb stays out of them."""

import pytest
import torch
from torch.nn import functional

from ealn_plugin import View, schemes
from ealn_plugin.schemes.base import Batch
from tests.helpers.standins import build_engine, small_schemes


def make_batch(views=(0, 1, 0, 1, 2, -1), size=32):
    images = torch.rand(len(views), 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(
        images=images,
        pids=torch.tensor([0, 0, 1, 1, 2, 2][: len(views)]),
        views=torch.tensor(views),
        groups=torch.full((len(views),), -1),
        embeddings=embed(images),
        random=torch.Generator().manual_seed(1),
    )


def embed(images):
    """A fixed embedding: mean colour per quarter of the image, L2-normalised."""
    return functional.normalize(functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)


def detached(fakes):
    return {name: fake.detach() for name, fake in fakes.items()}


def make(name, **options):
    torch.manual_seed(0)
    return small_schemes([name], residual=False, **options)[0]


def test_cyclegan_is_the_cross_view_scheme_without_its_constraint():
    cycle, batch = make("cyclegan", lambda_cyc=7.0), make_batch()
    view = schemes.CrossViewScheme(
        cycle.generators["rear"],
        cycle.generators["front"],
        cycle.discriminators["front"],
        cycle.discriminators["rear"],
        lambda_cyc=7.0,
    )
    fakes = cycle.generate(batch)
    loss, parts = cycle.generator_loss(batch, fakes, embed)
    whole, whole_parts = view.generator_loss(batch, fakes, embed)
    near = sum(whole_parts[f"loss/G_{made}_near"] for made in ("rear", "front"))
    torch.testing.assert_close(loss.detach(), whole.detach() - near)
    assert near > 0 and set(whole_parts) - set(parts) == {"loss/G_rear_near", "loss/G_front_near"}
    for name in ("distance/rear", "distance/front"):
        torch.testing.assert_close(parts[name], whole_parts[name])
    torch.testing.assert_close(
        cycle.discriminator_loss(batch, detached(fakes))[0], view.discriminator_loss(batch, detached(fakes))[0]
    )


def test_stargan_equals_its_equations():
    star = make("stargan", lambda_cls=0.7, lambda_rec=3.0, lambda_gp=5.0)
    batch, critic, made_by = make_batch(), star.discriminators["critic"], star.generators["any"]
    fakes = star.generate(batch)
    assert {name: fake.anchor_index.tolist() for name, fake in fakes.items()} == {"rear": [0, 2], "front": [1, 3]}
    shares = torch.rand(4, 1, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    generator = critic_total = 0.0
    # images 0 and 2 are front (label 0) and become rear (label 1), 1 and 3 the other way, in the order of the fakes
    for row, (anchor, own, wanted) in enumerate([(0, 0, 1), (2, 0, 1), (1, 1, 0), (3, 1, 0)]):
        real = batch.images[anchor : anchor + 1]
        fake = made_by(real, torch.tensor([wanted])).detach()
        again = made_by(fake, torch.tensor([own])).detach()
        with torch.no_grad():
            fake_score, fake_logits = critic(fake)
            real_score, real_logits = critic(real)
        generator += -fake_score.mean() - 0.7 * fake_logits.log_softmax(1)[0, wanted] + 3 * (again - real).abs().mean()
        point = (shares[row] * real + (1 - shares[row]) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(point)[0].sum(), point)
        critic_total += (
            fake_score.mean()
            - real_score.mean()
            - 0.7 * real_logits.log_softmax(1)[0, own]
            + 5 * (slope.norm() - 1) ** 2
        )
    loss, parts = star.generator_loss(batch, fakes, embed)
    torch.testing.assert_close(loss.detach(), generator / 4, rtol=1e-4, atol=1e-5)
    assert not any(value.requires_grad for value in parts.values()) and "distance/rear" in parts
    loss, _ = star.discriminator_loss(batch, detached(fakes))
    torch.testing.assert_close(loss.detach(), critic_total / 4, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cyclegan", "stargan"])
def test_they_train_their_networks_and_nothing_else(name):
    scheme, batch = make(name), make_batch()
    assert scheme.makes_other_view and not scheme.embedding_active
    for epoch in (0, 9):
        scheme.begin_epoch(epoch, 10)
        assert not scheme.embedding_active
    fakes = scheme.generate(batch)
    scheme.generator_loss(batch, fakes, embed)[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.generators.parameters())
    scheme.zero_grad()
    scheme.discriminator_loss(batch, detached(fakes))[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.discriminators.parameters())
    assert all(p.grad is None for p in scheme.generators.parameters())
    real = batch.embeddings.clone().requires_grad_()
    loss, parts = scheme.embedding_loss(batch, real, {})
    assert loss == 0 and not loss.requires_grad and parts == {}


@pytest.mark.parametrize("views", [(0, 0, 0, 0, 2, -1), (1, 1, 1, 1, 1, 1), (2, 2, -1, -1, 2, 2)])
@pytest.mark.parametrize("name", ["cyclegan", "stargan"])
def test_a_direction_without_images_adds_nothing(name, views):
    scheme, batch = make(name), make_batch(views)
    fakes = scheme.generate(batch)
    loss, parts = scheme.generator_loss(batch, fakes, embed)
    assert (
        torch.isfinite(loss)
        and ("distance/rear" in parts) == (0 in views)
        and ("distance/front" in parts) == (1 in views)
    )
    loss, _ = scheme.discriminator_loss(batch, detached(fakes))
    assert torch.isfinite(loss) and (0 in views or 1 in views or loss == 0)


def test_stargan_turns_front_and_rear_only():
    scheme, batch = make("stargan"), make_batch()
    with torch.no_grad():
        turned = scheme.other_view(batch.images, batch.views)
        for row, view in enumerate(batch.views.tolist()):
            image = batch.images[row : row + 1]
            wanted = {View.FRONT: scheme.LABELS["rear"], View.REAR: scheme.LABELS["front"]}.get(view)
            expected = image if wanted is None else scheme.generators["any"](image, torch.tensor([wanted]))
            torch.testing.assert_close(turned[row], expected[0])
    assert torch.equal(scheme.pictures(batch.images, batch.views)["other_view"].detach(), turned)


def test_sizes_and_missing_views_are_refused():
    views = torch.tensor([0, 1])
    make("stargan").check(views, 32, 32)
    with pytest.raises(ValueError, match="built for 32x32"):
        make("stargan").check(views, 64, 64)
    for name in ("cyclegan", "stargan"):
        with pytest.raises(ValueError, match="1 are front and 0 are rear"):
            make(name).check(views[:1], 32, 32)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("stargan", dict(lambda_gp=-1), "lambda_gp is -1"),
        ("stargan", dict(lambda_cls=-1), "lambda_cls is -1"),
        ("stargan", dict(distance="l1"), "distance is 'l1'"),
        ("cyclegan", dict(lambda_cyc=-1), "lambda_cyc is -1"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        small_schemes([name], **options)


def test_the_embedding_network_under_cyclegan_is_en(datamanager, tmp_path):
    """The same weights bit for bit, so what Table III compares is the fused feature alone."""
    options = dict(save_dir=str(tmp_path), max_epoch=2, progress=False, sample_every=0, test_untrained=False)
    baseline = build_engine(datamanager, ())
    compared = build_engine(datamanager, ("cyclegan",), scheme_options=dict(residual=False))
    expected = baseline.run(**options)["datasets"]
    fused = compared.run(**options)["datasets"]
    assert compared.own_results == expected != fused
    for name, value in baseline.model.state_dict().items():
        assert torch.equal(value, compared.model.state_dict()[name]), name


def test_default_networks_have_the_papers_size():
    with torch.device("meta"):
        star, cycle = schemes.StarGANScheme(), schemes.CycleGANScheme()
    assert sum(p.numel() for p in star.generators.parameters()) == 11_378_179 + 2 * 64 * 49
    assert sum(p.numel() for p in cycle.parameters()) == 2 * (11_378_179 + 2_764_737)
