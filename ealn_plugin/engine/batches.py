"""From a batch of torchreid's loader to the ``Batch`` that schemes see, of all processes together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ealn_plugin.data.annotations import APPEARANCE, MODELS
from ealn_plugin.distributed.world import World
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.losses.transfer import to_device
from ealn_plugin.schemes.base import Batch


def gather_batch(
    data: Mapping[str, Any],
    world: World,
    device: torch.device,
    pixels: PixelRange,
    views_of: Callable[[Sequence[str]], Tensor],
    companions: Iterable[str],
    random: torch.Generator,
) -> tuple[Tensor, Batch]:
    """(images [batch, 3, height, width] as the data manager normalizes them, the ``Batch`` of the same images).

    Args:
        data: of the loader, this process's part of the batch.
        views_of: paths to values of ``View`` on the CPU. companions: kinds of images that ``data`` has beside its own.
        random: source of the schemes' random choices.
    """

    def gathered(images: Tensor) -> Tensor:
        return world.gather_rows(images.to(device, non_blocking=True))

    paths = data["impath"]
    labels = data["pid"], views_of(paths), APPEARANCE.lookup(paths), MODELS.lookup(paths)
    pids, views, groups, models = world.gather_columns(*labels)
    images = gathered(data["img"])
    batch = Batch(
        images=pixels.to_generator(images),
        pids=pids.to(device, non_blocking=True),
        views=views,
        groups=to_device(groups, device),
        random=random,
        companions={kind: pixels.to_generator(gathered(data[kind])) for kind in companions},
        models=to_device(models, device),
    )
    return images, batch
