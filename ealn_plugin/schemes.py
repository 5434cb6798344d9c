"""The adversarial schemes under their public name; they live in ``ealn_plugin.engine.schemes``."""
from ealn_plugin.engine.schemes import Batch, CrossViewScheme, Fakes, HardNegativeScheme, Scheme

__all__ = ["Batch", "CrossViewScheme", "Fakes", "HardNegativeScheme", "Scheme"]
