"""A file of equally large RGB images that is read by memory map, so that any number of processes share its pages.

Layout: uint8 pixels [images, height, width, 3] from the first byte on, then a table of contents in JSON, then a
trailer with the table's length and checksum. The table holds a checksum of every image.
"""

import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_TRAILER = struct.Struct("<QI4s")  # length and CRC-32 of the table, magic
_MAGIC = b"EPX1"


class BrokenPixelFile(ValueError):
    """A file that is not a pixel file, or not a whole one."""


@dataclass(frozen=True)
class Stamp:
    """Which state of an image file some pixels were made from.

    Attributes:
        name: path relative to the dataset, with forward slashes; size: bytes; mtime: nanoseconds since 1970.
    """

    name: str
    size: int
    mtime: int


class PixelFile:
    """A pixel file, opened.

    Args:
        path: of the file.
    Attributes:
        pixels: uint8 [images, height, width, 3], read-only, mapped into memory.
        made_by: what the images depend on besides their files, as it was given to ``write``.
        stamps: list of Stamp, one per image; checksums: list of their CRC-32.
    Raises:
        FileNotFoundError: there is none.
        BrokenPixelFile: it is no such file, or cut short.
    """

    def __init__(self, path: str) -> None:
        self.path = os.fspath(path)
        table, self._shape = _read_table(self.path)
        self.made_by = table["made_by"]
        self.stamps = [Stamp(*entry[:3]) for entry in table["images"]]
        self.checksums = [entry[3] for entry in table["images"]]
        self._map()

    def _map(self) -> None:
        # A plain array over the map: slices of np.memmap itself cost several times as much.
        self.pixels = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r", shape=self._shape))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "pixels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._map()

    def is_intact(self, row: int) -> bool:
        """Whether an image is what was written."""
        return zlib.crc32(self.pixels[row]) == self.checksums[row]


def write(
    path: str, size: Sequence[int], made_by: Mapping[str, Any], stamps: Sequence[Stamp], images: Iterable[np.ndarray]
) -> None:
    """Write a pixel file; to be called with the temporary name that ``writing.replacing`` gives.

    Args:
        path: of the file.
        size: (height, width) of all images.
        made_by: dict of JSON values.
        stamps: list of Stamp.
        images: iterable of uint8 [height, width, 3], as many as stamps; taken one at a time.
    Raises:
        OSError: the disk is full or cannot be written.
        ValueError: fewer or more images than stamps, or one of another shape.
    """
    entries = []
    with open(path, "wb") as file:
        for stamp, image in itertools.zip_longest(stamps, images):
            if stamp is None or image is None or image.shape != (*size, 3) or image.dtype != np.uint8:
                raise ValueError(
                    f"image {len(entries)} is missing or does not fit, expected {len(stamps)} images "
                    f"uint8 [{size[0]}, {size[1]}, 3]; read them with one resize"
                )
            image = np.ascontiguousarray(image)
            entries.append([stamp.name, stamp.size, stamp.mtime, zlib.crc32(image)])  # type: ignore[arg-type]
            file.write(image)  # type: ignore[arg-type]
        table = {"shape": [len(entries), *size, 3], "made_by": made_by, "images": entries}
        table = json.dumps(table, ensure_ascii=True).encode()
        file.write(table)  # type: ignore[arg-type]
        file.write(_TRAILER.pack(len(table), zlib.crc32(table), _MAGIC))  # type: ignore[arg-type]


def _read_table(path: str):
    """The table of contents and the shape of the pixels."""
    with open(path, "rb") as file:
        whole = file.seek(0, os.SEEK_END)
        if whole < _TRAILER.size:
            raise BrokenPixelFile(f"{path!r} has {whole} bytes, which is no pixel file")
        file.seek(whole - _TRAILER.size)
        length, checksum, magic = _TRAILER.unpack(file.read())
        if magic != _MAGIC or length > whole - _TRAILER.size:
            raise BrokenPixelFile(f"{path!r} does not end as a pixel file does")
        file.seek(whole - _TRAILER.size - length)
        table = file.read(length)
    if zlib.crc32(table) != checksum:
        raise BrokenPixelFile(f"the table of contents of {path!r} is damaged")
    table = json.loads(table)
    shape = tuple(table["shape"])
    if int(np.prod(shape, dtype=np.int64)) != whole - _TRAILER.size - length or len(table["images"]) != shape[0]:
        raise BrokenPixelFile(f"{path!r} holds another number of bytes than its table says")
    return table, shape
