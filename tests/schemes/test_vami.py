"""ealn_plugin/schemes/vami.py: every loss by hand, missing and unknown views, stages, a run that goes on."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from ealn_plugin.losses.parts import parts_loss
from ealn_plugin.models.multi_view import FeatureDiscriminator, RealMultiViewNetwork
from ealn_plugin.schemes import VAMIScheme
from ealn_plugin.schemes.vami import real_slots
from tests.helpers.scheme_batches import make_batch

VIEWS, PIDS = (0, 1, 2, 1, 0, -1), (0, 0, 0, 1, 1, 2)


def make(**options):
    torch.manual_seed(0)
    return VAMIScheme(RealMultiViewNetwork(), FeatureDiscriminator(5), **options)


def batch_of(views=VIEWS, grad=False):
    generator = torch.Generator().manual_seed(3)
    embeddings = functional.normalize(torch.randn(6, 512, generator=generator), dim=1)
    outputs = {
        "single": torch.randn(6, 256, generator=generator),
        "views": torch.randn(6, 3, generator=generator),
        "parts": torch.randn(6, 3, 3, generator=generator),
    }
    return dataclasses.replace(make_batch(views, PIDS, 8), embeddings=embeddings, outputs=outputs)


def contrastive(features, pids, margin):
    near, far = [], []
    for i in range(len(pids)):
        for j in range(len(pids)):
            if i != j:
                d = (features[i] - features[j]).pow(2).sum()
                (near if pids[i] == pids[j] else far).append(d if pids[i] == pids[j] else (margin - d).clamp(min=0))
    return sum(sum(values) / len(values) for values in (near, far) if values)


def minus_log_share(logits, label):
    return -logits.log_softmax(0)[label]


def expected_slots(single):
    """Vehicle 0 shows every view once, vehicle 1 rear and front; the view of vehicle 2 is unknown."""
    mean = (single[3] + single[4]) / 2
    return [single[[0, 1, 2]]] * 3 + [torch.stack([single[4], single[3], mean])] * 2


def test_real_features_come_from_images_of_the_vehicle():
    batch = batch_of()
    slots, valid = real_slots(batch.outputs["single"], batch)
    assert valid.tolist() == [True] * 5 + [False]
    for row, expected in enumerate(expected_slots(batch.outputs["single"])):
        torch.testing.assert_close(slots[row], expected)
    assert torch.isfinite(slots).all()


def test_an_image_is_its_own_slot_and_others_are_drawn():
    batch = dataclasses.replace(batch_of((0, 0, 1, 1, 0, 0)), pids=torch.zeros(6, dtype=torch.long))
    single, drawn = batch.outputs["single"], set()
    for _ in range(20):
        slots, _ = real_slots(single, batch)
        torch.testing.assert_close(slots[[0, 1, 4, 5], 0], single[[0, 1, 4, 5]])
        torch.testing.assert_close(slots[[2, 3], 1], single[[2, 3]])
        drawn |= {row for row in range(6) if torch.equal(slots[0, 1], single[row])}
    assert drawn == {2, 3}


def test_the_losses_equal_their_formulas():
    scheme, batch = make(lambda_adv=0.3, lambda_cls=0.7, lambda_rec=2.0, margin=1.1, lambda_ed=0.5), batch_of()
    real_network, judge = scheme.generators["real"], scheme.discriminators["features"]
    found = [
        functional.normalize(real_network(slots[None])[0], dim=0) for slots in expected_slots(batch.outputs["single"])
    ]
    inferred = batch.embeddings.clone().requires_grad_()
    g = d = e = 0
    for row, r in enumerate(found):
        score, vehicles = (part[0] for part in judge(r[None]))
        g = g + 0.7 * minus_log_share(vehicles, PIDS[row]) / 5
        d = d + (functional.softplus(-score[0]) + 0.7 * minus_log_share(vehicles, PIDS[row])) / 5
        score, vehicles = (part[0] for part in judge(inferred[row : row + 1]))
        d = d + (functional.softplus(score[0]) + 0.7 * minus_log_share(vehicles, PIDS[row])) / 5
        e = e + 2.0 * (inferred[row] - r.detach()).pow(2).sum() / 5
    for row in range(6):
        score, vehicles = (part[0] for part in judge(inferred[row : row + 1]))
        e = e + (0.3 * functional.softplus(-score[0]) + 0.7 * minus_log_share(vehicles, PIDS[row])) / 6
    g = g + contrastive(found, PIDS[:5], 1.1)
    first = contrastive(inferred, PIDS, 1.1) + parts_loss(batch.outputs["parts"][:5], torch.tensor(VIEWS[:5]))
    first = first + sum(minus_log_share(batch.outputs["views"][row], VIEWS[row]) for row in range(5)) / 5
    torch.testing.assert_close(scheme.generator_loss(batch, {}, None)[0], g)
    torch.testing.assert_close(scheme.discriminator_loss(batch, {})[0], d)
    loss, parts = scheme.embedding_loss(batch, inferred, {})
    torch.testing.assert_close(loss, 0.5 * (first + e))
    torch.testing.assert_close(
        *(torch.autograd.grad(v, inferred, retain_graph=True)[0] for v in (loss, 0.5 * (first + e)))
    )
    assert not any(value.requires_grad for value in parts.values())
    scheme.begin_epoch(-1, 10)  # the warm-up
    torch.testing.assert_close(scheme.embedding_loss(batch, inferred, {})[0], 0.5 * first)
    scheme.begin_epoch(0, 10)
    torch.testing.assert_close(scheme.embedding_loss(batch, inferred, {})[0], loss)


def test_each_phase_reaches_its_own_networks():
    scheme, batch = make(), batch_of()
    scheme.generator_loss(batch, scheme.generate(batch), None)[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.generators.parameters())
    scheme.zero_grad()
    scheme.discriminator_loss(batch, {})[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in scheme.discriminators.parameters())
    assert all(p.grad is None for p in scheme.generators.parameters())


@pytest.mark.parametrize("views", [(-1,) * 6, (0,) * 6, (2, -1, -1, -1, -1, 1)])
def test_batches_that_show_no_vehicle_twice(views):
    scheme, batch = make(), batch_of(views)
    for loss, _ in (
        scheme.generator_loss(batch, {}, None),
        scheme.discriminator_loss(batch, {}),
        scheme.embedding_loss(batch, batch.embeddings, {}),
    ):
        assert torch.isfinite(loss)
    assert scheme.discriminator_loss(batch, {})[0] == 0


def test_training_images_of_one_view_are_refused():
    make().check(torch.tensor([0, 2]), 32, 32)
    with pytest.raises(ValueError, match="of 3 images 2 are labelled front, 0 rear and 0 side"):
        make().check(torch.tensor([0, 0, -1]), 32, 32)


@pytest.mark.parametrize("option", ["lambda_adv", "lambda_cls", "lambda_rec", "margin"])
def test_options_out_of_range(option):
    with pytest.raises(ValueError, match=f"{option} is -1"):
        make(**{option: -1.0})
