"""ealn_plugin/schemes/editing.py: what is edited, chosen and learned, by hand; and engines that train with it."""

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional

from ealn_plugin import FeatureExtractor
from ealn_plugin.losses.selection import select_positives
from ealn_plugin.reports.exhibits import ExhibitedRun
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.schemes import editing
from ealn_plugin.schemes.base import Batch
from tests.helpers.standins import build_engine, small_schemes, train_run


def embed(images):
    """A fixed embedding: mean colour per quarter of the image, L2-normalised."""
    return functional.normalize(functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)


def make_batch(pids=(0, 0, 1, 1, 2, 2), views=(0, 0, 0, 0, 1, -1), size=24, seed=1):
    images = torch.rand(len(pids), 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(
        images=images,
        pids=torch.tensor(pids),
        views=torch.tensor(views),
        groups=torch.full((len(pids),), -1),
        embeddings=embed(images),
        random=torch.Generator().manual_seed(seed),
        embed=embed,
    )


def build(kind="edit", **options):
    torch.manual_seed(0)
    return small_schemes([kind], **{"radii": (0.1, 0.25), **options})[0]


def d(a, b):
    return float(((a - b) ** 2).sum())


EVERY = [
    ("edit", dict(content="repaint")),
    ("edit", dict(content="blend")),
    ("edit", dict(content="blend", neutral="own", seam=2)),
    ("paste", dict()),
    ("paste", dict(neutral="own")),
]


@pytest.mark.parametrize("choose", ["pixels", "persistent", "embedding", "belt"])
@pytest.mark.parametrize("kind, options", EVERY)
def test_pixels_outside_the_regions_are_the_same_bit_for_bit(kind, options, choose):
    scheme, batch = build(kind, choose=choose, **options), make_batch()
    for fake in scheme.generate(batch).values():
        outside = ~fake.regions.expand_as(batch.images)
        assert fake.anchor_index.tolist() == list(range(6)) and 0.3 < outside.float().mean() < 1
        assert torch.equal(fake.images[outside], batch.images[outside])
        assert not fake.images.requires_grad


def test_repainted_images_are_the_generators_own():
    scheme, batch = build(candidates=2), make_batch()
    for fake in scheme.generate(batch).values():
        with torch.no_grad():
            expected = scheme.generators["hard"](batch.images, fake.regions)
        torch.testing.assert_close(fake.images, expected)


@pytest.mark.parametrize("choose", ["pixels", "persistent", "embedding"])
def test_the_negative_is_chosen_among_the_candidates(choose):
    scheme, batch = build(choose=choose, candidates=4), make_batch()
    with torch.no_grad():
        made, changed, _ = scheme._candidates(batch.images, None, copy.deepcopy(batch).random)
    fakes = scheme.generate(batch)
    for n in range(6):
        if choose == "pixels":
            far = [float((made[k, n] - batch.images[n]).abs().sum()) for k in range(4)]
            near = [far[k] / float(changed[k, n].sum()) for k in range(4)]
        elif choose == "persistent":
            far = [float((made[k, n] - batch.images[n]).abs().sum()) for k in range(4)]
            near = [far[k] / float(changed[k, n].sum()) for k in range(4)]
            if n < 4:  # the other two have no image of their view
                other = (batch.images[n ^ 1] - batch.images[n]).abs()
                far = [far[k] - float((other * changed[k, n]).sum()) for k in range(4)]
        else:
            far = near = [d(batch.embeddings[n], embed(made[k, n][None])[0]) for k in range(4)]
        best = max(range(4), key=lambda k: far[k])
        neutral = min((k for k in range(4) if k != best), key=lambda k: near[k])
        assert torch.equal(fakes["hard"].images[n], made[best, n])
        assert torch.equal(fakes["neutral"].images[n], made[neutral, n])


def test_pasted_regions_come_from_another_vehicle_of_the_view():
    scheme, batch = build("paste", neutral="own", candidates=1), make_batch()
    fakes = scheme.generate(batch)
    for n in range(6):
        inside = fakes["paste"].regions[n].expand(3, -1, -1)
        sources = [j for j in range(6) if torch.equal(batch.images[j][inside], fakes["paste"].images[n][inside])]
        assert len(sources) == 1 and batch.pids[sources[0]] != batch.pids[n]
        if n < 4:
            assert batch.views[sources[0]] == 0
    own = fakes["neutral"]
    assert torch.equal(own.regions, fakes["paste"].regions)
    for n in range(4):  # the other two have no image of their view
        inside = own.regions[n].expand(3, -1, -1)
        assert torch.equal(own.images[n][inside], batch.images[n ^ 1][inside])


def with_companions(batch):
    random = torch.Generator().manual_seed(5)
    drawn = {kind: torch.rand(batch.images.shape, generator=random) * 2 - 1 for kind in ("donor", "own")}
    return dataclasses.replace(batch, companions=drawn)


@pytest.mark.parametrize("kind, options", [("paste", {}), ("edit", dict(content="blend", seam=0))])
def test_donors_give_what_is_pasted_and_the_own_image_the_neutral_edit(kind, options):
    scheme = build(kind, neutral="own", candidates=3, choose="persistent", donors=4, **options)
    assert scheme.companions == ("donor", "own") and scheme.donors == 4
    batch = with_companions(make_batch((0, 0, 1, 1, 2, 3)))
    fakes = scheme.generate(batch)
    for fake, kind in ((fakes[scheme.name], "donor"), (fakes["neutral"], "own")):
        for n in range(6):
            inside = fake.regions[n].expand(3, -1, -1)
            assert torch.equal(fake.images[n][inside], batch.companions[kind][n][inside])
            assert torch.equal(fake.images[n][~inside], batch.images[n][~inside])
    fake = {name: (embed(made.images), made.anchor_index) for name, made in fakes.items()}
    f, g, twin = batch.embeddings, fake[scheme.name][0], fake["neutral"][0]
    near = sum(max(d(f[i], twin[i]) + 0.6 - d(f[i], g[i]), 0) for i in range(6)) / 6
    parts = scheme.embedding_loss(batch, f, fake)[1]
    assert parts["loss/E_neutral"].item() == pytest.approx(near, rel=1e-4)


def test_persistent_counts_what_the_own_image_changes_less():
    scheme = build("paste", neutral="none", candidates=5, choose="persistent", donors=1)
    batch = with_companions(make_batch())
    made, changed, _ = scheme._candidates(batch.images, batch.companions["donor"], copy.deepcopy(batch).random)
    fakes = scheme.generate(batch)
    for n in range(6):
        other = (batch.companions["own"][n] - batch.images[n]).abs()
        excess = [float(((made[k, n] - batch.images[n]).abs() - other * changed[k, n]).sum()) for k in range(5)]
        assert torch.equal(fakes["paste"].images[n], made[max(range(5), key=lambda k: excess[k]), n])


@pytest.mark.parametrize(
    "kind, options, expected",
    [
        ("paste", dict(donors=0, neutral="own"), ()),
        ("paste", dict(donors=2), ("donor",)),
        ("edit", dict(donors=2), ()),
        ("edit", dict(donors=2, choose="persistent"), ("own",)),
    ],
)
def test_only_what_is_looked_at_is_asked_for(kind, options, expected):
    assert build(kind, **options).companions == expected


def test_blended_content_is_pasted_and_its_border_repainted():
    scheme, batch = build(content="blend", candidates=2), make_batch(views=(-1,) * 6)
    made, changed, regions = scheme._candidates(batch.images, batch.images.roll(2, 0), batch.random)
    core = torch.stack([inside & ~editing.seams(inside, 1) for inside in regions]).expand_as(made)
    assert torch.equal(made[core], batch.images.roll(2, 0).expand_as(made)[core])
    assert (changed.sum() > regions.sum()) and (changed | ~regions).all()


@pytest.mark.parametrize("kind, options", EVERY)
def test_embedding_loss_equals_equation_5_and_its_twin(kind, options):
    scheme, batch = build(kind, alpha=0.9, lambda_ed=0.3, **options), make_batch()
    fakes = scheme.generate(batch)
    f = batch.embeddings
    fake = {name: (embed(made.images), made.anchor_index) for name, made in fakes.items()}
    positive, _ = select_positives(batch.pids, copy.deepcopy(batch).random)
    loss, parts = scheme.embedding_loss(batch, f, fake)
    g, twin = fake[scheme.name][0], fake["neutral"][0]
    pushed = sum(max(d(f[i], f[positive[i]]) + 0.9 - d(f[i], g[i]), 0) for i in range(6)) / 6
    rows = range(4) if options.get("neutral") == "own" else range(6)
    near = sum(max(d(f[i], twin[i]) + 0.9 - d(f[i], g[i]), 0) for i in rows) / len(rows)
    assert float(loss) == pytest.approx(0.3 * (pushed + near), rel=1e-4)
    assert parts["loss/E_neutral"].item() == pytest.approx(near, rel=1e-4)


@pytest.mark.parametrize("kind", ["edit", "paste"])
def test_without_neutral_edits_there_is_equation_5_alone(kind):
    scheme, batch = build(kind, neutral="none", candidates=1), make_batch()
    fakes = scheme.generate(batch)
    assert list(fakes) == [scheme.name]
    fake = {name: (embed(made.images), made.anchor_index) for name, made in fakes.items()}
    assert set(scheme.embedding_loss(batch, batch.embeddings, fake)[1]) == {
        f"loss/E_{scheme.name}",
        f"distance/{scheme.name}",
    }


def test_one_vehicle_alone_has_nothing_to_paste():
    scheme, batch = build("paste", neutral="none", candidates=1), make_batch((3, 3), (0, 0))
    fakes = scheme.generate(batch)
    assert torch.equal(fakes["paste"].images, batch.images)
    fake = {name: (embed(made.images), made.anchor_index) for name, made in fakes.items()}
    assert scheme.embedding_loss(batch, batch.embeddings, fake)[0] == 0


def test_what_the_generator_learns_by_hand():
    scheme, batch = build(lambda_l1=2.0, lambda_rf=0.4, gan_loss="lsgan", pixel_weight=0.7, beta1=0.9), make_batch()
    random = copy.deepcopy(batch).random
    regions = editing.draw_regions(6, 24, 24, (1, 3), (0.1, 0.25), random)
    with torch.no_grad():
        filled = scheme.generators["hard"](batch.images, regions)
        logits = scheme.discriminators["real_fake"](torch.cat([filled, regions.float()], 1))
    inside = regions.expand_as(filled)
    again = (filled - batch.images)[inside].abs().mean().item()
    cells = functional.adaptive_max_pool2d(regions.float(), logits.shape[-2:]) > 0
    realism = ((logits[cells] - 1) ** 2).mean().item()
    negative, _ = editing.selection.select_negatives(None, batch.pids, "random", generator=random)
    f, g = batch.embeddings, embed(filled)
    belt = [max(0.9 - d(f[i], g[i]), 0) + max(d(f[i], g[i]) + 0.3 - d(f[i], f[negative[i]]), 0) for i in range(6)]
    loss, _ = scheme.generator_loss(batch, None, embed)
    assert float(loss) == pytest.approx(2 * again + 0.4 * realism + 0.7 * sum(belt) / 6, rel=1e-4)


def test_what_the_discriminator_learns_by_hand():
    scheme, batch = build(gan_loss="lsgan"), make_batch()
    fakes = scheme.generate(batch)
    edited = fakes["hard"]
    judge = scheme.discriminators["real_fake"]
    with torch.no_grad():
        on_real, on_fake = (
            judge(torch.cat([images, edited.regions.float()], 1)) for images in (batch.images, edited.images)
        )
    cells = functional.adaptive_max_pool2d(edited.regions.float(), on_real.shape[-2:]) > 0
    expected = ((on_real[cells] - 1) ** 2).mean() + (on_fake[cells] ** 2).mean()
    torch.testing.assert_close(scheme.discriminator_loss(batch, fakes)[0].detach(), expected)


@pytest.mark.parametrize("content", ["repaint", "blend"])
def test_gradients_reach_only_the_networks_that_learn(content):
    scheme, batch = build(content=content), make_batch()
    scheme.generator_loss(batch, None, embed)[0].backward()
    assert all(parameter.grad is not None for parameter in scheme.generators.parameters())
    scheme.zero_grad(set_to_none=True)
    fakes = {name: fake.detach() for name, fake in scheme.generate(batch).items()}
    scheme.discriminator_loss(batch, fakes)[0].backward()
    assert all(parameter.grad is None for parameter in scheme.generators.parameters())
    assert all(parameter.grad is not None for parameter in scheme.discriminators.parameters())


def test_a_frozen_generator_learns_in_the_warm_up_alone():
    scheme, batch = build(learn=False), make_batch()
    scheme.begin_epoch(-1, 4)
    assert scheme.generator_loss(batch, None, embed)[0].requires_grad
    scheme.begin_epoch(0, 4)
    assert not scheme.generator_loss(batch, None, embed)[0].requires_grad
    assert not scheme.discriminator_loss(batch, scheme.generate(batch))[0].requires_grad


@pytest.mark.parametrize("kind, options", EVERY)
def test_pictures_are_the_same_every_time(kind, options):
    scheme, batch = build(kind, **options), make_batch()
    first, again = (scheme.pictures(batch.images, batch.views) for _ in range(2))
    assert set(first) == {scheme.name} | (set() if options.get("neutral") == "own" else {"neutral"})
    assert all(torch.equal(first[name], again[name]) and first[name].shape == batch.images.shape for name in first)
    assert scheme.pictures(batch.images[:1], batch.views[:1])[scheme.name].shape == (1, 3, 24, 24)


@pytest.mark.parametrize(
    "names, options",
    [
        (("edit",), dict(choose="belt", pixel_weight=0.1)),
        (("edit", "view"), dict()),
        (("edit",), dict(content="blend", neutral="own")),
        (("paste",), dict(choose="embedding")),
        (("paste",), dict(donors=3, neutral="own", choose="persistent")),
        (("edit",), dict(donors=3, content="blend")),
    ],
)
def test_an_engine_trains_with_them(datamanager, tmp_path, names, options):
    engine = build_engine(datamanager, names[:1], scheme_options=options, warmup_epochs=1)
    if len(names) > 1:
        engine = build_engine(datamanager, names, warmup_epochs=1)
    seen, train_batch = [], engine.forward_backward
    engine.forward_backward = lambda data: seen.append(train_batch(data)) or seen[-1]
    engine.run(save_dir=str(tmp_path), max_epoch=3, progress=False)
    assert all(torch.isfinite(value) for value in seen[-1].values())
    assert {"edit": "loss/E_hard", "paste": "loss/E_paste"}[names[0]] in seen[-1]
    assert (tmp_path / "samples" / "epoch_003.png").exists() and (tmp_path / "diagnostics.csv").exists()


@pytest.mark.parametrize(
    "kind, options",
    [("edit", dict(choose="belt")), ("edit", dict(learn=False)), ("paste", dict(donors=2, neutral="own"))],
)
def test_a_resumed_run_is_the_same_bit_for_bit(datamanager, tmp_path, kind, options):
    def engine():
        return build_engine(datamanager, (kind,), scheme_options=options, warmup_epochs=1)

    whole, stopped, resumed = engine(), engine(), engine()
    settings = dict(max_epoch=4, progress=False, sample_every=0, diagnose_every=0, test_untrained=False)
    whole.run(save_dir=str(tmp_path / "whole"), **settings)
    train_batch, count = stopped.forward_backward, []

    def interrupted(data):
        if len(count) == 8:
            raise KeyboardInterrupt
        count.append(1)
        return train_batch(data)

    stopped.forward_backward = interrupted
    with pytest.raises(KeyboardInterrupt):
        stopped.run(save_dir=str(tmp_path / "part"), checkpoint_every=1, **settings)
    resumed.run(save_dir=str(tmp_path / "part"), resume=str(tmp_path / "part"), **settings)
    for one, two in ((whole.model, resumed.model), (whole.schemes[0], resumed.schemes[0])):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))


def test_the_choice_leaves_the_embedding_network_alone(datamanager):
    engine = build_engine(datamanager, ("edit",), scheme_options=dict(choose="embedding"))
    engine.embedding.train()
    seen, own = [], engine.schemes[0].generate

    def generate(batch):
        before = copy.deepcopy(engine.model.state_dict())
        fakes = own(batch)
        assert batch.embed is not None
        assert all(torch.equal(before[name], value) for name, value in engine.model.state_dict().items())
        seen.append(fakes)
        return fakes

    engine.schemes[0].generate = generate
    engine.forward_backward(next(iter(datamanager.train_loader)))
    assert seen


def test_embeddings_are_computed_only_where_they_are_looked_at(datamanager):
    for options, expected in ((dict(), False), (dict(choose="belt"), True), (dict(pixel_weight=0.1), True)):
        engine = build_engine(datamanager, ("edit",), scheme_options=options)
        seen, own = [], engine.schemes[0].generate

        def generate(batch, seen=seen, own=own):
            seen.append(batch.embeddings is not None)
            return own(batch)

        engine.schemes[0].generate = generate
        engine.forward_backward(next(iter(datamanager.train_loader)))
        assert seen == [expected]


def test_edits_of_a_batch_do_not_depend_on_its_embeddings_unless_chosen_by_them():
    first, second = make_batch(), make_batch()
    second = dataclasses.replace(second, embeddings=None, embed=None)
    one, two = (build().generate(batch)["hard"].images for batch in (first, second))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    "kind, options, message",
    [
        ("edit", dict(candidates=1), "candidates is 1, expected at least 2"),
        ("edit", dict(neutral="own"), "neutral is 'own'"),
        ("edit", dict(content="paste"), "content is 'paste'"),
        ("paste", dict(neutral="none", candidates=0), "candidates is 0"),
        ("paste", dict(number=(3, 1)), "number of regions"),
        ("paste", dict(radii=(0.0, 0.1)), "radii of regions"),
        ("paste", dict(choose="best"), "choose is 'best'"),
        ("paste", dict(donors=-1), "donors is -1"),
        ("edit", dict(lambda_rf=-1), "lambda_rf is -1"),
        ("edit", dict(beta1=3.0, beta2=2.0), "beta1"),
    ],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        build(kind, **options)


def test_photographs_without_views_or_attributes_will_do(datamanager, tmp_path):
    for kind in ("edit", "paste"):
        engine = build_engine(datamanager, (kind,), views={})
        results = engine.run(save_dir=str(tmp_path / kind), max_epoch=1, progress=False, test_untrained=False)
        assert results["datasets"]


def test_a_run_folder_gives_features_and_pictures(veri_root, tmp_path):
    folder = train_run(tmp_path, veri_root, "hard", ["ealn.hard.generator", "edit", "ealn.diagnose_every", 1])
    extractor = FeatureExtractor(str(folder))
    image = str(next((veri_root / "VeRi" / "image_test").iterdir()))
    assert torch.isfinite(extractor([image])).all()
    hard = ExhibitedRun(RunSubject(str(folder), "run")).generated["hard"]
    assert hard.images.shape == (len(hard.anchor), 3, 32, 32)
