"""The one rule by which a picture becomes RGB with 8 bits: from a file, as a ``PIL.Image`` or as an array.

- Pictures stand upright: an orientation noted in the file (EXIF) is followed.
- 8 bits are taken as they are; grey, palette, CMYK, YCbCr, LAB and black-and-white pictures are converted by Pillow.
- Transparency is left out: the colours count, whatever their opacity.
- 16 bits are divided by 257, so that 0 and 65,535 become 0 and 255.
- Wider integers do not say how bright their largest value is: up to 255 they are read as 8 bits, up to 65,535 as 16.
- Floating-point values lie in [0, 1] and are multiplied by 255; whole numbers beyond are read as integers.
- Whatever else a picture holds has no known range, and the picture is refused. So is one of more than ``MAX_PIXELS``.
- Of an animation the first picture is read, of a ``PIL.Image`` the one that it shows.
"""

import os
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 2**26
"""Pictures with more pixels are refused, 8,192 x 8,192: a few bytes of a file may claim to hold gigabytes."""

RULE = 2
"""Raise it when the rule gives other pixels, so that pixels kept by an earlier one are made again."""

_EIGHT, _SIXTEEN = 255, 65535
_FORMATS_OF_SIXTEEN = ("PPM",)
"""Formats whose pictures of more than 8 bits Pillow scales to 16, though it calls their mode "I"."""


class UnreadableImageError(RuntimeError):
    """A picture that is there but cannot be decoded, or whose range of values is unknown; the message names it."""


class UnknownRange(ValueError):
    """Values of which nobody can tell what black and white are; the message is the second half of a sentence."""


def read_picture(path: Any, missing: str = "check the path", broken: str = "give an image file") -> Any:
    """Read an image file by the rule above, in one attempt.

    Args:
        path: str. missing, broken: what to do about a file that is not there, or cannot be decoded, for messages.
    Returns:
        PIL.Image.Image in mode RGB.
    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file cannot be decoded, has unknown values or more than ``MAX_PIXELS``.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"image {path!r} does not exist; {missing}")
    try:
        with Image.open(path) as image:
            return as_rgb(image)
    except UnknownRange as error:
        raise UnreadableImageError(f"image {path!r} {error}") from error
    except Exception as error:  # decoders raise many kinds for a broken file, MemoryError among them
        raise UnreadableImageError(
            f"image {path!r} cannot be decoded ({error or type(error).__name__}); {broken}"
        ) from error


def as_rgb(image: Any) -> Any:
    """A ``PIL.Image`` by the rule above, in mode RGB; what is given stays as it is.

    Raises:
        UnknownRange: its range of values cannot be known.
        ValueError: too many pixels, or none. Whatever Pillow raises for an image that it cannot decode.
    """
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, expected at least one and at most {MAX_PIXELS:,}")
    kind = image.format  # copies do not keep it
    _load(image)
    image = _upright(image)
    if image.mode == "La":  # premultiplied, which Pillow converts to nothing else
        image = image.convert("LA")
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode == "I" and kind in _FORMATS_OF_SIXTEEN:
            values = values.astype(np.uint16)
        image = Image.fromarray(eight_bits(values))
    return image.convert("RGB")


def eight_bits(values: Any) -> Any:
    """Values of any kind and shape as uint8 of the same shape, by the rule above.

    Raises:
        UnknownRange: their range cannot be known.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * _EIGHT
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "uif":
        raise UnknownRange(f"holds values of type {values.dtype}, expected integers or floats; save it with 8 bits")
    if values.dtype.itemsize == 2 and values.dtype.kind == "u":
        return _scaled(values, _SIXTEEN)
    low, high = float(values.min()), float(values.max())
    floating = values.dtype.kind == "f"
    if floating and 0 <= low and high <= 1:
        return _scaled(values, 1)
    if 0 <= low and high <= _SIXTEEN and not (floating and (values % 1).any()):  # also false for NaN
        return _scaled(values, _EIGHT if high <= _EIGHT else _SIXTEEN)
    raise UnknownRange(
        f"holds {values.dtype} values from {low:g} to {high:g}, of which nobody can tell what black and white are; "
        f"save it with 8 or 16 bits, or with floats in [0, 1]"
    )


def _scaled(values, white):
    return np.rint(values * (_EIGHT / white)).astype(np.uint8)


def _load(image):
    """Decode an image that was only opened.

    Pillow 13 maps uncompressed grey TIFFs into memory by the width that they have when turned, which scrambles those
    that are noted as lying on their side; without the name of the file it reads them as it reads all others.
    """
    name = getattr(image, "filename", "")
    if image.format != "TIFF" or not name:
        image.load()
        return
    image.filename = ""
    try:
        image.load()
    finally:
        image.filename = name


def _upright(image):
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # notes that are no EXIF tell nothing of the orientation, and many cameras write such
        return image
