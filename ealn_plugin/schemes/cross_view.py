"""Cross-view generators: Eq. 9 to 14 of the paper."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses import adversarial, hinges
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.models.discriminators import patchgan_70
from ealn_plugin.models.generators import resnet_generator_9blocks
from ealn_plugin.schemes.base import Batch, Fakes, Loss, detached, where
from ealn_plugin.schemes.view_scheme import ViewScheme


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
        front_to_rear: nn.Module | None = None,
        rear_to_front: nn.Module | None = None,
        front_discriminator: nn.Module | None = None,
        rear_discriminator: nn.Module | None = None,
        alpha: float = 0.6,
        lambda_ed: float = 1.0,
        lambda_cyc: float = 10.0,
        embedding_off_epochs: int | None = None,
        distance: str = "squared",
        negatives: str = "random",
        gan_loss: str = "vanilla",
        adaptive_weight: float = 0.0,
    ) -> None:
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

    def begin_epoch(self, epoch: int, max_epoch: int) -> None:
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

    def turn(self, images: Tensor, view: str) -> Tensor:
        """Images of the opposite view by the generator that makes ``view``."""
        return self.generators[view](images)

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """Eq. 13: L_view + lambda_cyc L_cyc + lambda_ed L_G_view, summed over both directions."""
        fakes_of = {target: fake for target, fake in fakes.items() if len(fake.anchor_index)}
        if not fakes_of:
            return batch.images.new_zeros(()), {}
        total, parts = self.embedding_constraint(batch, fakes_of, embed)
        for target, (images, anchor) in fakes_of.items():
            back = "front" if target == "rear" else "rear"
            realism = adversarial.generator_adversarial_loss(self.discriminators[target](images), self.gan_loss)
            cycle = adversarial.cycle_loss(batch.images[anchor], self.turn(images, back))
            total = total + realism + self.lambda_cyc * cycle
            parts.update({f"loss/G_{target}_gan": realism, f"loss/G_{target}_cycle": cycle})
        return total, detached(parts)

    def embedding_constraint(
        self, batch: Batch, fakes_of: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]
    ) -> Loss:
        """(lambda_ed L_G_view, parts): Eq. 9 summed over both directions."""
        total, parts = batch.images.new_zeros(()), {}
        d_negative, valid = self.distance_to_negatives(batch)
        for target, d_fake in self.distances_to_fakes(batch, fakes_of, embed).items():
            anchor = fakes_of[target].anchor_index
            near = hinges.view_generator_loss(d_fake, d_negative[anchor], self.alpha, valid[anchor])
            total = total + near
            parts.update({f"loss/G_{target}_near": near, f"distance/{target}": d_fake.mean()})
        return self.lambda_ed * total, parts

    def distances_to_fakes(
        self, batch: Batch, fakes_of: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """{view: d(x, G_view(x)) [n]}, all fakes embedded in one go."""
        sizes = [len(fake.anchor_index) for fake in fakes_of.values()]
        embeddings = embed(torch.cat([fake.images for fake in fakes_of.values()])).split(sizes)
        return {
            target: distances.distance(batch.embedded()[fake.anchor_index], embedding, self.distance)
            for (target, fake), embedding in zip(fakes_of.items(), embeddings)
        }

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """Eq. 14 without the embedding term: -L_view (Eq. 11 and 12)."""
        total, parts = batch.images.new_zeros(()), {}
        for target, view in (("rear", View.REAR), ("front", View.FRONT)):
            real = batch.images[where(batch.views == view, batch.images.device)]
            if not len(real) or not len(fakes[target].anchor_index):
                continue  # a batch without one of the views says nothing about this direction
            judge = self.discriminators[target]
            loss = adversarial.discriminator_adversarial_loss(judge(real), judge(fakes[target].images), self.gan_loss)
            total = total + loss
            parts[f"loss/D_{target}"] = loss
        return total, detached(parts)

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """Eq. 14's other term: lambda_ed L_D_view (Eq. 10); the engine leaves it out while not active."""
        embeddings = torch.cat([fake["rear"][0], fake["front"][0]])
        anchor = torch.cat([fake["rear"][1], fake["front"][1]])
        loss, _ = self.pushed_away(batch, real, embeddings, anchor)
        weight, parts = self.embedding_weight(batch, ["loss/G_rear_near", "loss/G_front_near"])
        return weight * loss, detached({**parts, "loss/E_view": loss})
