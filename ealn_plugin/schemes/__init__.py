"""The adversarial schemes under their public name; they live in ``ealn_plugin.engine``."""

from ealn_plugin.schemes.base import Batch, Fakes, Scheme
from ealn_plugin.schemes.comparators import CycleGANScheme, StarGANScheme
from ealn_plugin.schemes.controls import MixedNegativesScheme, PerturbedCopiesScheme, TrueHardNegativesScheme
from ealn_plugin.schemes.cross_view import CrossViewScheme
from ealn_plugin.schemes.editing import EditingScheme
from ealn_plugin.schemes.hard_negative import HardNegativeScheme
from ealn_plugin.schemes.metric_losses import CascadeScheme, CoupledClustersScheme, GroupSensitiveScheme
from ealn_plugin.schemes.other_views import TrueOtherViewsScheme
from ealn_plugin.schemes.pasting import PastedRegionsScheme
from ealn_plugin.schemes.unlabelled import UnlabelledImagesScheme
from ealn_plugin.schemes.vami import VAMIScheme
from ealn_plugin.schemes.view_scheme import ViewScheme
from ealn_plugin.schemes.xvgan import XVGANScheme

__all__ = [
    "Batch",
    "CascadeScheme",
    "CoupledClustersScheme",
    "CrossViewScheme",
    "CycleGANScheme",
    "EditingScheme",
    "Fakes",
    "GroupSensitiveScheme",
    "HardNegativeScheme",
    "MixedNegativesScheme",
    "PastedRegionsScheme",
    "PerturbedCopiesScheme",
    "Scheme",
    "StarGANScheme",
    "TrueHardNegativesScheme",
    "TrueOtherViewsScheme",
    "UnlabelledImagesScheme",
    "VAMIScheme",
    "ViewScheme",
    "XVGANScheme",
]
