"""Networks: the VGG-M backbone, generators, discriminators and the embedding around any backbone.

Nothing here knows torchreid, configs or files. The three factories take torchreid's four arguments, so that
torchreid.models.build_model can call them.
"""

from .discriminators import PatchGAN, patchgan_70
from .editing_generator import EditingGenerator, draw_regions, seams
from .embedding import EmbeddingNetwork, check_backbone, frozen, l2_normalize, running_statistics, untouched_statistics
from .generators import ResnetGenerator, resnet_generator_9blocks
from .reconstructing import ReconstructingGenerator
from .small_resnet import SmallResNet, resnet_small
from .stargan import StarGANDiscriminator, StarGANGenerator
from .vggm import VGGM, load_vggm_weights, vgg_cnn_m_1024

__all__ = [
    "EditingGenerator",
    "EmbeddingNetwork",
    "PatchGAN",
    "ReconstructingGenerator",
    "ResnetGenerator",
    "SmallResNet",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "VGGM",
    "check_backbone",
    "draw_regions",
    "frozen",
    "l2_normalize",
    "load_vggm_weights",
    "patchgan_70",
    "resnet_generator_9blocks",
    "resnet_small",
    "running_statistics",
    "seams",
    "untouched_statistics",
    "vgg_cnn_m_1024",
]
