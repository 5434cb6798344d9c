"""Configuration: torchreid's own tree of keys, one ``ealn`` node, and checks that turn a slip into a sentence."""

from yacs.config import CfgNode

from ealn_plugin.config.checks import check_config
from ealn_plugin.config.defaults import LR_SCHEDULERS, TRANSFORMS, default_config
from ealn_plugin.config.loading import load_config, run_config, split_arguments
from ealn_plugin.config.merging import flat
from ealn_plugin.config.options import datamanager_options, optimizer_options, recorded
from ealn_plugin.config.scheme_names import COMPARED, GENERATOR_FREE, NAMES, OTHER_VIEW_PARTS, SCHEMES, parts_of

__all__ = [
    "COMPARED",
    "GENERATOR_FREE",
    "LR_SCHEDULERS",
    "NAMES",
    "OTHER_VIEW_PARTS",
    "SCHEMES",
    "TRANSFORMS",
    "CfgNode",
    "check_config",
    "datamanager_options",
    "default_config",
    "flat",
    "load_config",
    "optimizer_options",
    "parts_of",
    "recorded",
    "run_config",
    "split_arguments",
]
