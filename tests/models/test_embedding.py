"""The embedding network, the contract with torchreid's backbones, and the two kinds of stillness."""

import pytest
import torch
from torch import nn

from ealn_plugin import toolkit
from ealn_plugin.models import (
    VGGM,
    EmbeddingNetwork,
    check_backbone,
    frozen,
    l2_normalize,
    probe_backbone,
    running_statistics,
    untouched_statistics,
)
from ealn_plugin.models.embedding import named_outputs


def as_torchreid(training, logits, features):
    return (logits, features) if training else features


class Backbone(nn.Module):
    """A tiny network with everything that a forward pass can disturb: statistics, dropout, flags."""

    def __init__(self, answer=as_torchreid):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(6, 4)
        self.answer = answer

    def forward(self, images):
        features = self.layers(images)
        return self.answer(self.training, self.head(features), features)


def torchreid_model(name, loss="triplet"):
    build = toolkit.torchreid.models.build_model
    return build(name, num_classes=5, loss=loss, pretrained=False, use_gpu=False)


def snapshot(module):
    return (
        {name: value.clone() for name, value in module.state_dict().items()},
        [layer.training for layer in module.modules()],
        torch.random.get_rng_state(),
    )


def assert_unchanged(module, before):
    state, training, random = before
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert [layer.training for layer in module.modules()] == training
    assert torch.equal(random, torch.random.get_rng_state())


def test_embeddings_have_length_one_in_both_modes():
    network, images = EmbeddingNetwork(Backbone()), torch.rand(4, 3, 8, 8)
    logits, embeddings = network.train()(images)
    assert logits.shape == (4, 4)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))
    embeddings = network.eval()(images)
    assert embeddings.shape == (4, 6)
    torch.testing.assert_close(embeddings, nn.functional.normalize(network.backbone(images)))


def test_normalization_is_stable_for_zero_vectors():
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1e-9, 0.0]], requires_grad=True)
    embeddings = l2_normalize(features)
    torch.testing.assert_close(embeddings[:2], torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    (gradient,) = torch.autograd.grad(embeddings.sum(), features)
    assert torch.isfinite(gradient).all() and gradient.abs().max() <= 1.0


def test_normalization_has_the_gradient_of_the_definition_in_double_precision():
    features = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(l2_normalize, features)
    assert l2_normalize(features.detach().half()).dtype == torch.float32


def test_check_backbone_accepts_single_branch_models_and_returns_their_dimension():
    assert check_backbone(torchreid_model("osnet_x0_25"), 64, 64) == 512
    assert check_backbone(VGGM(3, loss="triplet", input_size=64, width=1 / 32), 64, 64) == 32
    assert check_backbone(Backbone(), 8, 8) == 6


@pytest.mark.parametrize(
    "name, loss, size, sentence",
    [
        ("pcb_p4", "triplet", (128, 64), "PCB has several branches"),
        ("hacnn", "triplet", (160, 64), "HACNN has several branches"),
        ("resnet18", "softmax", (64, 64), "ResNet returns only logits in train mode; build it with loss='trip"),
        ("hacnn", "triplet", (64, 64), "HACNN in train mode cannot process two images of 64x64 pixels"),
    ],
)
def test_check_backbone_refuses_other_torchreid_models(name, loss, size, sentence):
    model = torchreid_model(name, loss)
    before = snapshot(model)
    with pytest.raises(ValueError, match=sentence):
        check_backbone(model, *size)
    assert_unchanged(model, before)


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (lambda training, y, f: f, "returns only logits"),
        (lambda training, y, f: (y, f), "several branches"),
        (lambda training, y, f: [y, f, f] if training else f, "several branches"),
        (lambda training, y, f: (y, f) if training else y, r"features \(2, 4\) in eval mode"),
        (lambda training, y, f: (y, f[:, :, None]) if training else f, r"\(2, 6, 1\)"),
        (lambda training, y, f: (y[0], f) if training else f, r"logits \(4,\)"),
        (lambda training, y, f: None, "several branches"),
        (lambda training, y, f: (y, f, {"maps": f[0]}) if training else f, r"returns 'maps', \(6,\), in train mode"),
        (lambda training, y, f: (y, f, {"maps": [f]}) if training else f, "returns 'maps', list, in train mode"),
        (lambda training, y, f: (y, f, {"logits": y}) if training else f, "names other than 'logits'"),
    ],
)
def test_check_backbone_refuses_wrong_outputs(answer, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_backbone(Backbone(answer), 8, 8)


def with_maps(training, logits, features):
    return (logits, features, {"maps": features[:, :, None].bfloat16()}) if training else features


def test_further_outputs_come_with_the_embeddings():
    network, images = EmbeddingNetwork(Backbone(with_maps)), torch.rand(2, 3, 8, 8)
    assert probe_backbone(network.backbone, 8, 8) == (4, 6, ("maps",))
    logits, embeddings, named = network.train()(images)
    assert named["maps"].shape == (2, 6, 1) and named["maps"].dtype == torch.float32
    found = named_outputs((logits, embeddings, named))
    assert set(found) == {"logits", "maps"} and found["logits"] is logits
    assert set(named_outputs(EmbeddingNetwork(Backbone()).train()(images))) == {"logits"}
    assert network.eval()(images).shape == (2, 6)


def test_check_backbone_leaves_no_trace():
    model = Backbone()
    model.layers[1].eval()
    before = snapshot(model)
    check_backbone(model, 8, 8)
    assert_unchanged(model, before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert model.layers[1].track_running_stats


def test_check_backbone_names_the_reason_of_a_failing_forward():
    with pytest.raises(ValueError, match=r"Backbone in train mode cannot process two images of 2x2 .*\(Run"):
        check_backbone(Backbone(), 2, 2)


def test_untouched_statistics_normalize_as_ever_and_keep_the_buffers():
    model, images = Backbone().train(), torch.rand(4, 3, 8, 8)
    model.layers[2].p = 0.0
    before = snapshot(model)
    with untouched_statistics(model):
        inside = model(images)[1]
    assert_unchanged(model, before)
    assert torch.equal(inside, model(images)[1])
    assert model.layers[1].num_batches_tracked == 1


def test_untouched_statistics_leave_eval_mode_to_the_running_ones():
    model, images = Backbone().eval(), torch.rand(4, 3, 8, 8)
    model.layers[1].running_mean.fill_(0.3)
    expected = model(images)
    with untouched_statistics(model):
        assert torch.equal(model(images), expected)


def test_untouched_statistics_restore_after_an_exception_and_keep_untracked_layers_so():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(KeyError), untouched_statistics(model):
        with untouched_statistics(model):
            assert not model[0].track_running_stats
        assert not model[0].track_running_stats
        raise KeyError("anything")
    assert model[0].track_running_stats and not model[1].track_running_stats


def test_running_statistics_serve_single_images_and_come_back():
    model, images = Backbone().train(), torch.rand(1, 3, 3, 3)
    with pytest.raises(ValueError):
        model(images)
    before = snapshot(model)
    with pytest.raises(KeyError), running_statistics(model):
        with frozen(model.layers[2], evaluate=True):
            logits, features = model(images)
        assert logits.requires_grad and torch.isfinite(features).all()
        raise KeyError("anything")
    assert_unchanged(model, before)


def test_frozen_restores_each_flag_of_its_own():
    first, second = Backbone().train(), Backbone().train()
    first.head.bias.requires_grad_(False)
    first.layers[1].eval()
    flags = [p.requires_grad for p in first.parameters()]
    with pytest.raises(KeyError), frozen(first, second, first, evaluate=True):
        assert not any(p.requires_grad for model in (first, second) for p in model.parameters())
        assert not any(layer.training for model in (first, second) for layer in model.modules())
        raise KeyError("anything")
    assert [p.requires_grad for p in first.parameters()] == flags
    assert all(p.requires_grad for p in second.parameters())
    assert first.training and not first.layers[1].training and first.layers[2].training


def test_frozen_keeps_the_mode_unless_told_and_lets_gradients_through():
    model, images = Backbone().train(), torch.rand(4, 3, 8, 8, requires_grad=True)
    with frozen(model):
        assert model.training
        model(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.parameters())


def test_a_phase_with_frozen_networks_changes_no_buffer():
    network, images = EmbeddingNetwork(torchreid_model("osnet_x0_25")), torch.rand(2, 3, 32, 32)
    before = snapshot(network)
    with frozen(network, evaluate=True):
        assert torch.is_tensor(network(images))
    assert_unchanged(network, before)
