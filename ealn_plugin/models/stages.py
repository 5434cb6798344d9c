"""The convolutional stages of a backbone, one after the other, for networks that look at its maps on the way."""

from collections.abc import Iterator

import torch
from torch import nn

from ealn_plugin.models.modes import evaluating

_KNOWN = "torchreid's ResNets, OSNets and MobileNets, resnet_small and vgg_cnn_m_1024"


def stages_of(backbone: nn.Module) -> list[nn.Module]:
    """The stages of a backbone: applied in turn, they give the maps that its own forward pass averages.

    Known are networks whose maps come from ``layer1`` to ``layer4`` behind ``conv1`` (ResNets), from ``conv1``,
    ``conv2``, ... (OSNets, MobileNets), or from one sequence ``features``, which is cut behind its blocks (SmallResNet
    and others), or, in VGG_CNN_M, behind its poolings and between its last convolutions.

    Returns:
        list of modules, images [n, 3, h, w] to maps [n, c, h', w'] through all of them; they are the backbone's own.
    Raises:
        ValueError: a backbone of another make; one sentence.
    """
    children = dict(backbone.named_children())
    if {"conv1", "bn1", "maxpool", "layer1", "layer4"} <= children.keys():
        stem = [children[name] for name in ("conv1", "bn1", "relu", "maxpool", "layer1")]
        return [nn.Sequential(*stem), children["layer2"], children["layer3"], children["layer4"]]
    if {"conv1", "conv2", "conv3"} <= children.keys():
        return list(_numbered(children))
    features = children.get("features")
    if isinstance(features, nn.Sequential):
        ends = _ends(features)
        if len(ends) > 2:
            layers = list(features)
            return [nn.Sequential(*layers[start:end]) for start, end in zip([0, *ends], ends)]
    raise _unknown(backbone)


def _unknown(backbone: nn.Module) -> ValueError:
    return ValueError(
        f"{type(backbone).__name__} has no stages that are known here, expected one of {_KNOWN}; choose such a "
        "model.name behind the prefix"
    )


def _numbered(children: dict[str, nn.Module]) -> Iterator[nn.Module]:
    """conv1 with maxpool, conv2, ..., each with the pooling of its number; the last two are one stage."""
    numbers = range(1, 1 + next(n for n in range(1, 99) if f"conv{n + 1}" not in children))
    parts = []
    for number in numbers:
        names = [f"conv{number}", "maxpool" if number == 1 else f"pool{number}"]
        parts.append([children[name] for name in names if name in children])
    *before, last_but_one, last = parts
    for part in (*before, [*last_but_one, *last]):
        yield part[0] if len(part) == 1 else nn.Sequential(*part)


def _ends(features: nn.Sequential) -> list[int]:
    """Where the stages of one sequence end: behind blocks, or behind poolings and the last convolutions' ReLUs."""
    names = [name for name, _ in features.named_children()]
    if "pool5" in names:  # VGG_CNN_M
        return [names.index(name) + 1 for name in ("pool1", "pool2", "relu3", "relu4", "pool5")]
    blocks = [at + 1 for at, layer in enumerate(features) if len(list(layer.children())) > 1]
    return [*blocks[:-1], len(names)]


def last_stages(backbone: nn.Module, count: int) -> tuple[nn.ModuleList, list[int]]:
    """The stages of a backbone as ``count`` parts: the last stages one by one, the first part all before them.

    Returns:
        (parts, channels of the maps of each).
    Raises:
        ValueError: the backbone has fewer stages, or none that are known; also where its ``featuremaps`` computes
            something else than its stages one after the other.
    """
    stages = stages_of(backbone)
    if not 1 <= count <= len(stages):
        raise ValueError(
            f"{count} parts are asked of {type(backbone).__name__}, expected 1 to {len(stages)}, its stages; ask for "
            "fewer, or choose another model.name"
        )
    first = stages[: len(stages) - count + 1]
    parts = nn.ModuleList([first[0] if len(first) == 1 else nn.Sequential(*first), *stages[len(first) :]])
    with evaluating(backbone):
        return parts, _channels(backbone, parts)


def _channels(backbone: nn.Module, parts: nn.ModuleList) -> list[int]:
    """Channels of the maps of each part, after comparing what the last one gives with the backbone's own."""
    images = torch.linspace(-1, 1, 3 * 128 * 128, device=next(parts.parameters()).device).view(1, 3, 128, 128)
    channels, maps = [], images
    try:
        for part in parts:
            maps = part(maps)
            channels.append(maps.shape[1])
    except RuntimeError as error:  # one does not take what the other gives
        raise _unknown(backbone) from error
    own = getattr(backbone, "featuremaps", None)
    if callable(own) and not torch.equal(own(images), maps):
        raise _unknown(backbone)
    return channels
