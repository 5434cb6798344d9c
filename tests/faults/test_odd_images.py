"""Images as they come: damaged, tiny, huge, of every mode. They are read, or named in one sentence."""

import io
import os
import pathlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ealn_plugin import toolkit
from ealn_plugin.system import cli
from tests.helpers.command_lines import SMALL
from tests.helpers.fault_injection import forked, generator, inject
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 40, 3)).astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def colour():
    return Image.fromarray(PIXELS)


def rotated():
    """Stored lying on its side, with the note that it has to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(colour().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif.tobytes())


def claiming(width, height):
    """A PNG of a few bytes whose header claims any size."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animation():
    frames = [Image.new("RGB", (40, 24), (value, 0, 0)) for value in (250, 0, 0)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


READABLE = {
    "1x1": encoded(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG"),
    "1 pixel high": encoded(Image.new("L", (900, 1)), "PNG"),
    "CMYK": encoded(colour().convert("CMYK"), "JPEG"),
    "grey": encoded(colour().convert("L"), "JPEG"),
    "black and white": encoded(colour().convert("1"), "PNG"),
    "palette": encoded(colour().convert("P"), "PNG"),
    "with transparency": encoded(colour().convert("RGBA"), "PNG"),
    "grey with transparency": encoded(colour().convert("LA"), "PNG"),
    "16 bits": encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG"),
    "rotated": rotated(),
    "animated": animation(),
    "another format than its name": encoded(colour(), "BMP"),
}
UNREADABLE = {
    "empty": b"",
    "no image": b"not an image",
    "a header alone": encoded(colour(), "PNG")[:8],
    "truncated JPEG": encoded(colour(), "JPEG")[:400],
    "truncated PNG": encoded(colour(), "PNG")[:900],
    "100000 x 100000": claiming(100_000, 100_000),
    "10000 x 8000": claiming(10_000, 8_000),
    "a wrong checksum": encoded(colour(), "PNG").replace(b"IDAT", b"IDAX"),
}


@pytest.mark.parametrize("kind", READABLE)
def test_images_that_can_be_read(tmp_path, kind):
    path = tmp_path / "image.jpg"
    path.write_bytes(READABLE[kind])
    image = toolkit.read_image(str(path))
    assert image.mode == "RGB"
    inject("unusual image")
    if kind == "16 bits":  # Pillow alone would give white
        assert np.array_equal(np.asarray(image)[..., 1], PIXELS[..., 0])
    elif kind == "rotated":
        assert np.array_equal(np.asarray(image), PIXELS)
    elif kind == "animated":
        assert np.asarray(image)[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("kind", UNREADABLE)
def test_images_that_cannot_be_read_are_named(tmp_path, kind):
    path = tmp_path / "image.jpg"
    path.write_bytes(UNREADABLE[kind])
    with pytest.raises(toolkit.UnreadableImageError, match="image '.*image.jpg' cannot be decoded .*; replace"):
        toolkit.read_image(str(path))
    inject("broken image")


def test_a_huge_claim_costs_no_memory(tmp_path):
    """Refused by its header: a process that may not take much memory gives the sentence, not a MemoryError."""
    import resource

    path = tmp_path / "image.png"
    path.write_bytes(claiming(100_000, 100_000))

    def work():
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        return cli.exit_code(lambda: toolkit.read_image(str(path)) and None, "")

    outcome = forked(work)
    assert outcome.code == 1 and ("pixels" in outcome.sentence and "image.png' cannot be decoded" in outcome.sentence)
    inject("broken image")


VALID = {kind: encoded(colour(), kind) for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(VALID)),
    cut=st.integers(0, 3000),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
)
def test_damage_anywhere(tmp_path, kind, cut, changes):
    """Whatever bytes are changed or missing: an RGB image or the sentence."""
    content = bytearray(VALID[kind])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / "image.jpg"
    path.write_bytes(content[: max(1, len(content) - cut)] if cut % 3 else content)
    try:
        assert toolkit.read_image(str(path)).mode == "RGB"
    except toolkit.UnreadableImageError as error:
        assert "image.jpg" in str(error)
    inject("image with bytes changed")


def test_training_and_evaluation_with_images_of_every_kind(tmp_path, tiny):
    """Unusual images are trained and tested on; a broken one is named."""
    root = make_veri_folder(tmp_path / "data")
    for split in ("image_train", "image_test"):
        paths = sorted((root / "VeRi" / split).iterdir())
        for path, content in zip(generator(split).sample(paths, len(READABLE)), READABLE.values()):
            path.write_bytes(content)
    options = [
        *map(str, SMALL),
        "ealn.scheme",
        "en",
        "train.max_epoch",
        "1",
        "ealn.warmup_epochs",
        "0",
        "ealn.warmup_generator_epochs",
        "0",
    ]

    def train(name):
        return load_tool("train_ealn").main(["--root", str(root), *options, "data.save_dir", str(tmp_path / name)])

    outcome = forked(lambda: train("run"))
    assert outcome.code == 0, outcome.text[-2000:]
    bad = sorted((root / "VeRi" / "image_train").iterdir())[0]
    bad.write_bytes(UNREADABLE["truncated JPEG"])
    outcome = forked(lambda: train("again"))
    assert outcome.code == 1 and bad.name in outcome.sentence
