"""ealn_plugin/inference/networks.py: an exported file gives the features of the run that it was made of."""

import pathlib

import numpy as np
import pytest
import torch

from ealn_plugin import FeatureExtractor
from ealn_plugin.inference.networks import OnnxNetwork
from ealn_plugin.runs import loading

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def run(run_folder):
    return loading.load_run(run_folder)


@pytest.fixture(scope="module")
def paths(veri_root):
    return sorted(map(str, pathlib.Path(veri_root).rglob("image_test/*.jpg")))[:11]


@pytest.mark.parametrize("name, fusion", [("embedding", False), ("fused", True)])
def test_features_and_identity_are_the_runs(run, exported_run, paths, name, fusion):
    ours = FeatureExtractor(run, fusion=fusion)
    files = FeatureExtractor(exported_run / f"{name}.onnx", batch_size=4)
    assert files.run is None and files.dim == ours.dim and files.identity == ours.identity
    views = np.arange(len(paths)) % 3 - 1
    expected, found = ours(paths, views), files(paths, views)
    assert found.dtype == torch.float32 and (expected - found).abs().max() < 1e-5
    assert expected.std(0).max() > 1e-3  # the images differ


def test_threads_that_read_ahead_keep_the_order_and_what_is_unreadable(exported_run, paths, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    given = [*paths[:5], str(broken), *paths[5:]]
    extractor = FeatureExtractor(exported_run / "embedding.onnx", batch_size=3)
    found = extractor.extract(given, skip_unreadable=True)
    assert found.rows == [row for row in range(len(given)) if row != 5] and list(found.unreadable) == [5]
    alone = torch.cat([extractor(path) for path in paths])
    assert torch.allclose(found.features, alone, atol=1e-6)


def test_a_file_of_integers_is_another_network(exported_run, tmp_path):
    model = onnx.load(exported_run / "embedding.onnx")
    said = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {**said, "quantization": "int8, static"})
    onnx.save_model(model, tmp_path / "integers.onnx")
    identity = OnnxNetwork(tmp_path / "integers.onnx").identity
    assert identity.pop("quantization") == "int8, static"
    assert identity == OnnxNetwork(exported_run / "embedding.onnx").identity


def test_what_it_refuses(exported_run, tmp_path):
    with pytest.raises(FileNotFoundError):
        FeatureExtractor(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x99no model")
    with pytest.raises(ValueError, match="no ONNX file that onnxruntime can run"):
        FeatureExtractor(tmp_path / "broken.onnx")
    model = onnx.load(exported_run / "embedding.onnx")
    del model.metadata_props[:]
    onnx.save_model(model, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="does not say its image_height"):
        FeatureExtractor(tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="an ONNX file has its own"):
        FeatureExtractor(exported_run / "embedding.onnx", precision="bf16")
    with pytest.raises(ValueError, match="take embedding.onnx beside it"):
        FeatureExtractor(exported_run / "fused.onnx", fusion=False)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="has no GPU"):
            FeatureExtractor(exported_run / "embedding.onnx", device="cuda")
