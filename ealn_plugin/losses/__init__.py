"""Losses of the paper as pure functions of tensors.

distance.py: d of Eq. 2; hinges.py: Eq. 4, 5, 9 and 10; selection.py: the choice of positives and negatives;
adversarial.py: real against fake (Eq. 6, 11) and cycle consistency; embedding_network.py: EN on real images;
wasserstein.py: the losses of StarGAN; adaptive.py: the weight of synthetic samples. None of them waits for the
device: nothing is read back. The function `distance` is not lifted to this level, where the module of that name stands.
"""

from ealn_plugin.losses.adaptive import synthetic_weight
from ealn_plugin.losses.adversarial import cycle_loss, discriminator_adversarial_loss, generator_adversarial_loss
from ealn_plugin.losses.checks import check_choice, check_margins
from ealn_plugin.losses.distance import pairwise_distance
from ealn_plugin.losses.embedding_network import embedding_network_loss, identity_loss, triplet_loss
from ealn_plugin.losses.hinges import hard_embedding_loss, hard_generator_loss, view_embedding_loss, view_generator_loss
from ealn_plugin.losses.selection import select_negatives, select_positives
from ealn_plugin.losses.wasserstein import critic_loss, domain_loss, gradient_penalty, score_loss

__all__ = [
    "check_choice",
    "check_margins",
    "critic_loss",
    "cycle_loss",
    "discriminator_adversarial_loss",
    "domain_loss",
    "embedding_network_loss",
    "generator_adversarial_loss",
    "gradient_penalty",
    "hard_embedding_loss",
    "hard_generator_loss",
    "identity_loss",
    "pairwise_distance",
    "score_loss",
    "select_negatives",
    "select_positives",
    "synthetic_weight",
    "triplet_loss",
    "view_embedding_loss",
    "view_generator_loss",
]
