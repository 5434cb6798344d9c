"""ealn_plugin/reports/html/blocks.py: what is embedded is the picture, at a size that a page can carry."""

import base64
import io

import numpy as np
from PIL import Image

from ealn_plugin.reports.html.blocks import embed_picture


def pixels_of(picture):
    head, _, data = picture.uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_plots_keep_every_pixel_and_photographs_are_small(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    plot, photo = (embed_picture(tmp_path / "a.png", "what it shows", photographs) for photographs in (False, True))
    np.testing.assert_array_equal(pixels_of(plot), image)
    assert (plot.width, plot.height, plot.alt) == (160, 120, "what it shows")
    assert len(photo.uri) < 0.5 * len(plot.uri) and pixels_of(photo).shape == image.shape


def test_a_very_wide_or_high_sheet_is_scaled_down(tmp_path):
    Image.new("RGB", (2800, 10), (200, 0, 0)).save(tmp_path / "wide.png")
    picture = embed_picture(tmp_path / "wide.png", "", photographs=False)
    assert (picture.width, picture.height) == (1400, 5)
    Image.new("RGB", (30, 32000)).save(tmp_path / "high.png")
    high = embed_picture(tmp_path / "high.png", "", photographs=True)
    assert (high.width, high.height) == (15, 16000)
    assert pixels_of(picture).shape == (5, 1400, 3) and (pixels_of(picture) == (200, 0, 0)).all()
