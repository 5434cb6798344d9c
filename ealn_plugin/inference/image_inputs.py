"""What may be given as an image: a file, a PIL image, an array or a tensor; and how it becomes a network's input."""

import os

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from ealn_plugin import toolkit

_EXPECTED = (
    "expected a path, a PIL image, an array uint8 [height, width, 3] or a tensor [3, height, width] of uint8 "
    "or of floats in [0, 1]"
)


def as_list(images):
    """One image or many as a list of images; see ``FeatureExtractor`` for what an image may be.

    Raises:
        ValueError: neither.
    """
    if isinstance(images, (str, bytes, os.PathLike, Image.Image)):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype == object:
        return list(images)
    if isinstance(images, (np.ndarray, torch.Tensor)):
        if images.ndim not in (3, 4):
            raise ValueError(
                f"the images are {_described(images)}, {_EXPECTED}, or many of one size in a leading dimension"
            )
        return [images] if images.ndim == 3 else list(images)
    try:
        return list(images)
    except TypeError:
        raise ValueError(f"the images are {type(images).__name__}, {_EXPECTED}, or a list of them") from None


def name_of(image):
    """The path of an image that is a file, '' for others."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""


def read(image, row=0):
    """An image as a ``PIL.Image`` in mode RGB; ``row`` is its position in the list, for messages.

    Raises:
        FileNotFoundError, UnreadableImageError, ValueError: a file that is not there or not an image, or something
            that is no image.
    """
    if isinstance(image, (str, os.PathLike)):
        return toolkit.read_image(os.fspath(image))
    if isinstance(image, Image.Image):
        try:
            return image.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:  # opened, but not decoded before
            raise toolkit.UnreadableImageError(
                f"image {row} of the list cannot be decoded ({error}); replace or leave it out"
            ) from error
    if isinstance(image, torch.Tensor):
        image = _checked_tensor(image, row).detach().cpu()
        if image.is_floating_point():
            image = (image.float() * 255).round().to(torch.uint8)
        return Image.fromarray(image.permute(1, 2, 0).numpy())
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image {row} of the list is {type(image).__name__}, {_EXPECTED}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image {row} of the list is {_described(image)}, {_EXPECTED}")
    return Image.fromarray(np.ascontiguousarray(image))


def to_network(image, transform, size, row=0):
    """An image as a normalized tensor [3, height, width].

    Args:
        transform: torchreid's test transform, which ends with its Normalize; size: (height, width).
        row: position in the list, for messages.
    Raises:
        FileNotFoundError, UnreadableImageError, ValueError: see ``read``.
    """
    if not isinstance(image, torch.Tensor) or not image.is_floating_point():
        return transform(read(image, row))
    image = _checked_tensor(image, row).detach().float().cpu()
    if image.shape[1:] != torch.Size(size):
        image = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return transform.transforms[-1](image)


def _checked_tensor(image, row):
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise ValueError(f"image {row} of the list is {_described(image)}, {_EXPECTED}")
    if not image.is_floating_point():
        if image.dtype != torch.uint8:
            raise ValueError(f"image {row} of the list is {_described(image)}, {_EXPECTED}")
        return image
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ValueError(
            f"image {row} of the list has values from {low:g} to {high:g}, {_EXPECTED}; scale it, and do "
            "not normalize it"
        )
    return image


def _described(values):
    return f"{type(values).__name__} {str(values.dtype).removeprefix('torch.')} {list(values.shape)}"
