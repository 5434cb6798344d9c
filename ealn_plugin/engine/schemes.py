"""The adversarial schemes of EALN: what is generated, and what each side of the game minimises.

A scheme is one adversary. It holds its generators and discriminators and answers what the engine asks in its three
phases; the engine knows nothing of what happens inside, and the paper's ablation is composition:
EN = [], Hard-EALN = [HardNegativeScheme], View-EALN = [CrossViewScheme], Hard-View-EALN = both.
"""
import abc
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses import adversarial
from ealn_plugin.losses import distance as distances
from ealn_plugin.models.discriminators import patchgan_70
from ealn_plugin.models.generators import resnet_generator_9blocks


@dataclass(frozen=True)
class Batch:
    """What the schemes see of one training batch.

    Attributes:
        images: [batch, 3, height, width] in [-1, 1].
        pids: [batch] identity labels.
        views: [batch] values of ``View``, on the CPU: choosing images by view must not wait for the device.
        groups: [batch] images with the same number share colour and type; -1 where unknown.
        embeddings: [batch, dim] L2-normalised, of ``images`` under the frozen D_emb in evaluation mode.
        random: source of every random choice, on the CPU.
    """
    images: torch.Tensor
    pids: torch.Tensor
    views: torch.Tensor
    groups: torch.Tensor
    embeddings: torch.Tensor | None = None
    random: torch.Generator | None = field(default=None, repr=False)


class Fakes(NamedTuple):
    """Generated images [n, 3, height, width] in [-1, 1] and the batch positions [n] of the images they came from."""
    images: torch.Tensor
    anchor_index: torch.Tensor

    def detach(self):
        """The same images, cut from the generators' graph."""
        return Fakes(self.images.detach(), self.anchor_index)


class Scheme(nn.Module, abc.ABC):
    """Base of all schemes: holds ``generators`` and ``discriminators`` and the hyper-parameters all of them share.

    Args:
        generators, discriminators: networks by name.
        alpha: margin of Eq. 5, 9 and 10, in units of d.
        lambda_ed: weight of the embedding losses, Eq. 7, 8, 13 and 14.
        distance: d of Eq. 2, 'squared' or 'euclidean'.
        negatives: how x_n is drawn, 'random' (the paper), 'semi_hard', 'hardest' or 'attribute'.
        gan_loss: 'vanilla' (Eq. 6 and 11) or 'lsgan'.
    """
    name = "scheme"
    makes_other_view = False  # whether ``other_view`` is there for the fused feature
    embedding_active = True   # whether D_emb minimises this scheme's embedding loss at the moment

    def __init__(self, generators, discriminators, alpha=0.6, lambda_ed=1.0, distance="squared", negatives="random",
                 gan_loss="vanilla"):
        super().__init__()
        distances.check_choice("negatives", negatives, distances.NEGATIVES)
        distances.check_choice("gan_loss", gan_loss, adversarial.KINDS)
        distances.check_margins(distance, alpha=alpha)
        _check_not_negative("lambda_ed", lambda_ed)
        self.generators, self.discriminators = nn.ModuleDict(generators), nn.ModuleDict(discriminators)
        self.alpha, self.lambda_ed, self.distance = alpha, lambda_ed, distance
        self.negatives, self.gan_loss = negatives, gan_loss

    def check(self, views, height, width):
        """Refuse training data that the scheme cannot learn from.

        Args:
            views: [images] values of ``View`` of the training set.
            height, width: image size in pixels.
        Raises:
            ValueError: one sentence.
        """
        device = next(self.parameters()).device
        probe = torch.zeros(1, 3, height, width, device=device)
        with torch.no_grad():  # the networks themselves say which sizes they take
            for network in (*self.generators.values(), *self.discriminators.values()):
                network(probe)

    def begin_epoch(self, epoch, max_epoch):
        """Called before each epoch. Joint epochs are counted: ``epoch`` from 0, below 0 in a warm-up, of ``max_epoch``.
        """

    @abc.abstractmethod
    def generate(self, batch):
        """{name: Fakes}, with the generators' graph when gradients are enabled."""

    @abc.abstractmethod
    def generator_loss(self, batch, fakes, embed):
        """(scalar, {name: detached tensor}) minimised by the generators.

        Args:
            fakes: what ``generate`` returned, with its graph.
            embed: images in [-1, 1] to L2-normalised embeddings by the frozen D_emb in evaluation mode.
        """

    @abc.abstractmethod
    def discriminator_loss(self, batch, fakes):
        """(scalar, {name: detached tensor}) minimised by the discriminators; ``fakes`` are detached."""

    @abc.abstractmethod
    def embedding_loss(self, batch, real, fake):
        """(scalar, {name: detached tensor}) that D_emb minimises beside the loss of EN.

        Args:
            real: [batch, dim] embeddings of the real images.
            fake: {name: (embeddings [n, dim], anchor_index [n])} of each kind of fake.
        """

    def other_view(self, images, views):
        """Images [n, 3, h, w] of the opposite view, where ``makes_other_view``.

        Args:
            images: [n, 3, h, w] in [-1, 1].
            views: [n] values of ``View``.
        """
        return images

    def pictures(self, images, views):
        """{name: images [n, 3, h, w]}: what a person should see of the scheme for the given images."""
        return {}

    # ------------------------------------------------------------------------------------------ shared pieces
    def _distance_to_negatives(self, batch):
        """d(x, x_n) [batch] under the frozen D_emb and which entries are valid [batch]."""
        pairwise = distances.pairwise_distance(batch.embeddings, batch.embeddings, self.distance)
        d_positive = None
        if self.negatives == "semi_hard":
            d_positive, _ = self._distance_to_positives(batch, batch.embeddings)
        index, valid = distances.select_negatives(pairwise, batch.pids, self.negatives, groups=batch.groups,
                                                  generator=batch.random, d_positive=d_positive)
        return distances.distance(batch.embeddings, batch.embeddings[index], self.distance), valid

    def _distance_to_positives(self, batch, real):
        index, valid = distances.select_positives(batch.pids, generator=batch.random)
        return distances.distance(real, real[index], self.distance), valid


class HardNegativeScheme(Scheme):
    """Hard negative adversarial learning, Eq. 3-8: G_hard makes an image of another vehicle that lies in a belt
    around its input, beta1 <= d(x, G(x)) <= d(x, x_n) - beta2, and D_emb learns to push it away.

    Args:
        generator: network from images to images in [-1, 1]; default ``resnet_generator_9blocks``.
        discriminator: network from images to logits, D_rf; default ``patchgan_70``.
        beta1, beta2: the belt of Eq. 3, in units of d.
        Others as in ``Scheme``.
    """
    name = "hard"

    def __init__(self, generator=None, discriminator=None, alpha=0.6, beta1=0.6, beta2=0.3, lambda_ed=1.0,
                 distance="squared", negatives="random", gan_loss="vanilla"):
        super().__init__({"hard": generator or resnet_generator_9blocks()},
                         {"real_fake": discriminator or patchgan_70()},
                         alpha, lambda_ed, distance, negatives, gan_loss)
        distances.check_margins(distance, beta1=beta1, beta2=beta2)
        self.beta1, self.beta2 = beta1, beta2

    def generate(self, batch):
        """One hard negative of every image of the batch."""
        everything = torch.arange(len(batch.images), device=batch.images.device)
        return {"hard": Fakes(self.generators["hard"](batch.images), everything)}

    def generator_loss(self, batch, fakes, embed):
        """Eq. 7: L_rf + lambda_ed L_G_hard."""
        images = fakes["hard"].images
        realism = adversarial.generator_adversarial_loss(self.discriminators["real_fake"](images), self.gan_loss)
        d_fake = distances.distance(batch.embeddings, embed(images), self.distance)
        d_negative, valid = self._distance_to_negatives(batch)
        belt = distances.hard_generator_loss(d_fake, d_negative, self.beta1, self.beta2, valid)
        parts = {"loss/G_hard_gan": realism, "loss/G_hard_belt": belt, "distance/hard": d_fake.mean(),
                 "distance/hard_change": (images - batch.images).abs().mean()}
        return realism + self.lambda_ed * belt, _detached(parts)

    def discriminator_loss(self, batch, fakes):
        """Eq. 8 without the embedding term: -L_rf."""
        judge = self.discriminators["real_fake"]
        loss = adversarial.discriminator_adversarial_loss(judge(batch.images), judge(fakes["hard"].images),
                                                          self.gan_loss)
        return loss, _detached({"loss/D_rf": loss})

    def embedding_loss(self, batch, real, fake):
        """Eq. 8's other term: lambda_ed L_D_hard (Eq. 5)."""
        embeddings, anchor = fake["hard"]
        d_positive, valid = self._distance_to_positives(batch, real)
        d_fake = distances.distance(real[anchor], embeddings, self.distance)
        loss = distances.hard_embedding_loss(d_positive[anchor], d_fake, self.alpha, valid[anchor])
        return self.lambda_ed * loss, _detached({"loss/E_hard": loss})

    def pictures(self, images, views):
        """The hard negative of each image."""
        return {"hard": self.generators["hard"](images)}


class CrossViewScheme(Scheme):
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
    makes_other_view = True

    def __init__(self, front_to_rear=None, rear_to_front=None, front_discriminator=None, rear_discriminator=None,
                 alpha=0.6, lambda_ed=1.0, lambda_cyc=10.0, embedding_off_epochs=None, distance="squared",
                 negatives="random", gan_loss="vanilla"):
        # A network is named after the view it makes or judges.
        super().__init__(
            {"rear": front_to_rear or resnet_generator_9blocks(), "front": rear_to_front or resnet_generator_9blocks()},
            {"rear": rear_discriminator or patchgan_70(), "front": front_discriminator or patchgan_70()},
            alpha, lambda_ed, distance, negatives, gan_loss)
        _check_not_negative("lambda_cyc", lambda_cyc)
        if embedding_off_epochs is not None:
            _check_not_negative("embedding_off_epochs", embedding_off_epochs)
        self.lambda_cyc, self.embedding_off_epochs = lambda_cyc, embedding_off_epochs

    def check(self, views, height, width):
        """Also refuses a training set without labelled front and rear images."""
        super().check(views, height, width)
        front, rear = int((views == View.FRONT).sum()), int((views == View.REAR).sum())
        if not front or not rear:
            raise ValueError(
                f"the cross-view scheme needs training images labelled front and rear, but of {len(views)} images "
                f"{front} are front and {rear} are rear; put a viewpoints.csv or the key-point files into the dataset "
                "folder (see datasets.md), or train with ealn.scheme hard")

    def begin_epoch(self, epoch, max_epoch):
        """Switch Eq. 10 off in the last epochs (section III-E of the paper).

        Raises:
            ValueError: it would be off in all of them.
        """
        off = max_epoch // 5 if self.embedding_off_epochs is None else self.embedding_off_epochs
        if off >= max_epoch:
            raise ValueError(f"embedding_off_epochs is {off}, expected fewer than the {max_epoch} joint epochs: the "
                             "embedding network would never learn from the cross views; lower "
                             "ealn.view_embedding_off_epochs or train longer")
        self.embedding_active = epoch < max_epoch - off

    def generate(self, batch):
        """A rear image of every front image ('rear') and a front image of every rear image ('front')."""
        fakes = {}
        for made, source in (("rear", View.FRONT), ("front", View.REAR)):
            index = _where(batch.views == source, batch.images.device)
            images = self.generators[made](batch.images[index]) if len(index) else batch.images[:0]
            fakes[made] = Fakes(images, index)
        return fakes

    def generator_loss(self, batch, fakes, embed):
        """Eq. 13: L_view + lambda_cyc L_cyc + lambda_ed L_G_view, summed over both directions."""
        total, parts = batch.images.new_zeros(()), {}
        made_of = {made: fake for made, fake in fakes.items() if len(fake.anchor_index)}
        if not made_of:
            return total, parts
        d_negative, valid = self._distance_to_negatives(batch)
        sizes = [len(fake.anchor_index) for fake in made_of.values()]
        embeddings = embed(torch.cat([fake.images for fake in made_of.values()])).split(sizes)
        for (made, (images, anchor)), embedding in zip(made_of.items(), embeddings):
            back = "front" if made == "rear" else "rear"
            realism = adversarial.generator_adversarial_loss(self.discriminators[made](images), self.gan_loss)
            cycle = adversarial.cycle_loss(batch.images[anchor], self.generators[back](images))
            d_fake = distances.distance(batch.embeddings[anchor], embedding, self.distance)
            near = distances.view_generator_loss(d_fake, d_negative[anchor], self.alpha, valid[anchor])
            total = total + realism + self.lambda_cyc * cycle + self.lambda_ed * near
            parts.update({f"loss/G_{made}_gan": realism, f"loss/G_{made}_cycle": cycle, f"loss/G_{made}_near": near,
                          f"distance/{made}": d_fake.mean()})
        return total, _detached(parts)

    def discriminator_loss(self, batch, fakes):
        """Eq. 14 without the embedding term: -L_view (Eq. 11 and 12)."""
        total, parts = batch.images.new_zeros(()), {}
        for made, view in (("rear", View.REAR), ("front", View.FRONT)):
            real = batch.images[_where(batch.views == view, batch.images.device)]
            if not len(real) or not len(fakes[made].anchor_index):
                continue  # a batch without one of the views says nothing about this direction
            judge = self.discriminators[made]
            loss = adversarial.discriminator_adversarial_loss(judge(real), judge(fakes[made].images), self.gan_loss)
            total = total + loss
            parts[f"loss/D_{made}"] = loss
        return total, _detached(parts)

    def embedding_loss(self, batch, real, fake):
        """Eq. 14's other term: lambda_ed L_D_view (Eq. 10); the engine leaves it out while not active."""
        embeddings = torch.cat([fake["rear"][0], fake["front"][0]])
        anchor = torch.cat([fake["rear"][1], fake["front"][1]])
        d_positive, valid = self._distance_to_positives(batch, real)
        d_fake = distances.distance(real[anchor], embeddings, self.distance)
        loss = distances.view_embedding_loss(d_positive[anchor], d_fake, self.alpha, valid[anchor])
        return self.lambda_ed * loss, _detached({"loss/E_view": loss})

    def pictures(self, images, views):
        """The other view of each image."""
        return {"other_view": self.other_view(images, views)}

    def other_view(self, images, views):
        """The opposite view of front and rear images; side and unknown images come back as they are."""
        result = images.clone()
        for made, source in (("rear", View.FRONT), ("front", View.REAR)):
            chosen = _where(views == source, images.device)
            if len(chosen):
                result[chosen] = self.generators[made](images[chosen]).to(images.dtype)
        return result


def _where(mask, device):
    return mask.nonzero().flatten().to(device)


def _detached(parts):
    return {name: value.detach() for name, value in parts.items()}


def _check_not_negative(name, value):
    if not value >= 0:
        raise ValueError(f"{name} is {value}, expected 0 or more")
