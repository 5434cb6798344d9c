"""ealn_plugin/export/metadata.py: by the metadata alone an image can be prepared as the engine's test phase does it."""

import json

import numpy as np
import torch
from PIL import Image

from ealn_plugin.export.metadata import metadata_of
from tests.helpers.networks import graphs, make_run


def test_preprocessing_by_the_metadata_is_the_test_transform():
    run = make_run(size=(32, 48))
    found = metadata_of(run)("embedding", 8)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8))
    size = int(found["image_width"]), int(found["image_height"])
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float64) / 255
    pixels = (pixels - json.loads(found["mean"])) / json.loads(found["std"])
    torch.testing.assert_close(
        torch.from_numpy(pixels.transpose(2, 0, 1)).float(), run.transform(image), rtol=0, atol=1e-6
    )
    assert found["input_images"] == "float32 [batch, 3, 32, 48], normalized pixels"


def test_views_and_weights(tiny_run):
    fused, embedding = graphs(tiny_run)["fused"].metadata, graphs(tiny_run)["embedding"].metadata
    assert fused["input_views"].endswith("0 front, 1 rear, 2 side, -1 unknown") and fused["feature_dim"] == "16"
    assert "input_views" not in embedding and embedding["weights_sha256"] != fused["weights_sha256"]
    assert all(isinstance(value, str) for value in fused.values())
