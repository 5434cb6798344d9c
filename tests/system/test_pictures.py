"""ealn_plugin/system/pictures.py: one picture, one reading, as a file, as a PIL image and as an array."""

import numpy as np
import pytest
from PIL import Image

from ealn_plugin import toolkit
from ealn_plugin.inference import image_inputs
from ealn_plugin.system import pictures

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (24, 40, 3)).astype(np.uint8)
GREY = np.arange(24 * 40, dtype=np.uint32).reshape(24, 40) % 256
OPAQUE = RNG.integers(0, 256, (24, 40)).astype(np.uint8)


def grey(kind, scale=1.0):
    return Image.fromarray((GREY * scale).astype(kind))


def with_alpha(mode):
    image = Image.fromarray(COLOURS).convert(mode.removesuffix("A").replace("P", "RGB"))
    if mode == "PA":
        return image.convert("P").convert("PA")
    image = image.convert(mode)
    image.putalpha(Image.fromarray(OPAQUE))
    return image


def transparent_palette():
    image = Image.fromarray(COLOURS).quantize(32)
    image.info["transparency"] = 3
    return image


GREY_AGAIN = np.repeat(GREY.astype(np.uint8)[..., None], 3, axis=2)
# name: (image, format that can hold it, pixels expected or None for Pillow's own conversion)
KINDS = {
    "RGB": (Image.fromarray(COLOURS), "PNG", COLOURS),
    "L": (grey(np.uint8), "PNG", GREY_AGAIN),
    "1": (Image.fromarray(GREY > 100), "PNG", None),
    "1 as TIFF": (Image.fromarray(GREY > 100), "TIFF", None),
    "P": (Image.fromarray(COLOURS).convert("P"), "PNG", None),
    "P with a transparent colour": (transparent_palette(), "PNG", None),
    "P as GIF": (Image.fromarray(COLOURS).convert("P"), "GIF", None),
    "RGBA": (with_alpha("RGBA"), "PNG", COLOURS),
    "RGBA as WebP": (with_alpha("RGBA"), "WEBP", None),
    "LA": (with_alpha("LA"), "PNG", None),
    "CMYK as JPEG": (Image.fromarray(COLOURS).convert("CMYK"), "JPEG", None),
    "CMYK as TIFF": (Image.fromarray(COLOURS).convert("CMYK"), "TIFF", None),
    "YCbCr as JPEG": (Image.fromarray(COLOURS).convert("YCbCr"), "JPEG", None),
    "YCbCr as TIFF": (Image.fromarray(COLOURS).convert("YCbCr"), "TIFF", None),
    "16 bits": (grey(np.uint16, 257), "PNG", GREY_AGAIN),
    "16 bits as TIFF": (grey(np.uint16, 257), "TIFF", GREY_AGAIN),
    "16 bits, big-endian": (grey(">u2", 257), "TIFF", GREY_AGAIN),
    "16 bits as PGM": (grey(np.int32, 257), "PPM", GREY_AGAIN),
    "32-bit integers of 8 bits": (grey(np.int32), "TIFF", GREY_AGAIN),
    "32-bit integers of 16 bits": (grey(np.int32, 257), "TIFF", GREY_AGAIN),
    "floats in [0, 1]": (grey(np.float32, 1 / 255), "TIFF", GREY_AGAIN),
    "floats that are whole numbers": (grey(np.float32), "TIFF", GREY_AGAIN),
}


def as_given(path):
    """A file as PIL images in every state in which a program may hand it over."""
    with open(path, "rb") as file:  # by its name Pillow scrambles some TIFFs, see ``pictures._load``
        loaded = Image.open(file)
        loaded.load()
    return {"not loaded": Image.open(path), "loaded": loaded, "a copy": loaded.copy()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_and_a_pil_image_are_the_same_picture(tmp_path, kind):
    image, file_format, expected = KINDS[kind]
    path = str(tmp_path / "image")
    image.save(path, format=file_format)
    read = np.asarray(toolkit.read_image(path))
    for state, given in as_given(path).items():
        assert np.array_equal(np.asarray(image_inputs.read(given)), read), state
    expected = np.asarray(Image.open(path).convert("RGB")) if expected is None else expected
    assert np.array_equal(read, expected) and len(np.unique(read)) > 1


@pytest.mark.parametrize("mode", ["La", "RGBa", "RGBX", "PA", "LAB", "HSV", "I;16L", "I;16B", "I;16N"])
def test_modes_that_no_file_has(mode):
    image = Image.new(mode, (5, 4))
    assert np.asarray(image_inputs.read(image)).shape == (4, 5, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_orientations(tmp_path, orientation, file_format, mode):
    """Stored as the note says, so that reading gives the upright picture."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    upright = {"RGB": Image.fromarray(COLOURS), "L": grey(np.uint8), "I;16": grey(np.uint16, 257)}[mode]
    if mode == "I;16" and file_format in ("JPEG", "WEBP"):
        return  # no such files
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "image")
    options = {"JPEG": dict(quality=100, subsampling=0), "WEBP": dict(lossless=True)}.get(file_format, {})
    stored.save(path, format=file_format, exif=exif, **options)
    read = np.asarray(toolkit.read_image(path)).astype(int)
    expected = COLOURS if mode == "RGB" else GREY_AGAIN
    assert read.shape == expected.shape
    assert np.abs(read - expected).mean() < (3 if file_format == "JPEG" else 1e-9)
    for state, given in as_given(path).items():
        assert np.array_equal(np.asarray(image_inputs.read(given)), read), state
    if file_format != "TIFF" and mode == "RGB":  # of a TIFF the conversion has turned it already
        assert np.array_equal(np.asarray(image_inputs.read(Image.open(path).convert("RGB"))), read)


def test_notes_that_are_no_exif_are_no_fault_of_the_picture(tmp_path):
    path = str(tmp_path / "image.jpg")
    Image.fromarray(COLOURS).save(path, exif=b"Exif\0\0nothing of the kind")
    assert toolkit.read_image(path).size == (40, 24)
    assert image_inputs.read(Image.open(path)).size == (40, 24)


@pytest.mark.parametrize(
    "array",
    [
        COLOURS.astype(np.uint16) * 257,
        COLOURS.astype(">u2") * 257,
        COLOURS / np.float32(255),
        COLOURS / 255,
        COLOURS.astype(np.float32),
        COLOURS.astype(np.int64),
        COLOURS[:, ::-1][:, ::-1],
    ],
)
def test_arrays_are_read_by_the_same_rule(array):
    assert np.array_equal(np.asarray(image_inputs.read(array)), COLOURS)


UNKNOWN = {
    "32 bits": GREY.astype(np.int32) * 2**20,
    "negative integers": GREY.astype(np.int32) - 5,
    "negative floats": GREY.astype(np.float32) / 128 - 1,
    "fractions beyond 1": GREY.astype(np.float32) / 100,
    "not a number": np.where(GREY == 7, np.nan, 0.5).astype(np.float32),
    "infinite": np.where(GREY == 7, np.inf, 0.5).astype(np.float32),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_picture_of_unknown_range_is_refused(tmp_path, kind):
    path = str(tmp_path / "image.tif")
    Image.fromarray(UNKNOWN[kind]).save(path)
    sentence = "of which nobody can tell what black and white are; save it with 8 or 16 bits"
    with pytest.raises(toolkit.UnreadableImageError, match=f"image '.*image.tif' holds .* from .* to .*, {sentence}"):
        toolkit.read_image(path)
    with pytest.raises(toolkit.UnreadableImageError, match=f"image 3 of the list holds .*, {sentence}"):
        image_inputs.read(Image.open(path), 3)
    with pytest.raises(ValueError, match=f"image 3 of the list holds .*, {sentence}"):
        image_inputs.read(np.repeat(UNKNOWN[kind][..., None], 3, 2), 3)


def test_too_many_pixels_and_none(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    for size in ((11, 10), (0, 5)):
        with pytest.raises(toolkit.UnreadableImageError, match="pixels, expected at least one and at most 100"):
            image_inputs.read(Image.new("RGB", size))


def test_what_is_missing_or_no_image_is_said_without_blaming_a_dataset(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match="image '.*nope.jpg' does not exist; check the path$"):
        image_inputs.read(str(tmp_path / "nope.jpg"))
    with pytest.raises(toolkit.UnreadableImageError, match="notes.txt' cannot be decoded .*; give an image file$"):
        image_inputs.read(str(tmp_path / "notes.txt"))
    with pytest.raises(FileNotFoundError, match="check data.root and the dataset's lists"):
        toolkit.read_image(str(tmp_path / "nope.jpg"))
