"""Networks of the systems that the paper compares itself with, around any of torchreid's: PREFIX and its name."""

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from ealn_plugin import toolkit
from ealn_plugin.config import CfgNode
from ealn_plugin.models.cascade import CascadedNetwork
from ealn_plugin.models.multi_view import MultiViewNetwork
from ealn_plugin.models.two_branch import MixedDifferenceNetwork

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "hdc:": CascadedNetwork,
    "mixed:": MixedDifferenceNetwork,
    "vami:": MultiViewNetwork,
}
"""{prefix of model.name: what makes the network of (backbone, num_classes)}."""


def register_families() -> None:
    """Have torchreid build every name that begins with one of the prefixes, such as hdc:resnet50."""
    for prefix in FAMILIES:
        toolkit.register_model_family(prefix, build_network, check_name)


def split_name(name: str) -> tuple[str, str]:
    """(prefix, name of the backbone) of a model.name; the prefix is '' where it has none of these."""
    prefix = next((prefix for prefix in FAMILIES if name.startswith(prefix)), "")
    return prefix, name.removeprefix(prefix)


def check_name(name: str) -> None:
    """Refuse a name whose backbone does not exist; ValueError or RuntimeError, one sentence."""
    toolkit.check_model_name(split_name(name)[1])


def build_network(
    name: str, num_classes: int, loss: str = "triplet", pretrained: bool = False, use_gpu: bool = True, **options: Any
) -> nn.Module:
    """The network of a name with a prefix, its backbone built as torchreid builds it.

    Args:
        pretrained: of the backbone. options: of the network's own constructor.
    Raises:
        ValueError: another loss than 'triplet', or a backbone whose stages are not known; one sentence.
    """
    prefix, backbone = split_name(name)
    if loss != "triplet":
        raise ValueError(f"{name} cannot be built with loss={loss!r}; build it with loss='triplet'")
    inner = toolkit.build_model(backbone, num_classes, loss=loss, pretrained=pretrained, use_gpu=use_gpu)
    return functools.partial(FAMILIES[prefix], **options)(inner, num_classes)


def network_options(config: CfgNode) -> dict[str, Any]:
    """What a configuration says of the network that its model.name asks for; {} for any other."""
    prefix, _ = split_name(config.model.name)
    options: dict[str, dict[str, Any]] = {
        "hdc:": {"levels": len(config.ealn.hdc.shares)},
        "vami:": {"steps": config.ealn.vami.steps},
    }
    return options.get(prefix, {})
