"""Controls without any generator: what cheap negatives give that no network had to be trained for.

A gain of the hard negatives counts for what it is only beyond these and beyond EN with ``triplets='batch_hard'``
(Hermans et al., In Defense of the Triplet Loss, 2017), the third control, which needs no scheme: better mining of real
negatives. All of them train D_emb alone.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.models.embedding import l2_normalize
from ealn_plugin.schemes.base import Batch, Fakes, Loss, Scheme, detached


class Control(Scheme):
    """A scheme without networks: Eq. 5 on negatives that need no training."""

    def __init__(
        self, alpha: float = 0.6, lambda_ed: float = 1.0, distance: str = "squared", negatives: str = "random"
    ) -> None:
        super().__init__({}, {}, alpha, lambda_ed, distance, negatives)

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """No images."""
        return {}

    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """Nothing to train."""
        return batch.images.new_zeros(()), {}

    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """Nothing to train."""
        return batch.images.new_zeros(()), {}


class MixedNegativesScheme(Control):
    """Negatives mixed in feature space, in the place of G_hard(x) in Eq. 5:

        m = u f(x) + (1 - u) f(x_n), scaled to length 1, u uniform in [0, 1/2) for each image.

    The mixture of an anchor with a real negative of MoCHi (Kalantidis et al., Hard Negative Mixing for Contrastive
    Learning, NeurIPS 2020), whose share of the anchor stays below one half as well, so that the mixture remains a
    negative; mixing as such is mixup's (Zhang et al., ICLR 2018). Gradients flow through both images.

    Args: as in ``Scheme``; ``negatives`` says how x_n is drawn (MoCHi mixes the hardest).
    """

    name = "mix"

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times Eq. 5 on the mixtures."""
        index, valid = self.negatives_of(batch, real)
        share = 0.5 * torch.rand(len(real), 1, generator=batch.random, dtype=torch.float64).to(real)
        mixed = l2_normalize(share * real + (1.0 - share) * real[index])
        everything = torch.arange(len(real), device=real.device)
        loss, d_mixed = self.pushed_away(batch, real, mixed, everything, valid)
        return self.lambda_ed * loss, detached({"loss/E_mix": loss, "distance/mix": masked_mean(d_mixed, valid)})


class TrueHardNegativesScheme(Control):
    """The renderer's hard negatives in the place of G_hard(x) in Eq. 5: the same shot, the vehicle with other marks.

    What a perfect generator would give, and so the room for any other; only rendered datasets can tell it. Each image
    comes with one of its lookalikes, drawn by chance and augmented as the image itself.

    Args: as in ``Scheme``.
    """

    name = "truth"
    companions = ("lookalike",)

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """The lookalikes of the batch.

        Raises:
            ValueError: it has none.
        """
        if "lookalike" not in batch.companions:
            raise ValueError("the batch has no lookalikes, expected one of every image; train with EALNEngine.run")
        everything = torch.arange(len(batch.images), device=batch.images.device)
        return {"truth": Fakes(batch.companions["lookalike"], everything)}

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times Eq. 5 on the lookalikes."""
        loss, d_truth = self.pushed_away(batch, real, *fake["truth"])
        return self.lambda_ed * loss, detached({"loss/E_truth": loss, "distance/truth": d_truth.mean()})


class PerturbedCopiesScheme(Control):
    """Randomly perturbed copies of the images in the place of the generated hard negatives of Eq. 5.

    See ``perturb`` for what is done to them: by chance what the paper reports its generator to have learned.

    Args:
        strength: of the perturbation; 0 leaves the images as they are, 1 is the whole range of ``perturb``.
        Others as in ``Scheme``.
    """

    name = "perturb"

    def __init__(
        self, alpha: float = 0.6, lambda_ed: float = 1.0, distance: str = "squared", strength: float = 1.0
    ) -> None:
        super().__init__(alpha, lambda_ed, distance)
        check_not_negative("strength", strength)
        self.strength = strength

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """One perturbed copy of every image of the batch."""
        everything = torch.arange(len(batch.images), device=batch.images.device)
        return {"perturb": Fakes(perturb(batch.images, batch.random, self.strength), everything)}

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times Eq. 5 on the copies."""
        loss, d_copy = self.pushed_away(batch, real, *fake["perturb"])
        return self.lambda_ed * loss, detached({"loss/E_perturb": loss, "distance/perturb": d_copy.mean()})

    def pictures(self, images: Tensor, views: Tensor) -> dict[str, Tensor]:
        """A copy of each image, always the same."""
        return {"perturb": perturb(images, torch.Generator().manual_seed(0), self.strength)}


def perturb(images: Tensor, random: torch.Generator | None = None, strength: float = 1.0) -> Tensor:
    """Copies of images [n, 3, h, w] in [-1, 1] with another brightness and contrast and one region wiped out.

    Contrast is scaled by up to 30% and each channel shifted by up to 0.15; a rectangle of 2% to 10% of the image, with
    sides up to 3.3 to 1, takes the image's mean colour. The rectangle is that of Random Erasing (Zhong et al.,
    AAAI 2020), smaller than its 40% because the paper's hard negatives lose a sticker and not half a car; contrast and
    colour are what the paper sees its generator change first (section IV-C).

    Args:
        random: torch.Generator on the CPU, None for torch's global state.
        strength: factor on the changes of colour and on the area.
    Returns:
        Images of the same shape and range.
    """
    count, _, height, width = images.shape
    drawn = torch.rand(count, 8, generator=random, dtype=torch.float64)
    middle = images.mean((2, 3), keepdim=True)
    gain = 1.0 + strength * 0.3 * (2.0 * drawn[:, 0] - 1.0)
    shift = strength * 0.15 * (2.0 * drawn[:, 1:4] - 1.0)
    gain, shift = gain.view(-1, 1, 1, 1).to(images), shift.view(-1, 3, 1, 1).to(images)
    copies = middle + gain * (images - middle) + shift
    inside = _rectangles(drawn[:, 4:], height, width, strength).to(images.device)
    return torch.where(inside, middle + shift, copies).clamp(-1.0, 1.0)


def _rectangles(drawn: Tensor, height: int, width: int, strength: float) -> Tensor:
    """[n, 1, height, width] bool, one rectangle each from numbers [n, 4] in [0, 1): area, shape, position."""
    area = strength * (0.02 + 0.08 * drawn[:, 0]) * height * width
    ratio = 3.3 ** (2.0 * drawn[:, 1] - 1.0)
    spans = []
    sides = (area * ratio).sqrt(), (area / ratio).sqrt()
    for size, side, place in zip((height, width), sides, (drawn[:, 2], drawn[:, 3])):
        side = side.clamp(max=size)[:, None]
        start = place[:, None] * (size - side)
        pixels = torch.arange(size, dtype=torch.float64)[None] + 0.5
        spans.append((pixels >= start) & (pixels < start + side))
    return (spans[0][:, :, None] & spans[1][:, None, :])[:, None]
