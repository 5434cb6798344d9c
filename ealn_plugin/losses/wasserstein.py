"""StarGAN's losses: Wasserstein critic with gradient penalty, and the classification of domains.

Sources: Choi et al., StarGAN, CVPR 2018 (Eq. 2, 3 and 8); Gulrajani et al., Improved Training of Wasserstein
GANs, NeurIPS 2017 (the penalty). Its reconstruction loss is `cycle_loss`.
"""

import torch
import torch.nn.functional as F

from ealn_plugin.losses.reduction import masked_mean


def critic_loss(real_scores, fake_scores):
    """What the critic minimises: -E[D(x)] + E[D(G(x))], averaged over all scores of any shape -> scalar.

    Without real or without fake scores a zero with a gradient.
    """
    if real_scores.numel() == 0 or fake_scores.numel() == 0:
        return (real_scores * 0.0).sum() + (fake_scores * 0.0).sum()
    return masked_mean(fake_scores) - masked_mean(real_scores)


def score_loss(fake_scores):
    """What the generator minimises: -E[D(G(x))] -> scalar; without scores a zero with a gradient."""
    return -masked_mean(fake_scores)


def gradient_penalty(critic, real, fake, generator=None):
    """E[(||grad D(z)|| - 1)^2] at random points z on the lines between real and generated images -> scalar.

    The gradient is that of the sum of an image's scores with respect to all of its values, as in StarGAN's
    released code. It can be differentiated with respect to the critic's parameters.

    Args:
        critic: images to scores of any shape [batch, ...], each depending on its own image alone.
        real, fake [batch, 3, h, w]: pairs; no gradient flows back into them.
        generator: a torch.Generator on the CPU, None for torch's global state. One number in [0, 1) is drawn per
            pair, on the CPU, so that a seed gives the same points on every device.

    An empty batch gives zero. Raises ValueError if the shapes differ.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"gradient_penalty got real images {tuple(real.shape)} and generated ones "
            f"{tuple(fake.shape)}; both must have the same shape, a pair per row"
        )
    if len(real) == 0:
        return real.new_zeros(())
    share = torch.rand(len(real), 1, 1, 1, generator=generator, dtype=torch.float64).to(real)
    points = (share * real.detach() + (1.0 - share) * fake.detach()).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1.0).pow(2).mean()


def domain_loss(logits, labels):
    """Cross-entropy of logits [n, domains] against domains labels [n] -> scalar, for domains of which an image has one.

    StarGAN's L_cls: of real images for the critic, of generated ones and their wanted domain for the generator.
    Without images a zero with a gradient.
    """
    return masked_mean(F.cross_entropy(logits, labels, reduction="none"))
