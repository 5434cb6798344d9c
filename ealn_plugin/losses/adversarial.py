"""Real against fake: Eq. 6 and 11 of the paper, and CycleGAN's cycle consistency.

`kind` is 'vanilla', the log loss of the paper, or 'lsgan' (Mao et al., ICCV 2017), CycleGAN's choice.
"""

import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.checks import check_choice
from ealn_plugin.losses.reduction import masked_mean

KINDS = ("vanilla", "lsgan")


def generator_adversarial_loss(fake_logits: Tensor, kind: str = "vanilla", valid: Tensor | None = None) -> Tensor:
    """What a generator minimises, averaged over the logits of D(G(x)), any shape -> scalar.

    'vanilla': -log D(G(x)), the non-saturating form of Goodfellow et al. (2014): the same fixed point as
    Eq. 6, with a gradient while D still wins. 'lsgan': (D(G(x)) - 1)^2. Without any logits a zero with a
    gradient. valid: bool, the shape of the logits, those that count; None for all.
    """
    check_choice("gan_loss", kind, KINDS)
    if kind == "vanilla":
        return masked_mean(F.softplus(-fake_logits), valid)
    return masked_mean((fake_logits - 1.0).pow(2), valid)


def discriminator_adversarial_loss(
    real_logits: Tensor, fake_logits: Tensor, kind: str = "vanilla", valid: Tensor | None = None
) -> Tensor:
    """What a discriminator minimises: -L_rf of Eq. 6, or one direction of Eq. 11 negated -> scalar.

    'vanilla': mean of -log D(x) plus mean of -log(1 - D(G(x))). 'lsgan': mean of (D(x) - 1)^2 plus mean of
    D(G(x))^2. The SUM of the two means, as the equations have it; CycleGAN's code halves it. Real and fake
    logits may differ in number. Without real or without fake logits the whole is a zero with a gradient: a
    discriminator that sees one side alone would only learn to answer always the same. valid: bool, the logits that
    count on both sides, which then have its shape; None for all.
    """
    check_choice("gan_loss", kind, KINDS)
    if real_logits.numel() == 0 or fake_logits.numel() == 0:
        return (real_logits * 0.0).sum() + (fake_logits * 0.0).sum()
    if kind == "vanilla":
        return masked_mean(F.softplus(-real_logits), valid) + masked_mean(F.softplus(fake_logits), valid)
    return masked_mean((real_logits - 1.0).pow(2), valid) + masked_mean(fake_logits.pow(2), valid)


def cycle_loss(image: Tensor, reconstruction: Tensor) -> Tensor:
    """L_cyc: mean absolute difference of images and reconstructions of one shape -> scalar.

    In units of the pixels, so within [0, 2] for images in [-1, 1]. Without any image a zero with a gradient.
    """
    if image.shape != reconstruction.shape:
        raise ValueError(
            f"cycle_loss got images {tuple(image.shape)} and reconstructions {tuple(reconstruction.shape)}; "
            f"both must have the same shape"
        )
    return masked_mean((image - reconstruction).abs())
