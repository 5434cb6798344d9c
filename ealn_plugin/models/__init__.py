"""Networks: the VGG-M backbone, generators, discriminators and the embedding around any backbone.

Nothing here knows torchreid, configs or files. The three factories take torchreid's four arguments, so that
torchreid.models.build_model can call them.
"""

from ealn_plugin.models.discriminators import PatchGAN, patchgan_70
from ealn_plugin.models.editing_generator import EditingGenerator, draw_regions, seams
from ealn_plugin.models.embedding import EmbeddingNetwork, check_backbone, l2_normalize, probe_backbone
from ealn_plugin.models.generators import ResnetGenerator, resnet_generator_9blocks
from ealn_plugin.models.modes import frozen, running_statistics, untouched_statistics
from ealn_plugin.models.neck import NeckedBackbone
from ealn_plugin.models.reconstructing import ReconstructingGenerator
from ealn_plugin.models.small_resnet import SmallResNet, resnet_small
from ealn_plugin.models.stargan import StarGANDiscriminator, StarGANGenerator
from ealn_plugin.models.vggm import VGGM, load_vggm_weights, vgg_cnn_m_1024
from ealn_plugin.models.xvgan import CodeClassifier, CrossViewDecoder, VehicleDiscriminator, VehicleEncoder

__all__ = [
    "VGGM",
    "CodeClassifier",
    "CrossViewDecoder",
    "EditingGenerator",
    "EmbeddingNetwork",
    "PatchGAN",
    "NeckedBackbone",
    "ReconstructingGenerator",
    "ResnetGenerator",
    "SmallResNet",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "VehicleDiscriminator",
    "VehicleEncoder",
    "check_backbone",
    "draw_regions",
    "frozen",
    "l2_normalize",
    "load_vggm_weights",
    "patchgan_70",
    "probe_backbone",
    "resnet_generator_9blocks",
    "resnet_small",
    "running_statistics",
    "seams",
    "untouched_statistics",
    "vgg_cnn_m_1024",
]
