"""What images a backbone was made for, where the user does not say: size and normalization of timm's models."""

import importlib.util
import math
from collections.abc import Collection

from yacs.config import CfgNode

TIMM = "timm:"
"""As ``models.timm_backbone.PREFIX``; that module imports torch, which settings without such a model do not need."""

INPUT = {"data.height": "height", "data.width": "width", "data.norm_mean": "mean", "data.norm_std": "std"}
"""Keys of the images that a network is given, and what ``timm_input`` calls them."""


def fill_input(config: CfgNode, given: Collection[str]) -> None:
    """Give a timm model the images of its own pretrained config, in place; other models keep what they have.

    Args:
        given: keys that the user, or the run that goes on, has set; these stay.
    Raises:
        RuntimeError: timm is not installed. ValueError: it has no such model.
    """
    if not config.model.name.startswith(TIMM) or set(INPUT) <= set(given):
        return
    own = _input_of(config.model.name)
    for key, name in INPUT.items():
        if key not in given:
            config.data[key.rpartition(".")[2]] = own[name]


def size_step(config: CfgNode, halvings: int) -> int:
    """What height and width have to be a multiple of.

    Args:
        halvings: how often the generators halve their images; 0: there are none.
    """
    step, name = 2**halvings, config.model.name
    if not name.startswith(TIMM) or importlib.util.find_spec("timm") is None:  # what builds it says what is missing
        return step
    return math.lcm(step, _input_of(name)["multiple"])


def _input_of(name):
    from ealn_plugin import toolkit  # noqa: F401 - it cures torchvision, which timm imports
    from ealn_plugin.models.timm_backbone import timm_input

    return timm_input(name)
