"""The paper's alternation as a careful author would first write it: what the engine's step is measured against.

fp32, eager, default layout, torch's own layers and for-loop optimisers; frozen networks are frozen; the fakes are made
again once by the updated generators; every loss is read back in every step. It shares the networks' weights at the
start, EN's loss and the random choice of positives and negatives with the engine, and no other code.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses.embedding_network import embedding_network_loss
from ealn_plugin.losses.selection import select_negatives, select_positives
from ealn_plugin.models.embedding import EmbeddingNetwork
from ealn_plugin.models.modes import running_statistics, untouched_statistics

_DIRECTIONS = (("rear", View.FRONT), ("front", View.REAR))  # view that is made, view that it is made from


class ReferenceStep:
    """A training step with the networks, settings and random state that an engine has now.

    Args:
        engine: EALNEngine with the schemes of the paper.
        embedding_optimizer: function of a backbone that builds its optimiser.
        gan_lr, gan_betas: of Adam, for generators and discriminators.
    Raises:
        ValueError: the engine does what the paper's step does not.
    """

    def __init__(
        self,
        engine: Any,
        embedding_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        gan_lr: float = 0.0002,
        gan_betas: tuple[float, float] = (0.5, 0.999),
    ) -> None:
        _check_paper(engine)
        schemes = {scheme.name: scheme for scheme in engine.schemes}
        self.hard, self.view = schemes.get("hard"), schemes.get("view")  # for their settings; never called
        self.device, self.views_of, self.pixels, self.en = engine.device, engine.views_of, engine.pixels, engine.step.en
        self.embedding = EmbeddingNetwork(stock(engine.model)).train()
        self.generators, self.judges = nn.ModuleDict(), nn.ModuleDict()
        for name, scheme in schemes.items():
            for kind, network in scheme.generators.items():
                self.generators[kind] = stock(network)
            for kind, network in scheme.discriminators.items():
                self.judges["hard" if name == "hard" else kind] = stock(network)
        self.optimizer = embedding_optimizer(self.embedding.backbone)
        self.gan_optimizers = [
            torch.optim.Adam(networks.parameters(), lr=gan_lr, betas=gan_betas)
            for networks in (self.generators, self.judges)
            if len(networks)
        ]
        for optimizer in (self.optimizer, *self.gan_optimizers):
            for group in optimizer.param_groups:
                group.update(foreach=False, fused=False)
        self.random = torch.Generator()
        self.random.set_state(engine.random.get_state())

    def __call__(self, data: Mapping[str, Any]) -> dict[str, float]:
        """Train on one batch of a torchreid loader; returns {name: number}, every loss read back."""
        images, pids = data["img"].to(self.device), data["pid"].to(self.device)
        pictures = self.pixels.to_generator(images)
        views = self.views_of(data["impath"])
        anchors = {"hard": torch.arange(len(images), device=self.device)} if self.hard else {}
        if self.view:
            anchors.update(
                {made: (views == source).nonzero().flatten().to(self.device) for made, source in _DIRECTIONS}
            )
        values = {}
        if len(self.generators):
            self._train_generators(images, pictures, pids, anchors, values)
            with torch.no_grad():
                fakes = self._generate(pictures, anchors)
            self._train_judges(pictures, anchors, fakes, values)
        else:
            fakes = {}
        self._train_embedding(images, pids, anchors, fakes, values)
        return values

    def _generate(self, pictures, anchors):
        return {kind: self.generators[kind](pictures[index]) for kind, index in anchors.items()}

    def _train_generators(self, images, pictures, pids, anchors, values) -> None:
        """Eq. 7 and Eq. 13."""
        self._only(self.generators)
        self.embedding.eval()
        with torch.no_grad():
            real = self.embedding(images)
        fakes = self._generate(pictures, anchors)
        total = torch.zeros((), device=self.device)
        if self.hard:
            realism = F.softplus(-self.judges["hard"](fakes["hard"])).mean()
            d_fake = self._embedded_distance(real, fakes["hard"])
            d_negative, valid = self._negatives(real, pids)
            belt = F.relu(self.hard.beta1 - d_fake) + F.relu(d_fake + self.hard.beta2 - d_negative)
            belt = valid_mean(belt, valid)
            total = total + realism + self.hard.lambda_ed * belt
            values.update({"loss/G_hard_gan": realism.item(), "loss/G_hard_belt": belt.item()})
        if self.view and any(len(anchors[made]) for made, _ in _DIRECTIONS):
            total = total + self._view_loss(real, pictures, pids, anchors, fakes, values)
        self._descend(self.gan_optimizers[0], total)
        values["loss/G"] = total.item()
        self.embedding.train()

    def _view_loss(self, real, pictures, pids, anchors, fakes, values):
        """Eq. 13 over both directions."""
        total = torch.zeros((), device=self.device)
        d_negative, valid = self._negatives(real, pids)
        for made, back in (("rear", "front"), ("front", "rear")):
            index = anchors[made]
            if not len(index):
                continue
            realism = F.softplus(-self.judges[made](fakes[made])).mean()
            cycle = (self.generators[back](fakes[made]) - pictures[index]).abs().mean()
            near = F.relu(self._embedded_distance(real[index], fakes[made]) + self.view.alpha - d_negative[index])
            near = valid_mean(near, valid[index])
            total = total + realism + self.view.lambda_cyc * cycle + self.view.lambda_ed * near
            values.update(
                {
                    f"loss/G_{made}_gan": realism.item(),
                    f"loss/G_{made}_cycle": cycle.item(),
                    f"loss/G_{made}_near": near.item(),
                }
            )
        return total

    def _train_judges(self, pictures, anchors, fakes, values) -> None:
        """Eq. 8 and Eq. 14 without their embedding terms."""
        self._only(self.judges)
        total = torch.zeros((), device=self.device)
        if self.hard:
            loss = self._judged("hard", pictures, fakes["hard"])
            values["loss/D_rf"] = loss.item()
            total = total + loss
        for made, other in (("rear", "front"), ("front", "rear")) if self.view else ():
            shown = pictures[anchors[other]]  # the real images of the view that is made are the others' inputs
            if len(shown) and len(fakes[made]):
                loss = self._judged(made, shown, fakes[made])
                values[f"loss/D_{made}"] = loss.item()
                total = total + loss
        self._descend(self.gan_optimizers[1], total)
        values["loss/D"] = total.item()

    def _judged(self, name: str, real, fake):
        return F.softplus(-self.judges[name](real)).mean() + F.softplus(self.judges[name](fake)).mean()

    def _train_embedding(self, images, pids, anchors, fakes, values) -> None:
        """EN with Eq. 5 and Eq. 10."""
        self._only(self.embedding)
        logits, real = self.embedding(images)
        total, parts = embedding_network_loss(logits, real, pids, generator=self.random, **self.en)
        values.update({f"loss/E_{name}": value.item() for name, value in parts.items()})
        for scheme, kinds in ((self.hard, ("hard",)), (self.view, ("rear", "front"))):
            if scheme:
                index = torch.cat([anchors[kind] for kind in kinds])
                embeddings = self._fake_embeddings(torch.cat([fakes[kind] for kind in kinds]))
                positive, valid = select_positives(pids, self.random)
                d_positive = (real - real[positive]).pow(2).sum(1)
                d_fake = (real[index] - embeddings).pow(2).sum(1)
                pushed = valid_mean(F.relu(d_positive[index] + scheme.alpha - d_fake), valid[index])
                values[f"loss/E_{scheme.name}"] = pushed.item()
                total = total + scheme.lambda_ed * pushed
        self._descend(self.optimizer, total)
        values["loss/E"] = total.item()
        for name, (other, valid) in {
            "positive": select_positives(pids, self.random),
            "negative": select_negatives(None, pids, generator=self.random),
        }.items():
            values[f"distance/{name}"] = valid_mean((real - real[other]).pow(2).sum(1), valid).item()

    def _fake_embeddings(self, pictures):
        """Embeddings of one scheme's fakes, which have statistics of their own and leave the running ones alone."""
        if not len(pictures):
            return pictures.new_zeros(0, 1)  # no row, and any width will do
        with (untouched_statistics if len(pictures) > 1 else running_statistics)(self.embedding):
            return self.embedding(self.pixels.to_embedding(pictures))[1]

    def _embedded_distance(self, real, fake):
        return (real - self.embedding(self.pixels.to_embedding(fake))).pow(2).sum(1)

    def _negatives(self, real, pids):
        index, valid = select_negatives(None, pids, generator=self.random)
        return (real - real[index]).pow(2).sum(1), valid

    def _only(self, learning) -> None:
        """Freeze all networks but those that learn."""
        for network in (self.embedding, self.generators, self.judges):
            network.requires_grad_(network is learning)

    def _descend(self, optimizer, loss) -> None:
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()


def stock(network: nn.Module) -> nn.Module:
    """A copy of a network with torch's own instance normalization, in the default memory layout and not compiled."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.InstanceNorm2d(child.num_features))
    return network


def valid_mean(values: Any, valid: Any) -> Any:
    """Mean of the valid values [n]; 0 without any."""
    return (values * valid).sum() / valid.sum().clamp(min=1)


def _check_paper(engine) -> None:
    step, found = engine.step, {}
    found["ealn.scheme"] = [s.name for s in engine.schemes if s.name not in ("hard", "view")]
    found["ealn.degrade"] = step.degradation is not None
    found["ealn.fake_statistics"] = step.fake_statistics != "batch"
    found["ealn.discriminator_steps"] = step.discriminator_steps != 1
    found["ealn.distance"] = step.en["distance"] != "squared"
    found["ealn.negatives"] = any(s.negatives != "random" for s in engine.schemes)
    found["ealn.gan_loss"] = any(s.gan_loss != "vanilla" for s in engine.schemes)
    found["ealn.adaptive_weight"] = any(s.adaptive_weight for s in engine.schemes)
    found["ealn.reconstructions"] = any(getattr(s, "reconstructions", False) for s in engine.schemes)
    other = [key for key, differs in found.items() if differs]
    if other:
        raise ValueError(
            f"{', '.join(other)} differ from the paper's step, which the reference step is; measure with "
            "their default values, and ealn.scheme en, hard, view or hard_view"
        )
