"""The hinges in embedding space: Eq. 4, 5, 9 and 10 of the paper.

A hinge is averaged over its valid entries; with none it is a zero that can still be differentiated.
"""

import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.reduction import masked_mean


def hard_generator_loss(
    d_fake: Tensor, d_negative: Tensor, beta1: float, beta2: float, valid: Tensor | None = None
) -> Tensor:
    """Eq. 4: [beta1 - d(x, G_hard(x))]+ + [d(x, G_hard(x)) + beta2 - d(x, x_n)]+, averaged.

    d_fake, d_negative [n]: d(x, G_hard(x)) and d(x, x_n); valid [n] bool, None for all. Returns a scalar.
    """
    values = F.relu(beta1 - d_fake) + F.relu(d_fake + beta2 - d_negative)
    return masked_mean(values, valid)


def hard_or_view_embedding_loss(
    d_positive: Tensor, d_fake: Tensor, alpha: float, valid: Tensor | None = None
) -> Tensor:
    """Eq. 5 and Eq. 10, which are one hinge: [d(x, x_p) + alpha - d(x, G(x))]+, averaged.

    G is G_hard in Eq. 5 (L_D_hard) and G_view in Eq. 10 (L_D_view): in both D_emb keeps a generated image farther from
    its input than another image of the vehicle.

    d_positive, d_fake [n]: d(x, x_p) and d(x, G(x)); valid [n] bool, None for all. Returns a scalar.
    """
    return masked_mean(F.relu(d_positive + alpha - d_fake), valid)


hard_embedding_loss = view_embedding_loss = hard_or_view_embedding_loss
"""Its names for Eq. 5 and for Eq. 10 in earlier versions."""


def view_generator_loss(d_fake: Tensor, d_negative: Tensor, alpha: float, valid: Tensor | None = None) -> Tensor:
    """Eq. 9: [d(x, G_view(x)) + alpha - d(x, x_n)]+, averaged (the minus sign inside d is a misprint).

    d_fake, d_negative [n]: d(x, G_view(x)) and d(x, x_n); valid [n] bool, None for all. Returns a scalar.
    """
    return masked_mean(F.relu(d_fake + alpha - d_negative), valid)


def twin_loss(d_twin: Tensor, d_fake: Tensor, alpha: float, valid: Tensor | None = None) -> Tensor:
    """[d(x, twin) + alpha - d(x, G_hard(x))]+, averaged: an edit without identity stays nearer than one with it.

    d_twin, d_fake: [n]; valid [n] bool, None for all. Eq. 5 with the twin in the place of x_p: the same operation made
    both, so that the traces of editing do not tell them apart. Returns a scalar.
    """
    return masked_mean(F.relu(d_twin + alpha - d_fake), valid)
