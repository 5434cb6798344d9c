"""Cross-view generators: Eq. 9 to 14 of the paper."""

import torch

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses import adversarial, hinges
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.models.discriminators import patchgan_70
from ealn_plugin.models.generators import resnet_generator_9blocks
from ealn_plugin.schemes.base import ViewScheme, detached, where


class CrossViewScheme(ViewScheme):
    """Cross-view adversarial learning, Eq. 9-14: two generators turn front into rear images and back, near their
    input in the embedding space; at test time they make the other half of the fused feature.

    Side images and images of unknown view take no part in it.

    Args:
        front_to_rear, rear_to_front: generators; default ``resnet_generator_9blocks``.
        front_discriminator, rear_discriminator: D_A and D_B, real against generated images of one view; default
            ``patchgan_70``.
        lambda_cyc: weight of the cycle loss in Eq. 13 (10, as in CycleGAN).
        embedding_off_epochs: last epochs in which D_emb no longer minimises Eq. 10 (10 of 50 in the paper);
            None: a fifth of the joint epochs.
        Others as in ``Scheme``.
    """

    name = "view"

    def __init__(
        self,
        front_to_rear=None,
        rear_to_front=None,
        front_discriminator=None,
        rear_discriminator=None,
        alpha=0.6,
        lambda_ed=1.0,
        lambda_cyc=10.0,
        embedding_off_epochs=None,
        distance="squared",
        negatives="random",
        gan_loss="vanilla",
        adaptive_weight=0.0,
    ):
        # A network is named after the view it makes or judges.
        super().__init__(
            {"rear": front_to_rear or resnet_generator_9blocks(), "front": rear_to_front or resnet_generator_9blocks()},
            {"rear": rear_discriminator or patchgan_70(), "front": front_discriminator or patchgan_70()},
            alpha,
            lambda_ed,
            distance,
            negatives,
            gan_loss,
            adaptive_weight,
        )
        check_not_negative("lambda_cyc", lambda_cyc)
        if embedding_off_epochs is not None:
            check_not_negative("embedding_off_epochs", embedding_off_epochs)
        self.lambda_cyc, self.embedding_off_epochs = lambda_cyc, embedding_off_epochs

    def begin_epoch(self, epoch, max_epoch):
        """Switch Eq. 10 off in the last epochs (section III-E of the paper).

        Raises:
            ValueError: it would be off in all of them.
        """
        off = max_epoch // 5 if self.embedding_off_epochs is None else self.embedding_off_epochs
        if off >= max_epoch:
            raise ValueError(
                f"embedding_off_epochs is {off}, expected fewer than the {max_epoch} joint epochs: the "
                "embedding network would never learn from the cross views; lower "
                "ealn.view_embedding_off_epochs or train longer"
            )
        self.embedding_active = epoch < max_epoch - off

    def turn(self, images, view):
        """Images of the opposite view by the generator that makes ``view``."""
        return self.generators[view](images)

    def generator_loss(self, batch, fakes, embed):
        """Eq. 13: L_view + lambda_cyc L_cyc + lambda_ed L_G_view, summed over both directions."""
        made_of = {made: fake for made, fake in fakes.items() if len(fake.anchor_index)}
        if not made_of:
            return batch.images.new_zeros(()), {}
        total, parts = self.embedding_constraint(batch, made_of, embed)
        for made, (images, anchor) in made_of.items():
            back = "front" if made == "rear" else "rear"
            realism = adversarial.generator_adversarial_loss(self.discriminators[made](images), self.gan_loss)
            cycle = adversarial.cycle_loss(batch.images[anchor], self.turn(images, back))
            total = total + realism + self.lambda_cyc * cycle
            parts.update({f"loss/G_{made}_gan": realism, f"loss/G_{made}_cycle": cycle})
        return total, detached(parts)

    def embedding_constraint(self, batch, made_of, embed):
        """(lambda_ed L_G_view, parts): Eq. 9 summed over both directions."""
        total, parts = batch.images.new_zeros(()), {}
        d_negative, valid = self.distance_to_negatives(batch)
        for made, d_fake in self.distances_to_fakes(batch, made_of, embed).items():
            anchor = made_of[made].anchor_index
            near = hinges.view_generator_loss(d_fake, d_negative[anchor], self.alpha, valid[anchor])
            total = total + near
            parts.update({f"loss/G_{made}_near": near, f"distance/{made}": d_fake.mean()})
        self.remember_misfit(total / len(made_of))
        return self.lambda_ed * total, parts

    def distances_to_fakes(self, batch, made_of, embed):
        """{view: d(x, G_view(x)) [n]}, all fakes embedded in one go."""
        sizes = [len(fake.anchor_index) for fake in made_of.values()]
        embeddings = embed(torch.cat([fake.images for fake in made_of.values()])).split(sizes)
        return {
            made: distances.distance(batch.embeddings[fake.anchor_index], embedding, self.distance)
            for (made, fake), embedding in zip(made_of.items(), embeddings)
        }

    def discriminator_loss(self, batch, fakes):
        """Eq. 14 without the embedding term: -L_view (Eq. 11 and 12)."""
        total, parts = batch.images.new_zeros(()), {}
        for made, view in (("rear", View.REAR), ("front", View.FRONT)):
            real = batch.images[where(batch.views == view, batch.images.device)]
            if not len(real) or not len(fakes[made].anchor_index):
                continue  # a batch without one of the views says nothing about this direction
            judge = self.discriminators[made]
            loss = adversarial.discriminator_adversarial_loss(judge(real), judge(fakes[made].images), self.gan_loss)
            total = total + loss
            parts[f"loss/D_{made}"] = loss
        return total, detached(parts)

    def embedding_loss(self, batch, real, fake):
        """Eq. 14's other term: lambda_ed L_D_view (Eq. 10); the engine leaves it out while not active."""
        embeddings = torch.cat([fake["rear"][0], fake["front"][0]])
        anchor = torch.cat([fake["rear"][1], fake["front"][1]])
        loss, _ = self.pushed_away(batch, real, embeddings, anchor)
        weight, parts = self.embedding_weight()
        return weight * loss, detached({**parts, "loss/E_view": loss})
