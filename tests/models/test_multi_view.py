"""ealn_plugin/models/multi_view.py: the attention by hand, the slots, what reaches the inferred feature."""

import torch

from ealn_plugin.models import EmbeddingNetwork, NeckedBackbone, SmallResNet
from ealn_plugin.models.embedding import named_when_frozen, probe_backbone
from ealn_plugin.models.multi_view import (
    FeatureDiscriminator,
    MultiViewNetwork,
    RealMultiViewNetwork,
    ViewAttention,
    slots_of,
)


def small(classes=5):
    torch.manual_seed(0)
    return MultiViewNetwork(SmallResNet(classes, width=4), classes)


def test_the_attention_equals_its_formula():
    torch.manual_seed(0)
    attention = ViewAttention(steps=2, hidden=7)
    regions, centres = torch.randn(2, 5, 256), torch.randn(3, 128)
    found, parts = attention(regions, centres)
    assert found.shape == (2, 3, 5)
    for image in range(2):
        for view in range(3):
            context = regions[image].mean(0)
            for _ in range(2):
                scores = torch.stack(
                    [
                        attention.score.weight[0]
                        @ torch.tanh(
                            attention.context.weight @ context
                            + attention.region.weight @ region
                            + attention.region.bias
                            + attention.view.weight @ centres[view]
                        )
                        for region in regions[image]
                    ]
                )
                shares = scores.exp() / scores.exp().sum()
                context = sum(share * region for share, region in zip(shares, regions[image]))
            torch.testing.assert_close(found[image, view], shares)
            torch.testing.assert_close(parts[image, view], attention.parts(context))


def test_the_own_slot_holds_the_mean_and_the_others_what_is_attended():
    single, attended = torch.randn(2, 4), torch.randn(2, 3, 4)
    sure = torch.tensor([[50.0, 0, 0], [0, 0, 50.0]])
    slots = slots_of(single, attended, sure)
    for image, own in ((0, 0), (1, 2)):
        for view in range(3):
            torch.testing.assert_close(slots[image, view], single[image] if view == own else attended[image, view])
    doubtful = slots_of(single, attended, torch.zeros(2, 3, requires_grad=True))
    torch.testing.assert_close(doubtful, single[:, None] / 3 + attended * 2 / 3)
    assert not doubtful.requires_grad


def test_what_the_network_returns():
    network = small()
    assert probe_backbone(network, 32, 32) == (5, 512, ("single", "views", "parts"))
    images = torch.rand(4, 3, 32, 32)
    logits, features, named = network.train()(images)
    assert logits.shape == (4, 5) and features.shape == (4, 512)
    assert {name: tuple(value.shape) for name, value in named.items()} == {
        "single": (4, 256),
        "views": (4, 3),
        "parts": (4, 3, 3),
    }
    (logits.sum() + features.pow(2).sum() + sum(value.sum() for value in named.values())).backward()
    assert all(p.grad is not None for name, p in network.named_parameters())
    embedding = EmbeddingNetwork(network).eval()
    plain = embedding(images)
    with named_when_frozen(embedding):
        again, named = embedding(images)
    assert torch.equal(plain, again) and set(named) == {"single", "views", "parts"}
    assert torch.equal(embedding(images), plain)


def test_behind_a_neck_the_named_outputs_stay():
    necked, images = NeckedBackbone(small(), 512, 5, "after").eval(), torch.rand(2, 3, 32, 32)
    with named_when_frozen(necked):
        features, named = necked(images)
    assert torch.equal(features, necked(images)) and set(named) == {"single", "views", "parts"}


def test_the_networks_of_features():
    singles = torch.randn(4, 3, 256)
    made = RealMultiViewNetwork()(singles)
    scores, vehicles = FeatureDiscriminator(7)(made)
    assert made.shape == (4, 512) and scores.shape == (4, 1) and vehicles.shape == (4, 7)
    assert (RealMultiViewNetwork()(singles[:0])).shape == (0, 512)
