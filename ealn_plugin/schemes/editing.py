"""Hard negatives that differ from their input in small regions only, as two vehicles of one model and colour do.

A generator that may change the whole picture under Eq. 4 learns a fine pattern that moves the embedding, and D_emb
learns to see the pattern. Here only regions change, D_emb's gradient reaches no pixel, and the belt of Eq. 3 is kept
by choosing among several edits. Beside each negative goes a neutral edit, made by the same operation where nothing of
identity lies, as a positive: so the traces of editing say nothing.
"""

import abc
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ealn_plugin.losses import adversarial, checks, edits, hinges, selection
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.losses.transfer import to_device
from ealn_plugin.models.discriminators import patchgan_70
from ealn_plugin.models.editing_generator import EditingGenerator, draw_regions, seams
from ealn_plugin.schemes.base import Batch, Fakes, Loss, Scheme, detached

CONTENTS = ("repaint", "paste", "blend")
NEUTRAL = ("none", "least", "own")


class Edits(NamedTuple):
    """``Fakes`` that know what was edited: images [n, 3, h, w] in [-1, 1], anchor_index [n], regions [n, 1, h, w]."""

    images: torch.Tensor
    anchor_index: torch.Tensor
    regions: torch.Tensor

    def detach(self) -> "Edits":
        """The same images, cut from the generators' graph."""
        return Edits(self.images.detach(), self.anchor_index, self.regions)


class RegionScheme(Scheme):
    """Base of the schemes whose negatives are edits of regions: draws, makes and chooses them; Eq. 5 on them.

    Args:
        generators, discriminators: as in ``Scheme``.
        neutral: the positives beside the negatives. 'none'; 'least', of the candidates the one that changes least;
            'own', the same regions pasted from another image of the same vehicle and view.
        choose: which of the candidates become negative and neutral edit, see ``choose_edits``.
        candidates: edits made of each image.
        number, radii: of the ellipses, see ``draw_regions``.
        donors: of how many of the training images that look most alike the pasted content is drawn, and the own
            vehicle's for neutral='own' and choose='persistent'; 0: they are those of the batch.
        beta1, beta2: belt of Eq. 3, for choose='belt', in units of d.
        Others as in ``Scheme``.
    """

    pastes = False  # whether edits take their content from other images of the batch

    def __init__(
        self,
        generators: Any,
        discriminators: Any,
        alpha: float = 0.6,
        lambda_ed: float = 1.0,
        distance: str = "squared",
        gan_loss: str = "vanilla",
        negatives: str = "random",
        beta1: float = 0.6,
        beta2: float = 0.3,
        neutral: str = "least",
        choose: str = "pixels",
        candidates: int = 3,
        number: Any = (1, 3),
        radii: Any = (0.04, 0.125),
        donors: int = 0,
    ) -> None:
        super().__init__(generators, discriminators, alpha, lambda_ed, distance, negatives, gan_loss)
        checks.check_margins(distance, beta1=beta1, beta2=beta2)
        checks.check_choice("neutral", neutral, NEUTRAL)
        checks.check_choice("choose", choose, edits.CHOICES)
        _check_regions(candidates, number, radii, neutral)
        check_not_negative("donors", donors)
        if neutral == "own" and not self.pastes:
            raise ValueError(
                "neutral is 'own', expected 'least' or 'none': only pasted edits have one of the own vehicle"
            )
        self.beta1, self.beta2, self.neutral, self.choose = beta1, beta2, neutral, choose
        self.candidates, self.number, self.radii = candidates, tuple(number), tuple(radii)
        self.chosen_by_embedding = choose in ("embedding", "belt")
        self.donors = donors
        self.shown_with = ("donor",) * self.pastes + ("own",) * (neutral == "own")
        if donors:
            uses_own = neutral == "own" or choose == "persistent"
            self.companions = ("donor",) * self.pastes + ("own",) * uses_own

    @abc.abstractmethod
    def edit(self, images: Tensor, partners: Tensor | None, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(edited images [n, 3, h, w], changed [n, 1, h, w] bool) of images in regions; equal outside ``changed``.

        Args:
            partners: [n, 3, h, w] images whose content may be pasted, or None where the scheme pastes nothing.
        """

    def _partners(self, batch: Batch) -> Tensor:
        """[n, 3, h, w] images of other vehicles: donors, or of the batch those of the same view and group where there
        are any; the image itself where there is no other vehicle."""
        if self.donors:
            return batch.companions["donor"]
        views = to_device(batch.views, batch.pids.device)
        return batch.images[selection.select_partners(batch.pids, views, batch.groups, batch.random)]

    def _own(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(another image [n, 3, h, w] of each vehicle in the same view, whether there is one [n])."""
        if self.donors:
            return batch.companions["own"], torch.ones_like(batch.pids, dtype=torch.bool)
        index, valid = selection.select_own(batch.pids, to_device(batch.views, batch.pids.device))
        return batch.images[index], valid

    @torch.no_grad()
    def generate(self, batch: Batch) -> dict[str, Any]:
        """An edit of every image that is to be a negative, and one that is to stay a positive."""
        partners = self._partners(batch) if self.pastes else None
        made, changed, regions = self._candidates(batch.images, partners, batch.random)
        negative, near = self._choose(batch, made, changed)
        everything = torch.arange(len(batch.images), device=batch.images.device)

        def taken(index: Tensor) -> Edits:
            return Edits(made[index, everything], everything, changed[index, everything])

        fakes = {self.name: taken(negative)}
        if self.neutral == "least":
            fakes["neutral"] = taken(near)
        elif self.neutral == "own":
            own, _ = self._own(batch)
            edited, where = self.edit(batch.images, own, regions[negative, everything])
            fakes["neutral"] = Edits(edited, everything, where)
        return fakes

    def _candidates(
        self, images: Tensor, partners: Tensor | None, random: torch.Generator | None
    ) -> tuple[Tensor, ...]:
        """(edits [k, n, 3, h, w], changed and regions [k, n, 1, h, w] bool), all of them made in one go."""
        count, k = len(images), self.candidates
        regions = to_device(
            draw_regions(k * count, images.shape[-2], images.shape[-1], self.number, self.radii, random), images.device
        )
        repeated = images.repeat(k, 1, 1, 1)
        edited, changed = self.edit(repeated, None if partners is None else partners.repeat(k, 1, 1, 1), regions)
        return tuple(value.view(k, count, *value.shape[1:]) for value in (edited, changed, regions))

    def _choose(self, batch: Batch, made: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        """(negative [n], neutral [n]): numbers of candidates."""
        changes = edits.edit_changes(batch.images, made, changed)
        d_edit = d_negative = own = None
        if self.choose == "persistent":
            others, valid = self._own(batch)
            own, _ = edits.edit_changes(batch.images, others, changed)
            own = own * valid
        if self.chosen_by_embedding:
            embedded = batch.embed(made.flatten(0, 1)).view(*made.shape[:2], -1)
            d_edit = torch.stack([distances.distance(batch.embedded(), one, self.distance) for one in embedded])
            d_negative, _ = self.distance_to_negatives(batch)
        total, mean = changes
        return edits.choose_edits(self.choose, total, mean, d_edit, d_negative, self.beta1, self.beta2, own)

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times Eq. 5 on the negatives, and L_twin where there are neutral edits.

        Edits that could not be made - pasted ones of an image without a partner in the batch - do not count.
        """
        valid: Any = True
        if self.pastes and not self.donors:
            valid = selection.negative_mask(batch.pids).any(dim=1)
        loss, d_fake = self.pushed_away(batch, real, *fake[self.name], valid)
        parts = {f"loss/E_{self.name}": loss, f"distance/{self.name}": d_fake.mean()}
        if "neutral" in fake:
            has_twin = torch.ones_like(d_fake, dtype=torch.bool) & valid
            if self.neutral == "own":
                has_twin = has_twin & self._own(batch)[1]
            d_twin = distances.distance(real[fake["neutral"][1]], fake["neutral"][0], self.distance)
            near = hinges.twin_loss(d_twin, d_fake, self.alpha, has_twin)
            parts.update({"loss/E_neutral": near, "distance/neutral": d_twin.mean()})
            loss = loss + near
        return self.lambda_ed * loss, detached(parts)

    @torch.no_grad()
    def pictures(
        self, images: Tensor, views: Tensor, companions: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The negative of each image and its neutral edit, always the same; chosen by pixels, without D_emb.

        Args:
            companions: {"donor": images of other vehicles to paste from, "own": other images of the same vehicles},
                [n, 3, h, w] each. Without donors they are the images half the list away; without own ones no neutral
                edits are made of them.
        """
        companions = companions or {}
        partners = None
        if self.pastes:
            partners = companions.get("donor", images.roll(len(images) // 2, dims=0))
        places = zlib.crc32(images.detach().cpu().numpy().tobytes())  # other images, other places
        made, changed, regions = self._candidates(images, partners, torch.Generator().manual_seed(places))
        negative, near = edits.choose_edits("pixels", *edits.edit_changes(images, made, changed))
        everything = torch.arange(len(images), device=images.device)
        shown = {self.name: made[negative, everything]}
        if self.neutral == "least":
            shown["neutral"] = made[near, everything]
        elif self.neutral == "own" and "own" in companions:
            shown["neutral"], _ = self.edit(images, companions["own"], regions[negative, everything])
        return shown


class EditingScheme(RegionScheme):
    """Hard negative adversarial learning whose generator may change regions only, G(x, m) = x outside m, R(x(1-m), m)
    inside, R an ``EditingGenerator``.

    R minimises lambda_l1 |x - R| in holes of real images (L1) + lambda_rf times the generator's part of Eq. 6, and,
    with pixel_weight, that times Eq. 4. D_rf minimises -L_rf of Eq. 6; it is given the regions as a fourth channel and
    judged where it looks at them.

    Args:
        generator: network from (images, regions) to images; default ``EditingGenerator``.
        discriminator: network from [n, 4, h, w], image and regions, to logits; default ``patchgan_70`` of 4 channels.
        content: 'repaint', R paints the regions; 'blend', they are pasted from another vehicle of the batch, of the
            same view where it is known, and R repaints the seams, ``seam`` pixels to each side.
        learn: R and D_rf go on learning while D_emb does; False: they learn in the warm-up alone.
        lambda_l1, lambda_rf, pixel_weight: weights of R's losses.
        Others as in ``RegionScheme``.
    """

    name = "hard"

    def __init__(
        self,
        generator: Any = None,
        discriminator: Any = None,
        content: str = "repaint",
        learn: bool = True,
        lambda_l1: float = 1.0,
        lambda_rf: float = 0.1,
        pixel_weight: float = 0.0,
        seam: int = 1,
        **options: Any,
    ) -> None:
        checks.check_choice("content", content, ("repaint", "blend"))
        self.pastes = content == "blend"
        super().__init__(
            {"hard": generator or EditingGenerator()},
            {"real_fake": discriminator or patchgan_70(in_channels=4)},
            **options,
        )
        for name, value in (("lambda_l1", lambda_l1), ("lambda_rf", lambda_rf), ("pixel_weight", pixel_weight)):
            check_not_negative(name, value)
        self.content, self.learn, self.seam = content, learn, seam
        self.lambda_l1, self.lambda_rf, self.pixel_weight = lambda_l1, lambda_rf, pixel_weight
        self.uses_embeddings = self.chosen_by_embedding or pixel_weight > 0
        self.learning = True

    def begin_epoch(self, epoch: int, max_epoch: int) -> None:
        """Stop learning with the warm-up, where ``learn`` is False."""
        self.learning = self.learn or epoch < 0

    def probe(self, images: Tensor) -> None:
        """Run both networks on images [1, 3, height, width]."""
        regions = torch.ones_like(images[:, :1], dtype=torch.bool)
        self._judge(self.generators["hard"](images, regions), regions)

    def edit(self, images: Tensor, partners: Tensor | None, regions: Tensor) -> tuple[Tensor, Tensor]:
        """See ``RegionScheme``."""
        if self.content == "repaint":
            return self.generators["hard"](images, regions), regions
        border = seams(regions, self.seam)
        return self.generators["hard"](
            torch.where(regions, images if partners is None else partners, images), border
        ), regions | border

    def _judge(self, images: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of D_rf and which of them look at the regions."""
        logits = self.discriminators["real_fake"](torch.cat([images, regions.to(images.dtype)], dim=1))
        return logits, edits.covered_patches(regions, logits)

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """lambda_l1 L1 in holes + lambda_rf L_rf + pixel_weight Eq. 4; nothing while not learning."""
        if not self.learning:
            return batch.images.new_zeros(()), {}
        images = batch.images
        drawn = draw_regions(len(images), images.shape[-2], images.shape[-1], self.number, self.radii, batch.random)
        regions = to_device(drawn, images.device)
        holes = seams(regions, self.seam) if self.pastes else regions
        filled = self.generators["hard"](images, holes)
        again = edits.hole_loss(images, filled, holes)
        edited, changed = filled, holes
        if self.pastes:
            edited, changed = self.edit(images, self._partners(batch), regions)
        logits, covered = self._judge(edited, changed)
        realism = adversarial.generator_adversarial_loss(logits, self.gan_loss, covered)
        total = self.lambda_l1 * again + self.lambda_rf * realism
        parts = {"loss/G_hard_hole": again, "loss/G_hard_gan": realism}
        if self.pixel_weight:
            d_fake = distances.distance(batch.embedded(), embed(edited), self.distance)
            d_negative, valid = self.distance_to_negatives(batch)
            belt = hinges.hard_generator_loss(d_fake, d_negative, self.beta1, self.beta2, valid)
            total = total + self.pixel_weight * belt
            parts["loss/G_hard_belt"] = belt
        return total, detached(parts)

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Any]) -> Loss:
        """-L_rf of Eq. 6 where D_rf looks at the regions of the negatives; nothing while not learning."""
        if not self.learning:
            return batch.images.new_zeros(()), {}
        edited = fakes["hard"]
        on_real, covered = self._judge(batch.images, edited.regions)
        on_fake, _ = self._judge(edited.images, edited.regions)
        loss = adversarial.discriminator_adversarial_loss(on_real, on_fake, self.gan_loss, covered)
        return loss, detached({"loss/D_rf": loss})


def _check_regions(candidates: int, number: Any, radii: Any, neutral: str) -> None:
    least = 2 if neutral == "least" else 1
    if candidates < least:
        raise ValueError(
            f"candidates is {candidates}, expected at least {least}" + (" with neutral 'least'" if least > 1 else "")
        )
    if len(number) != 2 or not 1 <= number[0] <= number[1]:
        raise ValueError(f"number of regions is {list(number)}, expected the fewest and the most, such as [1, 3]")
    if len(radii) != 2 or not 0 < radii[0] <= radii[1] <= 0.5:
        raise ValueError(f"radii of regions are {list(radii)}, expected two shares of the image, such as [0.04, 0.125]")
