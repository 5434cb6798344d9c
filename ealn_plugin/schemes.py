"""The adversarial schemes under their public name; they live in ``ealn_plugin.engine``."""

from ealn_plugin.engine.comparators import CycleGANScheme, StarGANScheme
from ealn_plugin.engine.controls import MixedNegativesScheme, PerturbedCopiesScheme, TrueHardNegativesScheme
from ealn_plugin.engine.editing import EditingScheme, PastedRegionsScheme
from ealn_plugin.engine.scheme_base import Batch, Fakes, Scheme, ViewScheme
from ealn_plugin.engine.schemes import CrossViewScheme, HardNegativeScheme

__all__ = [
    "Batch",
    "CrossViewScheme",
    "CycleGANScheme",
    "EditingScheme",
    "Fakes",
    "HardNegativeScheme",
    "MixedNegativesScheme",
    "PastedRegionsScheme",
    "PerturbedCopiesScheme",
    "Scheme",
    "StarGANScheme",
    "TrueHardNegativesScheme",
    "ViewScheme",
]
