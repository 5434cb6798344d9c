"""ealn_plugin/export/weights_file.py: the weights come back as the network, from a file half as large if asked."""

import dataclasses
import os

import pytest
import torch

from ealn_plugin import config as configuration
from ealn_plugin.export import ExportMismatchError, export_weights, weights_file
from ealn_plugin.reports.subjects import ModelSubject
from ealn_plugin.runs import build
from ealn_plugin.runs.described_file import read_metadata, read_options, read_tensors
from ealn_plugin.runs.loading import load_model, load_run
from ealn_plugin.runs.weight_space import round_to_half
from tests.helpers.networks import graphs, make_run
from tests.helpers.standins import TinyBackbone, use_tiny_backbone


@pytest.fixture
def run(monkeypatch):
    use_tiny_backbone(monkeypatch, "resnet50")
    return make_run((), TinyBackbone(3), size=(32, 48))


def test_a_file_is_the_network(run, tmp_path):
    images = torch.rand(3, 3, 32, 48)
    sizes = []
    for half in (False, True):
        if half:
            round_to_half(run.embedding)
        written = export_weights(run, graphs(run)["embedding"], str(tmp_path), half, {"trained": "on nothing"})
        assert written.path == str(tmp_path / "model.safetensors") and written.difference <= 1e-6
        assert not any(name.startswith("classifier") for name in read_tensors(written.path))
        assert read_metadata(written.path)["trained"] == "on nothing"
        loaded = load_run(written.path)
        assert loaded.size == (32, 48) and loaded.config.model.name == "resnet50" and loaded.schemes == []
        torch.testing.assert_close(loaded.embedding(images), run.embedding(images), rtol=0, atol=1e-6)
        sizes.append(sum(value.numel() * value.element_size() for value in read_tensors(written.path).values()))
    kernels = sum(value.numel() for value in run.embedding.backbone.state_dict().values() if value.dim() > 1)
    assert sizes[0] - sizes[1] == 2 * (kernels - run.embedding.backbone.classifier.weight.numel())


def test_neck_and_strides_are_a_part_of_what_the_file_says(tmp_path):
    """Of a run with ealn.neck and ealn.last_stride, and as load_run, load_model and evaluate read it."""
    options = ["model.name", "resnet18", "model.pretrained", False, "data.height", 32, "data.width", 32]
    tricks = ["ealn.neck", "after", "ealn.last_stride", 1]
    config = configuration.load_config("", [*options, "ealn.scheme", "en", *tricks])
    torch.manual_seed(0)
    backbone = build.build_embedding_backbone(config, 5)
    torch.nn.init.uniform_(backbone.neck.weight)
    run = dataclasses.replace(make_run((), backbone), config=config)
    path = export_weights(run, graphs(run)["embedding"], str(tmp_path)).path
    images = torch.rand(2, 3, 32, 32)
    for loaded in (load_run(path), load_model("resnet18", path, 32, 32)):
        assert loaded.config.ealn.neck == "after" and loaded.config.ealn.last_stride == 1
        torch.testing.assert_close(loaded.embedding(images), run.embedding(images), rtol=0, atol=1e-6)
    subject = ModelSubject("net", path, ["model.name", "resnet18", "data.targets", ["veri776"]])
    assert subject.config.ealn.neck == "after" and subject.config.ealn.last_stride == 1
    assert read_options(path, "resnet50") == {}


def test_a_network_that_a_name_does_not_give_is_refused(tmp_path, monkeypatch):
    """As those rebuilt from another toolkit's checkpoint."""
    use_tiny_backbone(monkeypatch, "resnet50")
    run = make_run((), TinyBackbone(3, dim=5), size=(32, 48))
    with pytest.raises(ExportMismatchError, match="cannot name this network.*does not fit TinyBackbone.*as onnx"):
        export_weights(run, graphs(run)["embedding"], str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_not_the_network_is_not_left(run, tmp_path, monkeypatch):
    original = weights_file.write_tensors
    monkeypatch.setattr(
        weights_file,
        "write_tensors",
        lambda path, tensors, texts: original(path, {**tensors, "fc.bias": tensors["fc.bias"] + 1}, texts),
    )
    with pytest.raises(ExportMismatchError, match="model.safetensors differs from PyTorch"):
        export_weights(run, graphs(run)["embedding"], str(tmp_path))
    assert os.listdir(tmp_path) == []
