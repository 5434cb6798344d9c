"""Losses of the paper as pure functions of tensors.

distance.py: the hinges in embedding space (Eq. 2-5, 9, 10) and the choice of positives and negatives;
adversarial.py: real against fake (Eq. 6, 11) and cycle consistency; metric.py: the embedding network on real
images; wasserstein.py: the losses of StarGAN; adaptive.py: the weight of synthetic samples. None of them
waits for the device: nothing is read back.
The function `distance` is not lifted to this level, where the module of that name stands.
"""

from .adaptive import synthetic_weight
from .adversarial import cycle_loss, discriminator_adversarial_loss, generator_adversarial_loss
from .distance import (
    check_choice,
    check_margins,
    hard_embedding_loss,
    hard_generator_loss,
    pairwise_distance,
    select_negatives,
    select_positives,
    view_embedding_loss,
    view_generator_loss,
)
from .metric import embedding_network_loss, identity_loss, triplet_loss
from .wasserstein import critic_loss, domain_loss, gradient_penalty, score_loss

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
