"""From the settings of a configuration to the schemes of the systems that the paper compares itself with."""

from collections.abc import Callable
from typing import Any

from ealn_plugin.config import CfgNode
from ealn_plugin.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ealn_plugin.models.multi_view import FeatureDiscriminator, RealMultiViewNetwork
from ealn_plugin.models.xvgan import CodeClassifier, CrossViewDecoder, VehicleDiscriminator, VehicleEncoder
from ealn_plugin.schemes import (
    CascadeScheme,
    CoupledClustersScheme,
    GroupSensitiveScheme,
    UnlabelledImagesScheme,
    VAMIScheme,
    XVGANScheme,
)
from ealn_plugin.schemes.base import Scheme


def _build_ccl(config: CfgNode) -> Scheme:
    ealn = config.ealn
    return CoupledClustersScheme(alpha=ealn.alpha, lambda_ed=ealn.lambda_ed, model_weight=ealn.ccl.model_weight)


def _build_hdc(config: CfgNode) -> Scheme:
    ealn = config.ealn
    return CascadeScheme(shares=ealn.hdc.shares, margin=ealn.hdc.margin, lambda_ed=ealn.lambda_ed)


def _build_gste(config: CfgNode) -> Scheme:
    ealn = config.ealn
    return GroupSensitiveScheme(
        groups=ealn.gste.groups, alpha=ealn.alpha, intra=ealn.gste.margin, lambda_ed=ealn.lambda_ed
    )


def _build_lsro(config: CfgNode) -> Scheme:
    ealn, size = config.ealn, (config.data.height, config.data.width)
    return UnlabelledImagesScheme(
        DCGANGenerator(size, noise=ealn.lsro.noise, filters=ealn.generator.filters),
        DCGANDiscriminator(size, filters=ealn.discriminator.filters),
        share=ealn.lsro.share,
        lambda_ed=ealn.lambda_ed,
        gan_loss=ealn.gan_loss,
    )


def _build_xvgan(config: CfgNode, num_classes: int) -> Scheme:
    ealn, size = config.ealn, (config.data.height, config.data.width)
    return XVGANScheme(
        VehicleEncoder(ealn.generator.filters),
        CodeClassifier(num_classes),
        CrossViewDecoder(size, ealn.generator.filters),
        VehicleDiscriminator(size, num_classes, ealn.discriminator.filters),
        lambda_ed=ealn.lambda_ed,
        distance=ealn.distance,
        gan_loss=ealn.gan_loss,
        **ealn.xvgan,
    )


def _build_vami(config: CfgNode, num_classes: int) -> Scheme:
    ealn = config.ealn
    options = {name: value for name, value in ealn.vami.items() if name != "steps"}  # of the network
    return VAMIScheme(
        RealMultiViewNetwork(),
        FeatureDiscriminator(num_classes),
        lambda_ed=ealn.lambda_ed,
        distance=ealn.distance,
        gan_loss=ealn.gan_loss,
        **options,
    )


CLASSIFYING: dict[str, Callable[[Any, int], Scheme]] = {"vami": _build_vami, "xvgan": _build_xvgan}
"""{value of ealn.scheme: what builds it from a configuration and the number of training identities}"""
COMPARED_BUILDERS: dict[str, Callable[[Any], Scheme]] = {
    "ccl": _build_ccl,
    "gste": _build_gste,
    "hdc": _build_hdc,
    "lsro": _build_lsro,
}
"""{value of ealn.scheme: what builds it from a configuration}"""
