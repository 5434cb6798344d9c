"""What a scheme is: one adversary, the questions that the engine asks it, and what all schemes share.

A scheme holds its generators and discriminators, either of which may be none, and answers what the engine asks in its
three phases; the engine knows nothing of what happens inside.
"""

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ealn_plugin.losses import adversarial, checks, hinges, selection
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.adaptive import synthetic_weight
from ealn_plugin.losses.checks import check_not_negative
from ealn_plugin.losses.transfer import to_device

Loss = tuple[torch.Tensor, dict[str, torch.Tensor]]  # a scalar to be minimised, and what of it is logged, detached


def _unknown_embedding(images: Tensor) -> Tensor:
    raise ValueError("this batch has no embeddings, and no D_emb to make some; set uses_embeddings in the scheme")


@dataclass(frozen=True)
class Batch:
    """What the schemes see of one training batch.

    Attributes:
        images: [batch, 3, height, width] in [-1, 1].
        pids: [batch] identity labels.
        views: [batch] values of ``View``, on the CPU: choosing images by view must not wait for the device.
        groups: [batch] images with the same number share colour and type; -1 where unknown.
        models: [batch] code of the vehicle's model, 0 to 999; -1 where unknown. None: of all of them.
        embeddings: [batch, dim] L2-normalised, of ``images`` under the frozen D_emb in evaluation mode.
        random: source of every random choice, on the CPU.
        generator_losses: {name: detached tensor} that the schemes' ``generator_loss`` returned in this step, once the
            generators' phase is over; {} before it and in steps without one.
        embed: images [n, 3, h, w] in [-1, 1] to embeddings by the frozen D_emb in evaluation mode, without a graph;
            there whenever ``embeddings`` are.
        companions: {kind: images [batch, 3, height, width] in [-1, 1]} of the kinds that a scheme names in its own
            ``companions``, one beside each of ``images``: 'lookalike', a true hard negative; 'donor', an image of
            another vehicle that looks much like it; 'own', such an image of the same vehicle; 'twin', the vehicle
            turned round.
        outputs: {name: [batch, ...]} what D_emb gave beside the embeddings of ``images`` in the embedding phase:
            'logits' and what else its backbone returns; in the other phases those of the frozen D_emb, without
            'logits', where a scheme has ``uses_outputs``, else {}.
        fake_outputs: {kind of fake: {name: [n, ...]}} the same of the scheme's own fakes; empty where none were made.
    """

    images: torch.Tensor
    pids: torch.Tensor
    views: torch.Tensor
    groups: torch.Tensor
    embeddings: torch.Tensor | None = None
    random: torch.Generator | None = field(default=None, repr=False)
    embed: Callable[[Tensor], Tensor] = field(default=_unknown_embedding, repr=False)
    companions: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)
    models: torch.Tensor | None = None
    outputs: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)
    fake_outputs: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict, repr=False)

    def embedded(self) -> Tensor:
        """``embeddings``, where a loss cannot do without them.

        Raises:
            ValueError: the batch has none.
        """
        if self.embeddings is None:
            raise ValueError(
                "the batch has no embeddings (None), expected [batch, dim]; give Batch the embeddings of its images "
                "under the frozen D_emb"
            )
        return self.embeddings

    generator_losses: dict = field(default_factory=dict, repr=False)


class Fakes(NamedTuple):
    """Generated images [n, 3, height, width] in [-1, 1] and the batch positions [n] of the images they came from."""

    images: torch.Tensor
    anchor_index: torch.Tensor

    def detach(self) -> "Fakes":
        """The same images, cut from the generators' graph."""
        return Fakes(self.images.detach(), self.anchor_index)


class Scheme(nn.Module, abc.ABC):
    """Base of all schemes: holds ``generators`` and ``discriminators`` and the hyper-parameters all of them share.

    Args:
        generators, discriminators: networks by name, to be called as modules, ``network(images)``: between several
            processes that is where the rows of a batch are shared (sharing.py).
        alpha: margin of Eq. 5, 9 and 10, in units of d.
        lambda_ed: weight of the embedding losses, Eq. 7, 8, 13 and 14.
        distance: d of Eq. 2, 'squared' or 'euclidean'.
        negatives: how x_n is drawn, 'random' (the paper), 'semi_hard', 'hardest' or 'attribute'.
        gan_loss: 'vanilla' (Eq. 6 and 11) or 'lsgan'.
        adaptive_weight: 0 (the paper), or the beta of ``synthetic_weight``: D_emb's loss on the fakes then counts the
            less, the farther their generator is from satisfying its own embedding loss.
    """

    name = "scheme"
    makes_other_view = False  # whether ``other_view`` is there for the fused feature
    fusion_weight = 1.0  # of that view in the fused feature, in [0, 1]
    chooses_weight = False  # whether that weight is to be chosen on training vehicles
    added: tuple[str, ...] = ()  # entries of the state that checkpoints of earlier versions do not have
    companions: tuple[str, ...] = ()  # kinds of ``Batch.companions`` that the batches have to bring
    donors = 1  # of how many of the nearest images 'donor' and 'own' are drawn
    shown_with: tuple[
        str, ...
    ] = ()  # kinds of companions, 'donor' and 'own', that ``pictures`` takes as a third argument
    # names of networks whose gradient is differentiated again, by a gradient penalty
    differentiated_twice: tuple[str, ...] = ()
    uses_embeddings: bool | None = None  # whether it looks at ``Batch.embeddings``; None: if it has generators
    embedding_active = True  # whether D_emb minimises this scheme's embedding loss at the moment
    in_warmup = False  # whether it does so in the warm-up of D_emb too; ``embedding_loss`` is then given no fakes
    needs_outputs: tuple[str, ...] = ()  # names that ``Batch.outputs`` has to hold: what the backbone must return
    uses_outputs = False  # whether ``Batch.outputs`` must hold those of the frozen D_emb in the adversarial phases
    needs_models = False  # whether training images must have a model in ``Batch.models``
    uses: tuple[str, ...] = ()  # what of a test image the feature is made of beyond its pixels, such as 'view'

    def __init__(
        self,
        generators: Mapping[str, nn.Module],
        discriminators: Mapping[str, nn.Module],
        alpha: float = 0.6,
        lambda_ed: float = 1.0,
        distance: str = "squared",
        negatives: str = "random",
        gan_loss: str = "vanilla",
        adaptive_weight: float = 0.0,
    ) -> None:
        super().__init__()
        checks.check_choice("negatives", negatives, selection.NEGATIVES)
        checks.check_choice("gan_loss", gan_loss, adversarial.KINDS)
        checks.check_margins(distance, alpha=alpha)
        check_not_negative("lambda_ed", lambda_ed)
        check_not_negative("adaptive_weight", adaptive_weight)
        self.generators, self.discriminators = nn.ModuleDict(generators), nn.ModuleDict(discriminators)
        self.alpha, self.lambda_ed, self.distance = alpha, lambda_ed, distance
        self.negatives, self.gan_loss, self.adaptive_weight = negatives, gan_loss, adaptive_weight
        if self.uses_embeddings is None:
            self.uses_embeddings = bool(len(self.generators))

    def check(self, views: Tensor, height: int, width: int) -> None:
        """Refuse training data that the scheme cannot learn from.

        Args:
            views: [images] values of ``View`` of the training set.
            height, width: image size in pixels.
        Raises:
            ValueError: one sentence.
        """
        device = next(self.parameters(), torch.zeros(())).device
        with torch.no_grad():
            self.probe(torch.zeros(1, 3, height, width, device=device))

    def probe(self, images: Tensor) -> None:
        """Run every network on images [1, 3, height, width]: each refuses sizes that it cannot take."""
        for network in (*self.generators.values(), *self.discriminators.values()):
            network(images)

    def begin_epoch(self, epoch: int, max_epoch: int) -> None:
        """Called before each epoch. Joint epochs count from 0; ``epoch`` is below 0 in a warm-up, of ``max_epoch``."""

    @abc.abstractmethod
    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """{name: Fakes}, with the generators' graph when gradients are enabled."""

    @abc.abstractmethod
    def generator_loss(self, batch: Batch, fakes: Mapping[str, Fakes], embed: Callable[[Tensor], Tensor]) -> Loss:
        """(scalar, {name: detached tensor}) minimised by the generators.

        Args:
            fakes: what ``generate`` returned, with its graph.
            embed: images in [-1, 1] to L2-normalised embeddings by the frozen D_emb in evaluation mode.
        """

    @abc.abstractmethod
    def discriminator_loss(self, batch: Batch, fakes: Mapping[str, Fakes]) -> Loss:
        """(scalar, {name: detached tensor}) minimised by the discriminators; ``fakes`` are detached."""

    @abc.abstractmethod
    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """(scalar, {name: detached tensor}) that D_emb minimises beside the loss of EN.

        Args:
            real: [batch, dim] embeddings of the real images.
            fake: {name: (embeddings [n, dim], anchor_index [n])} of each kind of fake.
        """

    def other_view(self, images: Tensor, views: Tensor) -> Tensor:
        """Images [n, 3, h, w] of the opposite view, where ``makes_other_view``.

        Args:
            images: [n, 3, h, w] in [-1, 1].
            views: [n] values of ``View``.
        """
        return images

    def pictures(self, images: Tensor, views: Tensor) -> dict[str, Tensor]:
        """{name: images [n, 3, h, w]}: what a person should see of the scheme for the given images.

        A scheme with ``shown_with`` is given a third argument, {kind: images [n, 3, h, w]} of the kinds named there.
        """
        return {}

    # ------------------------------------------------------------------------------------------ shared pieces
    def distance_to_negatives(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """d(x, x_n) [batch] under the frozen D_emb and which entries are valid [batch]."""
        embeddings = batch.embedded()
        index, valid = self.negatives_of(batch, embeddings)
        return distances.distance(embeddings, embeddings[index], self.distance), valid

    def negatives_of(self, batch: Batch, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """x_n of every image, drawn as ``negatives`` says by these embeddings: (index [batch], valid [batch])."""
        embeddings = embeddings.detach()
        pairwise = distances.pairwise_distance(embeddings, embeddings, self.distance)
        d_positive = None
        if self.negatives == "semi_hard":
            d_positive, _ = self.distance_to_positives(batch, embeddings)
        return selection.select_negatives(
            pairwise, batch.pids, self.negatives, groups=batch.groups, generator=batch.random, d_positive=d_positive
        )

    def distance_to_positives(self, batch: Batch, real: Tensor) -> tuple[Tensor, Tensor]:
        """d(x, x_p) [batch] for random positives and which entries are valid [batch]."""
        index, valid = selection.select_positives(batch.pids, generator=batch.random)
        return distances.distance(real, real[index], self.distance), valid

    def pushed_away(
        self, batch: Batch, real: Tensor, fake: Tensor, anchor: Tensor, valid: Tensor | bool = True
    ) -> tuple[Tensor, Tensor]:
        """Eq. 5, which is Eq. 10 as well, and the distances that it looks at.

        Args:
            real: [batch, dim] embeddings; fake: [n, dim], made from the images anchor [n].
            valid: [n] bool, fakes that count, or True for all.
        Returns:
            (scalar, d(x, fake) [n]).
        """
        d_positive, has_positive = self.distance_to_positives(batch, real)
        d_fake = distances.distance(real[anchor], fake, self.distance)
        valid = has_positive[anchor] & valid
        return hinges.hard_or_view_embedding_loss(d_positive[anchor], d_fake, self.alpha, valid), d_fake

    def embedding_weight(self, batch: Batch, names: Iterable[str]) -> tuple[Tensor | float, dict[str, Tensor]]:
        """The weight of D_emb's loss on the fakes: lambda_ed, times ``synthetic_weight`` with adaptive_weight.

        Args:
            batch: Batch with the losses of the generators' phase of this step.
            names: those among them that are Eq. 4 or Eq. 9, whose mean is the L of ``synthetic_weight``.
        Returns:
            (weight, {name: tensor} to log).
        """
        constraint = [batch.generator_losses[name] for name in names if name in batch.generator_losses]
        if not self.adaptive_weight or not constraint:
            return self.lambda_ed, {}
        weight = synthetic_weight(sum(constraint) / len(constraint), self.adaptive_weight)
        return self.lambda_ed * weight, {f"weight/{self.name}": weight}


def where(mask: Tensor, device: torch.device) -> Tensor:
    """Positions [k] at which a mask [n] on the CPU is set, on ``device``."""
    return to_device(mask.nonzero().flatten(), device)


def detached(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values without their graph."""
    return {name: value.detach() for name, value in parts.items()}
