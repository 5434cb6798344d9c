"""One training step: generators, discriminators, embedding network, each phase with only its own networks learning."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.engine.degradation import Degradation
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.engine.schedule import Stage
from ealn_plugin.losses.distance import distance
from ealn_plugin.losses.embedding_network import embedding_network_loss
from ealn_plugin.losses.selection import select_negatives, select_positives
from ealn_plugin.models.embedding import named_outputs, named_when_frozen
from ealn_plugin.models.modes import frozen, running_statistics, untouched_statistics
from ealn_plugin.models.neck import learned_feature
from ealn_plugin.schemes.base import Batch, Fakes, Scheme


class AdversarialStep:
    """The alternation of EALN (section III-D of the paper) over any list of schemes.

    Args:
        embedding: ``EmbeddingNetwork`` around the torchreid backbone, D_emb.
        optimizer: of the embedding network.
        schemes: list of ``Scheme``.
        adversaries: {'generators' | 'discriminators': optimiser}; a role that no scheme has networks for is missing,
            and so is its phase.
        pixels: ``PixelRange`` between D_emb's normalization and [-1, 1].
        en: keyword arguments of ``embedding_network_loss``.
        discriminator_steps: updates of the discriminators in each step.
        refresh_fakes: make the fakes again after the generators' update, the paper's order; else they are reused.
        fake_statistics: 'batch' (the fakes' own) or 'running': the normalization statistics that D_emb uses for fakes.
        degradation: ``Degradation`` of every image, real or generated, before D_emb sees it, or None.
        amp: run the networks in bfloat16 where that is safe. Their outputs are float32 again, so distances and losses
            are computed in float32.

    Attributes:
        watch: called with the name of each phase ('generators', 'discriminators', 'embedding') for a context in which
            the phase runs; does nothing unless somebody measures.
    """

    def __init__(
        self,
        embedding: nn.Module,
        optimizer: torch.optim.Optimizer,
        schemes: Sequence[Scheme],
        adversaries: Mapping[str, torch.optim.Optimizer],
        pixels: PixelRange,
        en: Mapping[str, Any],
        discriminator_steps: int = 1,
        refresh_fakes: bool = False,
        fake_statistics: str = "batch",
        degradation: Degradation | None = None,
        amp: bool = False,
    ) -> None:
        self.embedding, self.optimizer, self.schemes = embedding, optimizer, schemes
        self.adversaries, self.pixels, self.en = adversaries, pixels, en
        self.discriminator_steps, self.refresh_fakes = discriminator_steps, refresh_fakes
        self.fake_statistics, self.degradation = fake_statistics, degradation
        self.amp, self.watch = amp, contextlib.nullcontext

    def __call__(self, images: Tensor, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Train on one batch.

        Args:
            images: [batch, 3, h, w], normalized for D_emb.
            batch: the same as a ``Batch``, its embeddings still missing.
            stage: ``Stage`` that says which phases to run.
        Returns:
            {name: detached scalar tensor}: losses and mean distances.
        """
        values, fakes = {}, []
        if stage.adversarial and self.schemes:
            with self.watch("generators"):
                batch, fakes = self._fakes(images, batch, values)
            if "discriminators" in self.adversaries:
                with self.watch("discriminators"):
                    self._discriminator_phase(batch, fakes, values)
        if stage.embedding:
            with self.watch("embedding"):
                self._embedding_phase(images, batch, fakes, values)
        return values

    def _fakes(self, images: Tensor, batch: Batch, values: dict[str, Tensor]) -> tuple[Batch, list[dict[str, Fakes]]]:
        """The batch, with embeddings where a scheme looks at them, and each scheme's {name: Fakes}, detached."""
        if any(scheme.uses_embeddings for scheme in self.schemes):
            batch = self._with_embeddings(images, batch)
        if "generators" in self.adversaries:
            fakes, parts = self._generator_phase(batch)
            values.update(parts)
            return replace(batch, generator_losses=parts), fakes
        with self._precision(images), torch.no_grad():
            return batch, [scheme.generate(batch) for scheme in self.schemes]

    def _precision(self, images: Tensor) -> torch.autocast:
        """Context of the networks' forward passes; backward passes follow what the forward pass did by themselves."""
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.amp)

    @contextlib.contextmanager
    def _judging(self) -> Iterator[None]:
        """Context in which D_emb is frozen, in evaluation mode, and gives the feature that its triplets compare."""
        with frozen(self.embedding, evaluate=True), learned_feature(self.embedding):
            yield

    def _with_embeddings(self, images: Tensor, batch: Batch) -> Batch:
        def embed(seen: Tensor) -> Any:
            with self._judging(), torch.no_grad(), self._precision(images):
                return self.embedding(seen)

        seen, outputs = self._seen(images, batch.images, batch.random), {}
        if any(scheme.uses_outputs for scheme in self.schemes):
            with named_when_frozen(self.embedding):
                embeddings, outputs = embed(seen)
        else:
            embeddings = embed(seen)
        return replace(
            batch,
            embeddings=embeddings,
            outputs=outputs,
            embed=lambda generated: embed(self._of_generated(generated, batch.random)),
        )

    def _seen(self, images: Tensor, generator_range: Tensor, random: torch.Generator | None) -> Tensor:
        """What D_emb is given of real images, known in both normalizations."""
        return images if self.degradation is None else self._of_generated(generator_range, random)

    def _of_generated(self, images: Tensor, random: torch.Generator | None) -> Tensor:
        """What D_emb is given of images in [-1, 1]."""
        if self.degradation is not None and len(images):
            with torch.autocast(images.device.type, enabled=False):
                images = self.degradation(images, random)
        return self.pixels.to_embedding(images)

    def _generator_phase(self, batch: Batch) -> tuple[list[dict[str, Fakes]], dict[str, Tensor]]:
        """Each scheme's {name: Fakes}, detached, and {name: detached tensor} of the losses."""
        values = {}
        judges = [scheme.discriminators for scheme in self.schemes]

        def embed(generated: Tensor) -> Tensor:
            return self.embedding(self._of_generated(generated, batch.random))

        with self._judging(), frozen(*judges):
            total: Any = 0
            with self._precision(batch.images):
                fakes = [scheme.generate(batch) for scheme in self.schemes]
                for scheme, own_fakes in zip(self.schemes, fakes):
                    loss, parts = scheme.generator_loss(batch, own_fakes, embed)
                    total = total + loss
                    values.update(parts)
            _update(self.adversaries["generators"], total)
        values["loss/G"] = total.detach()
        if self.refresh_fakes:
            with self._precision(batch.images), torch.no_grad():
                return [scheme.generate(batch) for scheme in self.schemes], values
        return [{name: fake.detach() for name, fake in own_fakes.items()} for own_fakes in fakes], values

    def _discriminator_phase(
        self, batch: Batch, fakes: Sequence[Mapping[str, Fakes]], values: dict[str, Tensor]
    ) -> None:
        makers = [scheme.generators for scheme in self.schemes]
        with frozen(self.embedding, *makers):
            for _ in range(self.discriminator_steps):
                total: Any = 0
                with self._precision(batch.images):
                    for scheme, own_fakes in zip(self.schemes, fakes):
                        loss, parts = scheme.discriminator_loss(batch, own_fakes)
                        total = total + loss
                        values.update(parts)
                _update(self.adversaries["discriminators"], total)
        values["loss/D"] = total.detach()

    def _embedding_phase(
        self, images: Tensor, batch: Batch, fakes: Sequence[Mapping[str, Fakes]], values: dict[str, Tensor]
    ) -> None:
        with self._precision(images):
            found = self.embedding(self._seen(images, batch.images, batch.random))
        logits, real, batch = found[0], found[1], replace(batch, outputs=named_outputs(found))
        total, parts = embedding_network_loss(logits, real, batch.pids, generator=batch.random, **self.en)
        values.update({f"loss/E_{name}": value for name, value in parts.items()})
        with frozen(*self.schemes):
            for scheme, own_fakes in zip(self.schemes, fakes or [{}] * len(self.schemes)):
                if not (scheme.embedding_active and (fakes or scheme.in_warmup)):
                    continue
                made, outputs = self._embed_fakes(own_fakes, real, batch.random)
                loss, parts = scheme.embedding_loss(replace(batch, fake_outputs=outputs), real, made)
                total = total + loss
                values.update(parts)
            _update(self.optimizer, total)
        values["loss/E"] = total.detach()
        values.update(self._real_distances(real.detach(), batch))

    def _embed_fakes(
        self, fakes: Mapping[str, Fakes], real: Tensor, random: torch.Generator | None
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, dict[str, Tensor]]]:
        """{name: (embeddings, anchor_index)} of one scheme's fakes, apart from the real images; their named outputs.

        All of them pass in one go and leave the running statistics alone. A single image has no statistics of its
        own; it is normalized with the running ones.
        """
        if not fakes:
            return {}, {}
        images = torch.cat([fake.images for fake in fakes.values()])
        own = self.fake_statistics == "batch" and len(images) > 1
        statistics = untouched_statistics if own else running_statistics
        if len(images):
            with statistics(self.embedding), self._precision(images):
                found = self.embedding(self._of_generated(images, random))
            embeddings, named = found[1], named_outputs(found)
        else:
            embeddings, named = real[:0], {}
        sizes = [len(fake.anchor_index) for fake in fakes.values()]
        parts = {name: value.split(sizes) for name, value in named.items()}
        outputs = {kind: {name: part[at] for name, part in parts.items()} for at, kind in enumerate(fakes)}
        made = zip(fakes.items(), embeddings.split(sizes))
        return {name: (part, fake.anchor_index) for (name, fake), part in made}, outputs

    def _real_distances(self, real: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Mean d(x, x_p) and d(x, x_n) of random pairs, to be read beside those of the fakes."""
        kind, values = self.en["distance"], {}
        for name, select in (("positive", select_positives), ("negative", _random_negatives)):
            index, valid = select(batch.pids, generator=batch.random)
            weight = valid.to(real.dtype)
            values[f"distance/{name}"] = (distance(real, real[index], kind) * weight).sum() / weight.sum().clamp(min=1)
        return values


def build_step(
    embedding: nn.Module,
    optimizer: torch.optim.Optimizer,
    schemes: Sequence[Scheme],
    adversaries: Mapping[str, torch.optim.Optimizer],
    pixels: PixelRange,
    losses: Any,
    options: Any,
    amp: bool,
) -> AdversarialStep:
    """The AdversarialStep of ``losses``, LossOptions, and ``options``, AdversaryOptions; others as there."""
    return AdversarialStep(
        embedding,
        optimizer,
        schemes,
        adversaries,
        pixels,
        losses.arguments(),
        options.discriminator_steps,
        options.refresh_fakes,
        options.fake_statistics,
        Degradation(options.degrade) if options.degrade else None,
        amp,
    )


def _random_negatives(pids: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    return select_negatives(None, pids, "random", generator=generator)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor | int) -> None:
    """One step downhill; a loss without a graph (nothing to learn from in this batch) changes nothing."""
    optimizer.zero_grad(set_to_none=True)
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
        optimizer.step()
