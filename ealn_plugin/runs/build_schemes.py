"""From the settings of a configuration to the schemes that ``ealn.scheme`` names."""

from typing import Any

from torch import nn

from ealn_plugin import config as configuration
from ealn_plugin.config import CfgNode
from ealn_plugin.models import (
    EditingGenerator,
    ReconstructingGenerator,
    StarGANDiscriminator,
    StarGANGenerator,
    patchgan_70,
    resnet_generator_9blocks,
)
from ealn_plugin.runs.build_compared import CLASSIFYING, COMPARED_BUILDERS
from ealn_plugin.schemes import (
    CrossViewScheme,
    CycleGANScheme,
    EditingScheme,
    HardNegativeScheme,
    MixedNegativesScheme,
    PastedRegionsScheme,
    PerturbedCopiesScheme,
    StarGANScheme,
    TrueHardNegativesScheme,
    TrueOtherViewsScheme,
)
from ealn_plugin.schemes.base import Scheme
from ealn_plugin.schemes.view_scheme import ViewScheme


def build_schemes(config: CfgNode, num_classes: int = 1) -> list[Scheme]:
    """The schemes that ``ealn.scheme`` names; none for 'en'.

    Args:
        config: yacs tree.
        num_classes: identities that are trained on, for the schemes whose networks tell them apart.
    """
    parts = configuration.parts_of(config.ealn.scheme)
    schemes = [
        CLASSIFYING[part](config, num_classes) if part in CLASSIFYING else _BUILDERS[part](config) for part in parts
    ]
    for scheme in schemes:
        if isinstance(scheme, ViewScheme):
            scheme.weigh(or_none(config.ealn.fusion_weight))
    return schemes


def or_none(value: Any) -> Any:
    """None for a negative number, by which a configuration leaves a value open."""
    return None if value < 0 else value


def _generator(config: CfgNode) -> nn.Module:
    return resnet_generator_9blocks(**config.ealn.generator)


def _discriminator(config: CfgNode) -> nn.Module:
    return patchgan_70(**config.ealn.discriminator)


def _constraint(config: CfgNode) -> dict[str, Any]:
    ealn = config.ealn
    return dict(alpha=ealn.alpha, lambda_ed=ealn.lambda_ed, distance=ealn.distance)


def _paper(config: CfgNode) -> dict[str, Any]:
    ealn = config.ealn
    options = dict(negatives=ealn.negatives, gan_loss=ealn.gan_loss, adaptive_weight=ealn.adaptive_weight)
    return {**_constraint(config), **options}


def _build_hard(config: CfgNode) -> Scheme:
    """Hard-EALN, with the generator of ealn.hard.generator."""
    ealn = config.ealn
    if ealn.hard.generator == "edit":
        return _build_editing(config)
    return HardNegativeScheme(
        ReconstructingGenerator(**ealn.generator) if ealn.reconstructions else _generator(config),
        _discriminator(config),
        beta1=ealn.beta1,
        beta2=ealn.beta2,
        reconstructions=ealn.reconstructions,
        lambda_rec=ealn.lambda_rec,
        **_paper(config),
    )


def _build_view(config: CfgNode) -> Scheme:
    """View-EALN."""
    return CrossViewScheme(
        _generator(config),
        _generator(config),
        _discriminator(config),
        _discriminator(config),
        lambda_cyc=config.ealn.lambda_cyc,
        embedding_off_epochs=or_none(config.ealn.view_embedding_off_epochs),
        **_paper(config),
    )


def _build_cyclegan(config: CfgNode) -> Scheme:
    """The comparator CycleGAN."""
    return CycleGANScheme(
        _generator(config),
        _generator(config),
        _discriminator(config),
        _discriminator(config),
        lambda_cyc=config.ealn.lambda_cyc,
        distance=config.ealn.distance,
        gan_loss=config.ealn.gan_loss,
    )


def _region_options(config):
    ealn, hard = config.ealn, config.ealn.hard
    return dict(
        alpha=ealn.alpha,
        lambda_ed=ealn.lambda_ed,
        distance=ealn.distance,
        gan_loss=ealn.gan_loss,
        negatives=ealn.negatives,
        beta1=ealn.beta1,
        beta2=ealn.beta2,
        neutral=hard.neutral,
        choose=hard.choose,
        candidates=hard.candidates,
        number=hard.regions,
        radii=hard.radii,
        donors=hard.donors,
    )


def _build_editing(config):
    ealn, hard = config.ealn, config.ealn.hard
    return EditingScheme(
        EditingGenerator(ealn.generator.filters),
        patchgan_70(in_channels=4, **ealn.discriminator),
        content=hard.content,
        learn=hard.learn,
        lambda_l1=hard.lambda_l1,
        lambda_rf=hard.lambda_rf,
        pixel_weight=hard.pixel_weight,
        seam=hard.seam,
        **_region_options(config),
    )


def _build_stargan(config: CfgNode) -> StarGANScheme:
    ealn = config.ealn
    networks = {name: value for name, value in ealn.generator.items() if name != "padding"}  # its padding is zero
    size = (config.data.height, config.data.width)
    return StarGANScheme(
        StarGANGenerator(**networks),
        StarGANDiscriminator(size, filters=ealn.discriminator.filters),
        distance=ealn.distance,
        **ealn.stargan,
    )


_BUILDERS = {
    "hard": _build_hard,
    "view": _build_view,
    "cyclegan": _build_cyclegan,
    "stargan": _build_stargan,
    "mix": lambda config: MixedNegativesScheme(negatives=config.ealn.negatives, **_constraint(config)),
    "paste": lambda config: PastedRegionsScheme(**_region_options(config)),
    "perturb": lambda config: PerturbedCopiesScheme(**_constraint(config)),
    "true_view": lambda config: TrueOtherViewsScheme(**_constraint(config)),
    "truth": lambda config: TrueHardNegativesScheme(**_constraint(config)),
    **COMPARED_BUILDERS,
}
"""{part of ealn.scheme: what builds it from a configuration}"""
