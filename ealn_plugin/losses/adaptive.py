"""How much synthetic samples should count while their generator is still learning."""

import torch
from torch import Tensor


def synthetic_weight(generator_loss: Tensor, beta: float) -> Tensor:
    """1 - exp(-beta / L): near 1 for a generator that satisfies its constraint, towards 0 for one far from it.

    The weight of synthetic samples in HDML (Zheng et al., Hardness-Aware Deep Metric Learning, CVPR 2019), where L
    is the loss of the generator. There the loss of the real samples gets what is left, exp(-beta / L); here it keeps
    its weight, so that EN stays what it is.

    Args:
        generator_loss: scalar tensor, L >= 0, here that of Eq. 4 or Eq. 9 and so in units of d.
        beta: the loss at which the weight is 0.63, in the same units; 0 gives weight 0.
    Returns a scalar in [0, 1] without a gradient.
    """
    loss = generator_loss.detach()
    smallest = torch.finfo(loss.dtype).tiny
    return -torch.expm1(-beta / loss.clamp(min=smallest))
