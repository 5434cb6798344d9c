"""The methods that the paper compares its cross views with (Table III): CycleGAN and StarGAN.

Both make the other view for the fused feature, as CrossViewScheme does, but neither looks at the embedding space while
learning, and D_emb learns nothing from what they make: it stays EN, or Hard-EALN beside a HardNegativeScheme. That is
the paper's reading of them: they "do not constrain the feature distances between the generated cross-view samples and
the given inputs" (section IV-B).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ealn_plugin.losses import adversarial, wasserstein
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.models.stargan import StarGANDiscriminator, StarGANGenerator
from ealn_plugin.schemes.base import Batch, Fakes, Loss, detached
from ealn_plugin.schemes.cross_view import CrossViewScheme
from ealn_plugin.schemes.view_scheme import ViewScheme


class CycleGANScheme(CrossViewScheme):
    """CycleGAN (Zhu et al., ICCV 2017): the cross views of EALN without the embedding constraint.

    Eq. 11 and 12 with lambda_cyc L_cyc, neither Eq. 9 for the generators nor Eq. 10 for D_emb; networks, adversarial
    loss and everything else as in CrossViewScheme, so that the difference between the two is that constraint.
    The released CycleGAN further has least squares (``gan_loss='lsgan'``), half the discriminators' loss, and a
    store of earlier fakes; the paper mentions none of them.

    Args: as in ``CrossViewScheme``; ``distance`` is that of the logged d(x, G(x)).
    """

    name = "cyclegan"
    embedding_active = False

    def __init__(
        self,
        front_to_rear: nn.Module | None = None,
        rear_to_front: nn.Module | None = None,
        front_discriminator: nn.Module | None = None,
        rear_discriminator: nn.Module | None = None,
        lambda_cyc: float = 10.0,
        distance: str = "squared",
        gan_loss: str = "vanilla",
    ) -> None:
        super().__init__(
            front_to_rear,
            rear_to_front,
            front_discriminator,
            rear_discriminator,
            lambda_ed=0.0,
            lambda_cyc=lambda_cyc,
            distance=distance,
            gan_loss=gan_loss,
        )

    def begin_epoch(self, epoch: int, max_epoch: int) -> None:
        """Nothing changes between epochs: there is no Eq. 10 to switch off."""

    @torch.no_grad()
    def embedding_constraint(
        self, batch: Batch, fakes_of: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]
    ) -> Loss:
        """No constraint, only the distances that it would have looked at."""
        by_target = self.distances_to_fakes(batch, fakes_of, embed)
        return batch.images.new_zeros(()), {f"distance/{target}": d_fake.mean() for target, d_fake in by_target.items()}

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """Nothing: D_emb does not learn from CycleGAN's images."""
        return real.new_zeros(()), {}


class StarGANScheme(ViewScheme):
    """StarGAN (Choi et al., CVPR 2018): one generator for both directions, told the wanted view.

    The critic minimises   -E D(x) + E D(G(x, v)) + lambda_gp GP + lambda_cls CE(C(x), view of x),
    the generator          -E D(G(x, v)) + lambda_cls CE(C(G(x, v)), v) + lambda_rec |x - G(G(x, v), view of x)|,
    where v is the opposite view. StarGAN draws v at random among all domains; with two of them half of the draws
    would be the view that an image has already, which no test asks for. StarGAN updates the critic five times per
    update of the generator: ``discriminator_steps`` of the engine.

    Args:
        generator: ``StarGANGenerator`` of two domains; default that of the paper's size.
        discriminator: ``StarGANDiscriminator`` of two domains; default for 224x224 pixels.
        lambda_cls, lambda_rec, lambda_gp: 1, 10 and 10 in StarGAN.
        distance: 'squared' or 'euclidean', of the logged d(x, G(x)).
    """

    name = "stargan"
    embedding_active = False
    differentiated_twice = ("critic",)
    LABELS = {"front": 0, "rear": 1}

    def __init__(
        self,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        lambda_cls: float = 1.0,
        lambda_rec: float = 10.0,
        lambda_gp: float = 10.0,
        distance: str = "squared",
    ) -> None:
        super().__init__(
            {"any": generator or StarGANGenerator(blocks=9)},
            {"critic": discriminator or StarGANDiscriminator()},
            lambda_ed=0.0,
            distance=distance,
        )
        for name, value in (("lambda_cls", lambda_cls), ("lambda_rec", lambda_rec), ("lambda_gp", lambda_gp)):
            check_not_negative(name, value)
        self.lambda_cls, self.lambda_rec, self.lambda_gp = lambda_cls, lambda_rec, lambda_gp

    def probe(self, images: Tensor) -> None:
        """The critic and the generator, which also wants a label."""
        self.discriminators["critic"](self.turn(images, "front"))

    def turn(self, images: Tensor, view: str) -> Tensor:
        """Images of the opposite view, by the one generator."""
        return self.generators["any"](images, self._labels(view, images))

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """Adversarial, classification and reconstruction loss of the generator."""
        images, anchor = (torch.cat(parts) for parts in zip(*fakes.values()))
        if not len(anchor):
            return batch.images.new_zeros(()), {}
        scores, logits = self.discriminators["critic"](images)
        realism = wasserstein.score_loss(scores)
        domain = wasserstein.domain_loss(logits, self._wanted(fakes))
        again = self.generators["any"](images, 1 - self._wanted(fakes))
        reconstruction = adversarial.cycle_loss(batch.images[anchor], again)
        with torch.no_grad():
            d_fake = distances.distance(batch.embedded()[anchor], embed(images), self.distance)
        parts = {"loss/G_star_gan": realism, "loss/G_star_domain": domain, "loss/G_star_cycle": reconstruction}
        for target, values in zip(fakes, d_fake.split([len(fake.images) for fake in fakes.values()])):
            if len(values):
                parts[f"distance/{target}"] = values.mean()
        return realism + self.lambda_cls * domain + self.lambda_rec * reconstruction, detached(parts)

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """Critic loss with gradient penalty, and the classification of the real images."""
        images, anchor = (torch.cat(parts) for parts in zip(*fakes.values()))
        if not len(anchor):
            return batch.images.new_zeros(()), {}
        critic, real = self.discriminators["critic"], batch.images[anchor]  # each fake beside the image it is made of
        scores, logits = critic(real)
        loss = wasserstein.critic_loss(scores, critic(images)[0])
        domain = wasserstein.domain_loss(logits, 1 - self._wanted(fakes))
        penalty = wasserstein.gradient_penalty(lambda points: critic(points)[0], real, images, batch.random)
        parts = {"loss/D_star": loss, "loss/D_star_domain": domain, "loss/D_star_penalty": penalty}
        return loss + self.lambda_cls * domain + self.lambda_gp * penalty, detached(parts)

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """Nothing: D_emb does not learn from StarGAN's images."""
        return real.new_zeros(()), {}

    def _labels(self, view: str, images: Tensor) -> Tensor:
        return torch.full((images.shape[0],), self.LABELS[view], dtype=torch.long, device=images.device)

    def _wanted(self, fakes: Mapping[str, Fakes]) -> Tensor:
        """Labels [n] of the views that the fakes, in their order, should show; 1 - label is the view of the input."""
        return torch.cat([self._labels(target, fake.images) for target, fake in fakes.items()])
