"""XVGAN, one of the methods of the paper's Table I: the other view made from a code, and a metric on both views."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses import adversarial
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_margins, check_not_negative
from ealn_plugin.losses.contrastive import contrastive_loss
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.losses.selection import select_shown
from ealn_plugin.losses.transfer import to_device
from ealn_plugin.losses.wasserstein import domain_loss
from ealn_plugin.models.xvgan import NOISE, CrossViewDecoder
from ealn_plugin.schemes.base import Batch, Fakes, Loss, detached, where
from ealn_plugin.schemes.view_scheme import ViewScheme


class XVGANScheme(ViewScheme):
    """XVGAN (Zhou and Shao, BMVC 2017): the other view of a vehicle from its code and the centre of that view's codes.

    An encoder E gives a code a of the vehicle and a code p of the viewpoint. With the vehicle k and the view v of an
    image x, the other view w, its other view G = G(a, noise, centre of w), and y a random real image of k that shows w,

        encoder       CE(k | a) + CE(v | p), of all images whose view is known for the second,
        generators    -log D(G) + lambda_cls (CE_D(k | G) + CE_D(w | G)) + lambda_rec |G - y|,
        discriminator -log D(x) - log(1 - D(G)) + lambda_cls (CE_D(k | x) + CE_D(v | x)).

    D_emb learns the metric on both views together: the contrastive loss of the features [front half, rear half], the
    real one where there is one and the generated one for the other, which is also the feature that is tested
    (``ealn.fusion by_view``). Side images and images of unknown view have their own feature twice, as in all schemes of
    other views; they teach the encoder nevertheless.

    What the source leaves open or has otherwise: see docs/compared.md.

    Args:
        encoder, classifier, decoder, discriminator: ``VehicleEncoder``, ``CodeClassifier``, ``CrossViewDecoder``,
            ``VehicleDiscriminator``.
        lambda_cls: weight of the discriminator's classification; lambda_rec: of |G - y|, in units of the pixels.
        margin: of the contrastive loss, in units of d. lambda_ed: weight of that loss.
        distance, gan_loss: as in ``Scheme``.
    """

    name = "xvgan"
    in_warmup = True

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        decoder: CrossViewDecoder,
        discriminator: nn.Module,
        lambda_cls: float = 1.0,
        lambda_rec: float = 10.0,
        margin: float = 1.0,
        lambda_ed: float = 1.0,
        distance: str = "squared",
        gan_loss: str = "vanilla",
    ) -> None:
        super().__init__(
            {"encoder": encoder, "classifier": classifier, "decoder": decoder},
            {"vehicles": discriminator},
            lambda_ed=lambda_ed,
            distance=distance,
            gan_loss=gan_loss,
        )
        check_not_negative("lambda_cls", lambda_cls)
        check_not_negative("lambda_rec", lambda_rec)
        check_margins(distance, margin=margin)
        self.lambda_cls, self.lambda_rec, self.margin = lambda_cls, lambda_rec, margin

    @property
    def turning(self) -> nn.ModuleDict:
        """The networks that ``turn`` needs: not the classifier."""
        return nn.ModuleDict({name: self.generators[name] for name in ("encoder", "decoder")})

    def probe(self, images: Tensor) -> None:
        """All networks, one behind the other."""
        made = self.turn(images, "front")
        if made.shape != images.shape:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels reached an XVGAN that makes "
                f"{made.shape[-2]}x{made.shape[-1]}; build its decoder with image_size set to the image size"
            )
        self.generators["classifier"](*self.generators["encoder"](images))
        self.discriminators["vehicles"](made)

    def turn(self, images: Tensor, view: str) -> Tensor:
        """Images of the opposite view, with noise 0, its mean: a test must give one feature for an image."""
        attributes, _ = self.generators["encoder"](images)
        return self._decoded(attributes, attributes.new_zeros(attributes.shape[0], NOISE), view)

    def _decoded(self, attributes: Tensor, noise: Tensor, view: str) -> Tensor:
        labels = torch.full((attributes.shape[0],), int(View[view.upper()]), dtype=torch.long, device=noise.device)
        return self.generators["decoder"](attributes, noise, labels)

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """A rear image of every front image ('rear') and a front image of every rear image ('front'), with noise."""
        device = batch.images.device
        index = {target: where(batch.views == source, device) for target, source in (("rear", 0), ("front", 1))}
        noise = torch.randn(len(batch.images), NOISE, generator=batch.random)
        noise = to_device(noise, device).to(batch.images.dtype)
        if not any(map(len, index.values())):
            return {target: Fakes(batch.images[:0], chosen) for target, chosen in index.items()}
        attributes, _ = self.generators["encoder"](batch.images)
        return {
            target: Fakes(
                self._decoded(attributes[chosen], noise[chosen], target) if len(chosen) else batch.images[:0], chosen
            )
            for target, chosen in index.items()
        }

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """The losses of the encoder and the generator; also moves the centres of the views."""
        total, parts = self._code_loss(batch)
        images, anchor = (torch.cat(found) for found in zip(*fakes.values()))
        if not len(anchor):
            return total, detached(parts)
        wanted = self._wanted(fakes)
        scores, vehicles, views = self.discriminators["vehicles"](images)
        realism = adversarial.generator_adversarial_loss(scores, self.gan_loss)
        recognised = domain_loss(vehicles, batch.pids[anchor]) + domain_loss(views, wanted)
        likeness = self._likeness(batch, images, anchor, wanted)
        with torch.no_grad():
            d_fake = distances.distance(batch.embedded()[anchor], embed(images), self.distance)
        parts.update({"loss/G_xv_gan": realism, "loss/G_xv_class": recognised, "loss/G_xv_likeness": likeness})
        for target, values in zip(fakes, d_fake.split([len(fake.anchor_index) for fake in fakes.values()])):
            if len(values):
                parts[f"distance/{target}"] = values.mean()
        total = total + realism + self.lambda_cls * recognised + self.lambda_rec * likeness
        return total, detached(parts)

    def _code_loss(self, batch: Batch) -> Loss:
        """CE(k | a) + CE(v | p) of the real images."""
        attributes, viewpoint = self.generators["encoder"](batch.images)
        vehicles, views = self.generators["classifier"](attributes, viewpoint)
        on_device = to_device(batch.views, batch.images.device)
        decoder: Any = self.generators["decoder"]
        decoder.learn_centres(viewpoint, on_device)
        known = where(batch.views >= 0, batch.images.device)
        vehicle, view = domain_loss(vehicles, batch.pids), domain_loss(views[known], on_device[known])
        return vehicle + view, {"loss/G_xv_vehicle": vehicle, "loss/G_xv_view": view}

    def _likeness(self, batch: Batch, images: Tensor, anchor: Tensor, wanted: Tensor) -> Tensor:
        """Mean |G - y| of the fakes for which the batch has a y."""
        views = to_device(batch.views, images.device)
        opposite = torch.full_like(views, -2).scatter(0, anchor, wanted)  # no image has the view -2
        partner, valid = select_shown(batch.pids, views, opposite, batch.random)
        difference = (images - batch.images[partner[anchor]]).abs().mean((1, 2, 3))
        return masked_mean(difference, valid[anchor])

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """Real front and rear images against generated ones, and the classification of the real ones."""
        images, anchor = (torch.cat(found) for found in zip(*fakes.values()))
        if not len(anchor):
            return batch.images.new_zeros(()), {}
        judge, real = self.discriminators["vehicles"], batch.images[anchor]
        scores, vehicles, views = judge(real)
        loss = adversarial.discriminator_adversarial_loss(scores, judge(images)[0], self.gan_loss)
        recognised = domain_loss(vehicles, batch.pids[anchor]) + domain_loss(views, 1 - self._wanted(fakes))
        parts = {"loss/D_xv": loss, "loss/D_xv_class": recognised}
        return loss + self.lambda_cls * recognised, detached(parts)

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times the contrastive loss of the joined features [batch, 2 dim]; the own twice without fakes."""
        halves = [real, real]
        if fake:
            halves = [real.index_copy(0, anchor, made) for made, anchor in (fake["front"], fake["rear"])]
        joined = torch.cat(halves, dim=1) / math.sqrt(2.0)
        loss = contrastive_loss(joined, batch.pids, self.margin, self.distance)
        return self.lambda_ed * loss, detached({"loss/E_xvgan": loss})

    def _wanted(self, fakes: Mapping[str, Fakes]) -> Tensor:
        """Labels [n] of the views that the fakes, in their order, should show; 1 - label is the view of the input."""
        return torch.cat(
            [torch.full_like(fake.anchor_index, int(View[target.upper()])) for target, fake in fakes.items()]
        )
