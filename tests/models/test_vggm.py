"""VGG_CNN_M_1024: layer list, counts, torchreid's calling convention, and foreign weights."""

import logging

import pytest
import torch
from torch import nn

from ealn_plugin.models import VGGM, load_vggm_weights, vgg_cnn_m_1024
from ealn_plugin.models.vggm import IMAGENET_MEAN, IMAGENET_STD, CrossChannelNorm

SMALL = dict(input_size=64, width=1 / 16)


def small(num_classes=5, **options):
    torch.manual_seed(0)
    return VGGM(num_classes, **{**SMALL, **options})


def parameters_without_classifier(model):
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("classifier"))


def test_the_published_network_has_86225536_parameters():
    with torch.device("meta"):
        model = vgg_cnn_m_1024(num_classes=576, loss="triplet")
    assert parameters_without_classifier(model) == 86_225_536
    assert model.fc6.in_features == 512 * 6 * 6
    assert model.feature_dim == 1024 and model.classifier.weight.shape == (576, 1024)


def test_the_published_layer_list():
    with torch.device("meta"):
        features = VGGM(10).features
        sizes, x = [], torch.zeros(1, 3, 224, 224)
        for name, layer in features.named_children():
            x = layer(x)
            if name.startswith(("conv", "pool")):
                sizes.append((name, *x.shape[1:3]))
    assert sizes == [
        ("conv1", 96, 109),
        ("pool1", 96, 54),
        ("conv2", 256, 26),
        ("pool2", 256, 13),
        ("conv3", 512, 13),
        ("conv4", 512, 13),
        ("conv5", 512, 13),
        ("pool5", 512, 6),
    ]
    norms = [layer for layer in features if isinstance(layer, CrossChannelNorm)]
    assert [(n.size, n.alpha, n.beta, n.k) for n in norms] == [(5, 5e-4, 0.75, 2.0)] * 2


def test_cross_channel_norm_is_torchs_local_response_norm():
    x = torch.randn(2, 7, 4, 3, dtype=torch.float64, requires_grad=True)
    ours, theirs = CrossChannelNorm()(x), nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(x)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad((value**3).sum(), x)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_eval_mode_returns_features_and_train_mode_what_the_loss_needs():
    images = torch.rand(2, 3, 64, 64)
    assert small().eval()(images).shape == (2, 64)
    assert small(loss="softmax").train()(images).shape == (2, 5)
    logits, features = small(loss="triplet").train()(images)
    assert logits.shape == (2, 5) and features.shape == (2, 64)


def test_the_feature_is_fc7_after_relu_and_before_dropout():
    images = torch.rand(2, 3, 64, 64)
    after, before = small().eval(), small(feature_activation="before_relu").eval()
    before.load_state_dict(after.state_dict())
    raw = before(images)
    assert (raw < 0).any()
    assert torch.equal(after(images), raw.clamp(min=0))
    model = small(loss="triplet", dropout=0.0)
    logits, features = model.train()(images)
    assert torch.equal(features, model.eval()(images))
    torch.testing.assert_close(logits, model.classifier(features))


@pytest.mark.parametrize("size", [41, (64, 128), (97, 70)])
def test_any_size_that_the_poolings_leave_something_of(size):
    height, width = (size, size) if isinstance(size, int) else size
    model = small(input_size=size).eval()
    assert model(torch.rand(1, 3, height, width)).shape == (1, 64)


def test_wrong_sizes_get_a_sentence():
    with pytest.raises(ValueError, match="input size 40x64 is too small .* at least 41x41"):
        small(input_size=(40, 64))
    with pytest.raises(ValueError, match="images of 48x48 pixels reached a VGGM built for 64x64"):
        small()(torch.rand(1, 3, 48, 48))


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(loss="center"), "loss 'center' is unknown"),
        (dict(feature_activation="none"), "feature_activation 'none' is unknown"),
        (dict(num_classes=0), "num_classes is 0"),
        (dict(width=0), "width 0 must be"),
    ],
)
def test_unknown_options_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**options)


def test_the_factory_downloads_nothing_and_says_so(caplog):
    with torch.device("meta"), caplog.at_level(logging.WARNING):
        model = vgg_cnn_m_1024(num_classes=7, loss="triplet", pretrained=True, use_gpu=False)
    assert isinstance(model, VGGM) and model.loss == "triplet"
    assert "no weights can be downloaded" in caplog.text and "model.load_weights FILE" in caplog.text


class CollectionVGGM(nn.Module):
    """The small network under the key names of the pretrained-models collection, fc7 as wide as fc6."""

    def __init__(self, head="classif"):
        super().__init__()
        norm = (5, 5e-4, 0.75, 2.0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 7, 2),
            nn.ReLU(),
            nn.LocalResponseNorm(*norm),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(6, 16, 5, 2, 1),
            nn.ReLU(),
            nn.LocalResponseNorm(*norm),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(16, 32, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        layers = nn.Sequential(
            nn.Linear(32, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 9)
        )
        self.add_module(head, layers)

    def fc6_of(self, images, head="classif"):
        """fc6 for images in [0, 1], prepared the way that collection does."""
        pixels = 255 * images.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        return getattr(self, head)[:2](self.features(pixels).flatten(1))


@pytest.mark.parametrize("head", ["classif", "classifier"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_the_collection_fill_conv1_to_fc6(head, prefix, caplog):
    torch.manual_seed(1)
    source, model = CollectionVGGM(head), small()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    state = {prefix + name: value for name, value in source.state_dict().items()}
    with caplog.at_level(logging.INFO):
        filled, left = load_vggm_weights(model, state)
    assert filled == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"] and left == ["fc7", "classifier"]
    assert "conv5, fc6" in caplog.text and "fc7, classifier left" in caplog.text
    assert torch.equal(model.fc7.weight, fresh["fc7.weight"])
    assert torch.equal(model.features.conv4.weight, source.features[10].weight)


@pytest.mark.parametrize("mean, std", [(IMAGENET_MEAN, IMAGENET_STD), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
def test_filled_layers_answer_as_in_the_collection(mean, std):
    torch.manual_seed(1)
    source, model, images = CollectionVGGM(), small().eval(), torch.rand(2, 3, 64, 64)
    load_vggm_weights(model, source.state_dict(), mean, std)
    normalized = (images - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    ours = model.fc6(model.features(normalized).flatten(1)).relu()
    torch.testing.assert_close(ours, source.fc6_of(images), rtol=1e-3, atol=1e-3)


def test_weights_of_our_own_network_fill_everything_that_fits():
    source, model = small(num_classes=9), small(num_classes=5)
    source.features.conv1.weight.data.fill_(0.25)
    state = {f"module.backbone.{name}": value for name, value in source.state_dict().items()}
    filled, left = load_vggm_weights(model, {"state_dict": state})
    assert left == ["classifier"] and "fc7" in filled
    assert torch.equal(model.features.conv1.weight, source.features.conv1.weight)
    assert load_vggm_weights(small(), small().state_dict())[1] == []


def test_weights_of_another_network_are_refused_and_change_nothing():
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="none of the 1 tensors fits .* 'conv1.weight'.*`vggm` file"):
        load_vggm_weights(model, {"conv1.weight": torch.zeros(64, 3, 7, 7), "epoch": 3})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
