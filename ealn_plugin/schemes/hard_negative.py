"""The hard-negative generator of the paper: Eq. 3 to 8.

What a scheme is, is in base.py; the paper's ablation is composition: [] is EN, [HardNegativeScheme()] is Hard-EALN, and
with CrossViewScheme() behind it Hard-View-EALN.
"""

import torch

from ealn_plugin.losses import adversarial, checks, hinges
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.models.discriminators import patchgan_70
from ealn_plugin.models.generators import resnet_generator_9blocks
from ealn_plugin.models.reconstructing import ReconstructingGenerator
from ealn_plugin.schemes.base import Fakes, Scheme, detached


class HardNegativeScheme(Scheme):
    """Hard negative adversarial learning, Eq. 3-8: G_hard makes an image of another vehicle that lies in a belt
    around its input, beta1 <= d(x, G(x)) <= d(x, x_n) - beta2, and D_emb learns to push it away.

    With reconstructions, a remedy that the paper does not have, the same generator also paints its input again;
    D_emb learns to keep these reconstructions r(x) near x, nearer than the hard negatives and than real negatives:
        L_rec = 1/2 { [d(x, r(x)) + alpha - d(x, G_hard(x))]+ + [d(x, r(x)) + alpha - d(x, x_n)]+ }
    beside Eq. 5, with its weight. To look generated then no longer means to be a negative: the first hinge stays at
    alpha for a network that sees nothing else. The generator minimises lambda_rec |x - r(x)| (L1) as well.

    Args:
        generator: network from images to images in [-1, 1]; default ``resnet_generator_9blocks``, or a
            ``ReconstructingGenerator`` with reconstructions, which need its method ``both``.
        discriminator: network from images to logits, D_rf; default ``patchgan_70``.
        beta1, beta2: the belt of Eq. 3, in units of d.
        reconstructions: use them; False in the paper.
        lambda_rec: weight of the reconstruction's L1, 10 as for CycleGAN's and StarGAN's.
        Others as in ``Scheme``.
    """

    name = "hard"

    def __init__(
        self,
        generator=None,
        discriminator=None,
        alpha=0.6,
        beta1=0.6,
        beta2=0.3,
        lambda_ed=1.0,
        distance="squared",
        negatives="random",
        gan_loss="vanilla",
        adaptive_weight=0.0,
        reconstructions=False,
        lambda_rec=10.0,
    ):
        default = ReconstructingGenerator if reconstructions else resnet_generator_9blocks
        super().__init__(
            {"hard": generator or default()},
            {"real_fake": discriminator or patchgan_70()},
            alpha,
            lambda_ed,
            distance,
            negatives,
            gan_loss,
            adaptive_weight,
        )
        checks.check_margins(distance, beta1=beta1, beta2=beta2)
        check_not_negative("lambda_rec", lambda_rec)
        if reconstructions and not hasattr(self.generators["hard"], "both"):
            raise ValueError(
                f"reconstructions need a generator that makes them, but {type(generator).__name__} has no "
                "method both; give a ReconstructingGenerator"
            )
        self.beta1, self.beta2, self.reconstructions, self.lambda_rec = beta1, beta2, reconstructions, lambda_rec

    def generate(self, batch):
        """One hard negative of every image of the batch, and its reconstruction where they are used."""
        everything = torch.arange(len(batch.images), device=batch.images.device)
        if not self.reconstructions:
            return {"hard": Fakes(self.generators["hard"](batch.images), everything)}
        hard, reconstruction = self.generators["hard"].both(batch.images)
        return {"hard": Fakes(hard, everything), "reconstruction": Fakes(reconstruction, everything)}

    def generator_loss(self, batch, fakes, embed):
        """Eq. 7: L_rf + lambda_ed L_G_hard."""
        images = fakes["hard"].images
        realism = adversarial.generator_adversarial_loss(self.discriminators["real_fake"](images), self.gan_loss)
        d_fake = distances.distance(batch.embeddings, embed(images), self.distance)
        d_negative, valid = self.distance_to_negatives(batch)
        belt = hinges.hard_generator_loss(d_fake, d_negative, self.beta1, self.beta2, valid)
        self.remember_misfit(belt)
        total = realism + self.lambda_ed * belt
        parts = {
            "loss/G_hard_gan": realism,
            "loss/G_hard_belt": belt,
            "distance/hard": d_fake.mean(),
            "distance/hard_change": (images - batch.images).abs().mean(),
        }
        if self.reconstructions:
            again = adversarial.cycle_loss(batch.images, fakes["reconstruction"].images)
            total = total + self.lambda_rec * again
            parts["loss/G_hard_reconstruction"] = again
        return total, detached(parts)

    def discriminator_loss(self, batch, fakes):
        """Eq. 8 without the embedding term: -L_rf."""
        judge = self.discriminators["real_fake"]
        loss = adversarial.discriminator_adversarial_loss(
            judge(batch.images), judge(fakes["hard"].images), self.gan_loss
        )
        return loss, detached({"loss/D_rf": loss})

    def embedding_loss(self, batch, real, fake):
        """Eq. 8's other term: lambda_ed L_D_hard (Eq. 5), and L_rec where it is used."""
        loss, d_fake = self.pushed_away(batch, real, *fake["hard"])
        weight, parts = self.embedding_weight()
        parts["loss/E_hard"] = loss
        if self.reconstructions:
            positive, d_positive = self._kept_near(batch, real, fake["reconstruction"][0], d_fake)
            parts.update({"loss/E_reconstruction": positive, "distance/reconstruction": d_positive})
            loss = loss + positive
        return weight * loss, detached(parts)

    def _kept_near(self, batch, real, reconstruction, d_fake):
        """L_rec and the mean d(x, r(x)); every image of the batch has a reconstruction."""
        d_same = distances.distance(real, reconstruction, self.distance)
        index, valid = self.negatives_of(batch, real)
        d_negative = distances.distance(real, real[index], self.distance)
        loss = 0.5 * (
            hinges.hard_embedding_loss(d_same, d_fake, self.alpha)
            + hinges.hard_embedding_loss(d_same, d_negative, self.alpha, valid)
        )
        return loss, d_same.mean()

    def pictures(self, images, views):
        """The hard negative of each image, and its reconstruction where they are used."""
        if not self.reconstructions:
            return {"hard": self.generators["hard"](images)}
        return dict(zip(("hard", "reconstruction"), self.generators["hard"].both(images)))
