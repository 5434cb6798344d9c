"""What a torchreid dataset does with an image file, with the same pixels in less time.

Most of the time that torchreid's chain takes goes into decoding and resizing, which a cache saves, and most of the
rest into ToTensor and Normalize, which here are one look-up in a table.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from ealn_plugin import toolkit
from ealn_plugin.data.cache import ImageCache, open_cache

log = logging.getLogger(__name__)

_LARGE_PLANE = 2**18
"""Pixels from which OpenCV shares a look-up between threads, which do not survive a fork into data workers."""


class FastTransform:
    """A transform of torchreid, taken apart into what can be kept and what can be done faster.

    Random numbers are drawn from the same states in the same order, and the result is the same bit for bit.

    Args:
        transform: a Compose of Resize to (height, width), any steps on pictures, ToTensor, Normalize, and any steps on
            tensors: what torchreid builds.
    Attributes:
        resize: the leading Resize.
    Raises:
        ValueError: of another form.
    """

    def __init__(self, transform: Any) -> None:
        steps = list(getattr(transform, "transforms", ()))
        kinds = [type(step) for step in steps]
        if kinds[:1] != [transforms.Resize] or not isinstance(steps[0].size, (list, tuple)):
            raise ValueError("the transform does not begin with a Resize to height and width")
        middle = kinds.index(transforms.ToTensor) if transforms.ToTensor in kinds else len(kinds)
        if kinds[middle + 1 : middle + 2] != [transforms.Normalize]:
            raise ValueError("the transform has no ToTensor with a Normalize right behind it")
        self.resize, self._pictures, self._tensors = steps[0], steps[1:middle], steps[middle + 2 :]
        self._flip_below = None
        if self._pictures and type(self._pictures[0]) is transforms.RandomHorizontalFlip:
            self._flip_below = float(np.float32(self._pictures.pop(0).p))  # the precision that torch compares in
        self._table = _table(steps[middle], steps[middle + 1])

    def decode(self, path: str) -> np.ndarray:
        """uint8 [height, width, 3] of an image file; raises what ``toolkit.read_image`` raises."""
        return np.asarray(self.resize(toolkit.read_image(path)))

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """float32 tensor [3, height, width] of what ``decode`` returned, augmented and normalized."""
        if self._flip_below is not None and torch.rand(1).item() < self._flip_below:
            pixels = cv2.flip(pixels, 1)
        if self._pictures:
            image = Image.fromarray(pixels)
            for step in self._pictures:
                image = step(image)
            pixels = np.asarray(image)
        tensor = torch.from_numpy(_looked_up(pixels, self._table))
        for step in self._tensors:
            tensor = step(tensor)
        return tensor


def _table(to_tensor: Any, normalize: Any) -> np.ndarray:
    """[3, 256]: what the two make of each value of each channel."""
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    return normalize(to_tensor(Image.fromarray(values)))[:, :, 0].numpy().copy()


def _looked_up(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """[3, height, width] of uint8 [height, width, 3], in the table's precision."""
    planes = np.empty((3, *pixels.shape[:2]), dtype=table.dtype)  # OpenCV fills no array of another type
    for plane, values, found in zip(cv2.split(pixels), table, planes):
        if plane.size < _LARGE_PLANE:
            cv2.LUT(plane, values, dst=found)
        else:
            np.take(values, plane, out=found, mode="clip")  # type: ignore[call-overload]
    return planes


class ImageReader:
    """From the path of an image to the tensor that a loader batches; for ``toolkit.set_image_reader``.

    Args:
        transform: FastTransform. caches: ImageCaches, asked one after the other.
    """

    def __init__(self, transform: FastTransform, caches: Sequence[ImageCache] = ()) -> None:
        self.transform, self.caches = transform, list(caches)

    def pixels(self, path: str) -> np.ndarray:
        """uint8 [height, width, 3], decoded and resized, not augmented."""
        for cache in self.caches:
            kept = cache.get(path)
            if kept is not None:
                return kept
        return self.transform.decode(path)

    def __call__(self, path: str) -> torch.Tensor:
        """float32 [3, height, width]."""
        return self.transform(self.pixels(path))


def speed_up(
    datamanager: Any,
    cache_dir: str = "",
    train: bool = True,
    workers: int = 0,
    progress: bool = True,
    more: Mapping[str, list[str]] | None = None,
) -> None:
    """Make the loaders of a torchreid ImageDataManager faster, their batches staying the same bit for bit.

    Args:
        datamanager: its datasets are changed.
        cache_dir: folder that keeps decoded and resized images from run to run; '': none.
        train: the training images as well as the test images.
        workers: processes that fill the cache.
        progress: show progress bars.
        more: {name: paths} of images that are read beside the training images, to be cached as well.
    Raises:
        FileNotFoundError, UnreadableImageError: while the cache is filled, naming an image that cannot be read.
    """
    for name, dataset in _datasets(datamanager, train):
        try:
            transform = FastTransform(dataset.transform)
            _check_items(dataset)
        except ValueError as error:
            if cache_dir:
                log.warning("no image cache of %s: %s", name, error)
            continue
        wanted = {name: [item[0] for item in dataset.data]} if cache_dir else {}
        if cache_dir and train and dataset is datamanager.train_loader.dataset:
            wanted.update(more or {})
        caches = [
            open_cache(cache_dir, kind, paths, transform.resize, workers, progress) for kind, paths in wanted.items()
        ]
        toolkit.set_image_reader(dataset, ImageReader(transform, [cache for cache in caches if cache is not None]))


def _datasets(datamanager: Any, train: bool) -> Iterator[tuple[str, Any]]:
    """Yield (name, dataset) of a data manager's loaders."""
    if train:
        yield f"{'+'.join(datamanager.sources)}_train", datamanager.train_loader.dataset
        if datamanager.train_loader_t is not None:
            yield f"{'+'.join(datamanager.targets)}_train", datamanager.train_loader_t.dataset
    for name, splits in datamanager.test_loader.items():
        for split, loader in splits.items():
            yield f"{name}_{split}", loader.dataset


def _check_items(dataset: Any) -> None:
    """Refuse datasets that do not make their items as torchreid's do.

    Raises:
        ValueError: one sentence.
    """
    if type(dataset).__getitem__ is not toolkit.ImageDataset.__getitem__:
        raise ValueError(f"{type(dataset).__name__} reads its images in its own way")
    if dataset.k_tfm != 1:
        raise ValueError(f"every image is augmented {dataset.k_tfm} times")
