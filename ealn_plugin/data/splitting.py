"""Which vehicles are tested on, and which of their images ask: drawn by a seed, the same on every machine.

Everything is decided by checksums of the seed and a label, so neither the order of the images nor what else is there
plays a part.
"""

import functools
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

log = logging.getLogger(__name__)

TEST_SHARE = 0.3
"""Share of the vehicles that are tested on where nobody says which; VeRI-776 has 0.26, VehicleID up to 0.5."""


def draw_test_vehicles(
    images_of_vehicle: Mapping[str, Sequence[tuple[str, str]]], seed: int = 0, share: float = TEST_SHARE
) -> set[str]:
    """The vehicles that are tested on: ``share`` of all, drawn from those that can be asked for.

    At least two are drawn, one where there are fewer than four, and at least one is left.

    Args:
        images_of_vehicle: {vehicle: [(image, camera)]}, '' for a camera that is not known.
        seed: other vehicles for every seed.
    Returns:
        set of vehicles, empty where none has an image to be found by another one, or where there is one vehicle.
    """
    vehicles = list(images_of_vehicle)
    wanted = min(max(round(share * len(vehicles)), 2 if len(vehicles) > 3 else 1), len(vehicles) - 1)
    able = [vehicle for vehicle in vehicles if choose_queries(images_of_vehicle[vehicle], seed)]
    return set(sorted(able, key=lambda vehicle: _draw(seed, vehicle))[: max(0, wanted)])


def choose_queries(
    images: Sequence[tuple[str, str]], seed: int = 0, preferred: Collection[str] = frozenset()
) -> set[str]:
    """The images of one vehicle that become queries; the others are the gallery.

    One image of each camera, as VeRI-776 has it, as long as every query keeps a gallery image of another camera; the
    cameras with most images come first. Where none of the cameras is known, one image.

    Args:
        images: [(image, camera)], '' for a camera that is not known: such an image is its own camera.
        seed: other images for every seed.
        preferred: images that are taken before others of their camera.
    Returns:
        set of images, empty where the vehicle has no two images from different cameras.
    """
    if not any(camera for _, camera in images):
        return {_first(seed, [image for image, _ in images], preferred)} if len(images) > 1 else set()
    of_camera = defaultdict(list)
    for image, camera in images:
        of_camera[camera or f"\0{image}"].append(image)
    left = Counter({camera: len(taken) for camera, taken in of_camera.items()})
    asking: dict[str, str] = {}
    for camera in sorted(of_camera, key=lambda name: (-len(of_camera[name]), _draw(seed, name))):
        left[camera] -= 1
        if all(left.total() > left[other] for other in (camera, *asking)):
            asking[camera] = _first(seed, of_camera[camera], preferred)
        else:
            left[camera] += 1
    return set(asking.values())


@functools.cache
def tell_once(line: str) -> None:
    """Log how a dataset is split, once in a process: a data manager builds each dataset three times."""
    log.info("%s", line)


def _first(seed: int, images: Iterable[str], preferred: Collection[str]) -> str:
    return min(images, key=lambda image: (image not in preferred, _draw(seed, image)))


def _draw(seed: int, label: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{label}".encode(errors="surrogateescape")).digest()
