"""ealn_plugin/export/quantization.py: a smaller file of the same network, and what it refuses."""

import pytest
import torch

from ealn_plugin.export import export_graph
from ealn_plugin.export.quantization import KEY, quantize
from ealn_plugin.models.small_resnet import SmallResNet
from tests.helpers.networks import graphs, make_run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with embedding.onnx of a small residual network."""
    folder = tmp_path_factory.mktemp("quantized")
    export_graph(graphs(make_run(names=(), backbone=SmallResNet(3)))["embedding"], str(folder), ["onnx"])
    return folder


def features(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def test_nearly_the_same_features_in_a_third_of_the_size(folder):
    torch.manual_seed(0)
    images = torch.randn(24, 3, 32, 32)
    source, target = folder / "embedding.onnx", folder / "small.onnx"
    quantize(str(source), str(target), images.split(8))
    expected, found = features(source, images), features(target, images)
    assert 0 < (expected - found).abs().max() and (expected * found).sum(1).min() > 0.97
    assert target.stat().st_size < source.stat().st_size / 3
    said = {item.key: item.value for item in onnx.load(target).metadata_props}
    assert said.pop(KEY) == "int8, static"
    assert said == {item.key: item.value for item in onnx.load(source).metadata_props}


def test_what_it_refuses(folder, exported_run):
    with pytest.raises(ValueError, match="takes images and views, expected images alone"):
        quantize(str(exported_run / "fused.onnx"), str(folder / "no.onnx"), [torch.zeros(1, 3, 32, 32)])
    for nothing in ([], [torch.zeros(0, 3, 32, 32)]):
        with pytest.raises(ValueError, match="no images to calibrate with"):
            quantize(str(folder / "embedding.onnx"), str(folder / "no.onnx"), nothing)
    assert not (folder / "no.onnx").exists()
