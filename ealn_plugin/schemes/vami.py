"""VAMI, one of the methods of the paper's Table I: multi-view features inferred from one image, against real ones."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ealn_plugin.losses import adversarial
from ealn_plugin.losses.checks import check_margins, check_not_negative
from ealn_plugin.losses.contrastive import contrastive_loss
from ealn_plugin.losses.distance import distance as row_distance
from ealn_plugin.losses.parts import parts_loss
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.losses.selection import select_shown
from ealn_plugin.losses.transfer import to_device
from ealn_plugin.losses.wasserstein import domain_loss
from ealn_plugin.models.embedding import l2_normalize
from ealn_plugin.models.multi_view import REGION, VIEWS
from ealn_plugin.schemes.base import Batch, Fakes, Loss, Scheme, detached, where


class VAMIScheme(Scheme):
    """VAMI (Zhou and Shao, CVPR 2018): the feature f of one image has to pass for r, that of real images of several
    views of its vehicle. D_emb is a ``MultiViewNetwork``.

    With D the discriminator, v the view of an image and k its vehicle, s_w the single-view feature of a random image of
    k that shows w, of the image itself for w = v, and r = G_r(s_front, s_rear, s_side), scaled to length 1,

        D_emb  contrastive(f) + CE(v) + parts
               + lambda_adv (-log D(f)) + lambda_cls CE_D(k | f) + lambda_rec |f - r|^2      once G_r and D have begun
        G_r    lambda_cls CE_D(k | r) + contrastive(r)
        D      -log D(r) - log(1 - D(f)) + lambda_cls (CE_D(k | r) + CE_D(k | f)),

    the last two of the images that have an r. CE(v) and ``parts_loss`` are of the images whose view is known. A view
    that no image of the vehicle in the batch shows has the mean of those that are shown in its place; an image whose
    vehicle shows fewer than two views has no r.
    Stages as in the source, by ``ealn.warmup_epochs`` and ``ealn.warmup_generator_epochs``: D_emb by the first line,
    then G_r and D alone, then all of them. What the source leaves open or has otherwise: see docs/compared.md.

    Args:
        real, discriminator: ``RealMultiViewNetwork`` and ``FeatureDiscriminator``.
        lambda_adv, lambda_cls, lambda_rec: weights of the losses above.
        margin: of the contrastive losses, in units of d. lambda_ed: weight of all losses of D_emb.
        distance, gan_loss: as in ``Scheme``.
    """

    name = "vami"
    in_warmup = True
    needs_outputs = ("single", "views", "parts")
    uses_outputs = True

    def __init__(
        self,
        real: nn.Module,
        discriminator: nn.Module,
        lambda_adv: float = 0.1,
        lambda_cls: float = 1.0,
        lambda_rec: float = 1.0,
        margin: float = 1.0,
        lambda_ed: float = 1.0,
        distance: str = "squared",
        gan_loss: str = "vanilla",
    ) -> None:
        networks = {"real": real}, {"features": discriminator}
        super().__init__(*networks, lambda_ed=lambda_ed, distance=distance, gan_loss=gan_loss)
        for name, value in (("lambda_adv", lambda_adv), ("lambda_cls", lambda_cls), ("lambda_rec", lambda_rec)):
            check_not_negative(name, value)
        check_margins(distance, margin=margin)
        self.lambda_adv, self.lambda_cls, self.lambda_rec, self.margin = lambda_adv, lambda_cls, lambda_rec, margin
        self.adversarial = True

    def begin_epoch(self, epoch: int, max_epoch: int) -> None:
        """In the warm-up D_emb learns without G_r and D, which have learned nothing yet."""
        self.adversarial = epoch >= 0

    def check(self, views: Tensor, height: int, width: int) -> None:
        """Refuse training images of fewer than two views."""
        super().check(views, height, width)
        counts = [int((views == view).sum()) for view in range(VIEWS)]
        if sum(count > 0 for count in counts) < 2:
            raise ValueError(
                f"VAMI needs training images of two views and more, but of {len(views)} images {counts[0]} are "
                f"labelled front, {counts[1]} rear and {counts[2]} side; put a viewpoints.csv or the key-point "
                "files into the dataset folder (see datasets.md)"
            )

    def probe(self, images: Tensor) -> None:
        """Both networks, which see features and no images."""
        self.discriminators["features"](self.generators["real"](images.new_zeros(1, VIEWS, REGION)))

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """No images."""
        return {}

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """The loss of G_r."""
        real, valid = self._real_features(batch)
        recognised = _identity_loss(self.discriminators["features"](real)[1], batch.pids, valid)
        apart = contrastive_loss(real, batch.pids, self.margin, self.distance, valid)
        parts = {"loss/G_vami_class": recognised, "loss/G_vami_contrastive": apart}
        return self.lambda_cls * recognised + apart, detached(parts)

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """The loss of D: features of real images of several views against inferred ones."""
        judge = self.discriminators["features"]
        with torch.no_grad():
            features, valid = self._real_features(batch)
        (real, real_vehicles), (fake, fake_vehicles) = judge(features), judge(batch.embedded())
        loss = adversarial.discriminator_adversarial_loss(real, fake, self.gan_loss, valid[:, None])
        both = (_identity_loss(logits, batch.pids, valid) for logits in (real_vehicles, fake_vehicles))
        recognised = sum(both, batch.images.new_zeros(()))
        parts = {"loss/D_vami": loss, "loss/D_vami_class": recognised}
        return loss + self.lambda_cls * recognised, detached(parts)

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """The loss of D_emb, which plays the generator of the game."""
        known = where(batch.views >= 0, real.device)
        views = to_device(batch.views, real.device)[known]
        parts = {
            "loss/E_contrastive": contrastive_loss(real, batch.pids, self.margin, self.distance),
            "loss/E_viewpoint": domain_loss(batch.outputs["views"][known], views),
            "loss/E_parts": parts_loss(batch.outputs["parts"][known], views),
        }
        total = torch.stack(list(parts.values())).sum()
        if self.adversarial:
            more, seen = self._adversarial_loss(batch, real)
            total, parts = total + more, {**parts, **seen}
        return self.lambda_ed * total, detached(parts)

    def _adversarial_loss(self, batch: Batch, inferred: Tensor) -> Loss:
        """What the inferred features have to do with G_r and D."""
        scores, vehicles = self.discriminators["features"](inferred)
        realism = adversarial.generator_adversarial_loss(scores, self.gan_loss)
        recognised = domain_loss(vehicles, batch.pids)
        with torch.no_grad():
            target, valid = self._real_features(batch)
        likeness = masked_mean(row_distance(inferred, target), valid)
        parts = {"loss/E_realism": realism, "loss/E_vehicle": recognised, "loss/E_likeness": likeness}
        return self.lambda_adv * realism + self.lambda_cls * recognised + self.lambda_rec * likeness, parts

    def _real_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(r [batch, 512], valid [batch] bool: it has several views to be made of)."""
        slots, valid = real_slots(batch.outputs["single"], batch)
        return l2_normalize(self.generators["real"](slots)), valid


def _identity_loss(logits: Tensor, pids: Tensor, valid: Tensor) -> Tensor:
    return masked_mean(F.cross_entropy(logits, pids, reduction="none"), valid)


def real_slots(single: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """For each image the single-view features of images of its vehicle that show front, rear and side.

    Args:
        single: [batch, dim]. batch: with pids, views and random.
    Returns:
        ([batch, 3, dim], valid [batch] bool: two views and more are shown). See ``VAMIScheme`` for what is missing.
    """
    views = to_device(batch.views, single.device)
    slots, shown = [], []
    for view in range(VIEWS):
        index, valid = select_shown(batch.pids, views, torch.full_like(views, view), batch.random)
        index = torch.where(views == view, torch.arange(len(views), device=views.device), index)
        slots.append(single[index])
        shown.append(valid)
    found, there = torch.stack(slots, 1), torch.stack(shown, 1)
    weight = there.to(single.dtype)[:, :, None]
    mean = (found * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    return torch.where(there[:, :, None], found, mean), there.sum(1) >= 2
