"""ealn_plugin/serving/uploads.py and decode_upload.py: pictures, and what only claims to be one."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.serving import uploads
from ealn_plugin.serving.uploads import Decoder, UploadError


def file_of(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def test_pictures_become_what_the_datasets_make_of_them():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(Decoder()(file_of(image)), pixels)
    exif = Image.Exif()
    exif[274] = 6  # lies on its side
    assert np.array_equal(Decoder()(file_of(image, exif=exif)), np.rot90(pixels, -1))
    sixteen = Image.fromarray(np.full((4, 5), 257 * 7, np.uint16))
    assert np.array_equal(Decoder()(file_of(sixteen)), np.full((4, 5, 3), 7))


def bomb(width, height):
    """A PNG that claims to be of a size and holds no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "the upload is empty"),
        (b"#!/bin/sh\nrm -rf /", "it is in no format that is known here"),
        (file_of(Image.new("RGB", (90, 90)))[:60], "the upload is no picture that can be read"),
        (bomb(60_000, 60_000), "the upload is no picture"),
        (bomb(7_000, 7_000), r"it has 7000 x 7000 pixels, expected at most 40,000,000"),
    ],
    ids=["nothing", "a script", "half a picture", "a claim beyond all limits", "a claim beyond ours"],
)
def test_what_is_no_picture(content, reason):
    with pytest.raises(UploadError, match=reason):
        Decoder()(content)


def test_a_process_that_dies_hangs_or_needs_too_much_harms_nobody():
    image = file_of(Image.new("RGB", (3_000, 3_000)))
    with pytest.raises(UploadError):  # the process has no room even to begin, or says so
        Decoder(memory=50 * 2**20)(image)
    decoder = Decoder(seconds=1, processes=1)
    good = decoder._command
    for program, reason in (("import os; os.abort()", "broke the program"), ("while True: pass", "within 1 seconds")):
        decoder._command = [sys.executable, "-c", program]
        with pytest.raises(UploadError, match=reason):
            decoder(image)
    decoder._command, decoder.seconds = good, 60
    assert decoder(image).size == (3_000, 3_000)
    decoder.close()


def test_one_process_decodes_many_and_is_replaced_in_time(monkeypatch):
    monkeypatch.setattr(uploads, "_TURNS", 3)
    decoder, started = Decoder(processes=1), []
    begin = uploads._Process
    monkeypatch.setattr(uploads, "_Process", lambda command: started.append(command) or begin(command))
    for number in range(7):
        assert decoder(file_of(Image.new("RGB", (number + 1, 2)))).size == (number + 1, 2)
        with pytest.raises(UploadError):
            decoder(b"noise")
    decoder.close()
    assert len(started) == 5  # 14 files, at most 3 each
