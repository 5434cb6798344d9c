"""ealn_plugin/schemes/cross_view.py: every loss of the scheme against Eq. 9 to 14, by hand."""

import pytest
import torch

from ealn_plugin import View
from ealn_plugin.schemes import cross_view
from tests.helpers.scheme_batches import FixedPairs, d, embed, log_loss, make_batch
from tests.helpers.standins import small_schemes


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


@pytest.mark.parametrize("views", [[0, 0, 0], [1, 1], [-1, 2]])
def test_training_images_without_both_views_are_refused(views):
    with pytest.raises(ValueError, match="labelled front and rear.*viewpoints.csv.*ealn.scheme hard"):
        small_schemes(["view"])[0].check(torch.tensor(views), 32, 32)


def test_default_networks_are_the_papers():
    with torch.device("meta"):
        view = cross_view.CrossViewScheme()
    assert sum(p.numel() for p in view.parameters()) == 2 * (11_378_179 + 2_764_737)
