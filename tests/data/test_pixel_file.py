"""ealn_plugin/data/pixel_file.py: images come back as they were written, and a file that is not whole is refused."""

import json
import pickle
import struct
import zlib

import numpy as np
import pytest

from ealn_plugin.data import pixel_file
from ealn_plugin.data.pixel_file import BrokenPixelFile, PixelFile, Stamp

SIZE = (5, 7)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
STAMPS = [Stamp("a.jpg", 10, 10**18 + 1), Stamp("sub/b.jpg", 0, 5), Stamp("ä ü.jpg", 2**40, -1)]
MADE_BY = {"resize": "Resize", "pillow": "13"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pixels"
    pixel_file.write(path, SIZE, MADE_BY, STAMPS, iter(IMAGES))
    return path


def test_round_trip(path):
    file = PixelFile(path)
    np.testing.assert_array_equal(file.pixels, IMAGES)
    assert file.pixels.dtype == np.uint8 and not file.pixels.flags.writeable
    assert file.stamps == STAMPS and file.made_by == MADE_BY
    assert [file.is_intact(row) for row in range(3)] == [True] * 3
    assert path.read_bytes().startswith(IMAGES.tobytes())


def test_pixels_are_mapped_not_read(path):
    base = PixelFile(path).pixels
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_images_that_are_no_contiguous_arrays(tmp_path):
    turned = IMAGES.transpose(0, 2, 1, 3)
    pixel_file.write(tmp_path / "f", (7, 5), {}, STAMPS, turned)
    np.testing.assert_array_equal(PixelFile(tmp_path / "f").pixels, turned)


def test_another_process_maps_the_same_file(path):
    """Data workers that are not forked receive it pickled."""
    content = pickle.dumps(PixelFile(path))
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content).pixels, IMAGES)


@pytest.mark.parametrize("byte, row", [(0, 0), (5 * 7 * 3 - 1, 0), (5 * 7 * 3, 1), (3 * 5 * 7 * 3 - 1, 2)])
def test_a_changed_byte_is_found_in_its_image(path, byte, row):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    file = PixelFile(path)
    assert [file.is_intact(number) for number in range(3)] == [number != row for number in range(3)]


def test_a_file_cut_short_is_noticed(path):
    content = path.read_bytes()
    for length in [*range(0, len(content), 11), *range(len(content) - 20, len(content))]:
        path.write_bytes(content[:length])
        with pytest.raises(BrokenPixelFile, match="pixels'"):
            PixelFile(path)


def test_changed_bytes_behind_the_pixels_are_noticed(path):
    content = path.read_bytes()
    for byte in range(IMAGES.size, len(content), 3):
        changed = bytearray(content)
        changed[byte] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(BrokenPixelFile):
            PixelFile(path)


def test_a_table_that_tells_of_other_pixels(path):
    table = json.dumps({"shape": [4, *SIZE, 3], "made_by": {}, "images": [["a", 1, 1, 0]] * 4}).encode()
    path.write_bytes(IMAGES.tobytes() + table + struct.pack("<QI4s", len(table), zlib.crc32(table), b"EPX1"))
    with pytest.raises(BrokenPixelFile, match="another number of bytes than its table says"):
        PixelFile(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        PixelFile(tmp_path / "nothing")


@pytest.mark.parametrize(
    "images", [IMAGES[:2], [*IMAGES, IMAGES[0]], IMAGES[:, :4], IMAGES.astype(np.float32), IMAGES[..., :2]]
)
def test_images_that_do_not_fit(tmp_path, images):
    with pytest.raises(ValueError, match=r"is missing or does not fit, expected 3 images uint8 \[5, 7, 3\]"):
        pixel_file.write(tmp_path / "f", SIZE, {}, STAMPS, images)
