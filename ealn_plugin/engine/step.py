"""One training step: generators, discriminators, embedding network, each phase with only its own networks learning."""

import contextlib
import dataclasses

import torch

from ealn_plugin.losses.distance import distance
from ealn_plugin.losses.embedding_network import embedding_network_loss
from ealn_plugin.losses.selection import select_negatives, select_positives
from ealn_plugin.models.modes import frozen, running_statistics, untouched_statistics


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
        embedding,
        optimizer,
        schemes,
        adversaries,
        pixels,
        en,
        discriminator_steps=1,
        refresh_fakes=False,
        fake_statistics="batch",
        degradation=None,
        amp=False,
    ):
        self.embedding, self.optimizer, self.schemes = embedding, optimizer, schemes
        self.adversaries, self.pixels, self.en = adversaries, pixels, en
        self.discriminator_steps, self.refresh_fakes = discriminator_steps, refresh_fakes
        self.fake_statistics, self.degradation = fake_statistics, degradation
        self.amp, self.watch = amp, contextlib.nullcontext

    def __call__(self, images, batch, stage):
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

    def _fakes(self, images, batch, values):
        """The batch, with embeddings where a scheme looks at them, and each scheme's {name: Fakes}, detached."""
        if any(scheme.uses_embeddings for scheme in self.schemes):
            batch = self._with_embeddings(images, batch)
        if "generators" in self.adversaries:
            return batch, self._generator_phase(batch, values)
        with self._precision(images), torch.no_grad():
            return batch, [scheme.generate(batch) for scheme in self.schemes]

    def _precision(self, images):
        """Context of the networks' forward passes; backward passes follow what the forward pass did by themselves."""
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.amp)

    def _with_embeddings(self, images, batch):
        def embed(seen):
            with frozen(self.embedding, evaluate=True), torch.no_grad(), self._precision(images):
                return self.embedding(seen)

        return dataclasses.replace(
            batch,
            embeddings=embed(self._seen(images, batch.images, batch.random)),
            embed=lambda generated: embed(self._of_generated(generated, batch.random)),
        )

    def _seen(self, images, generator_range, random):
        """What D_emb is given of real images, known in both normalizations."""
        return images if self.degradation is None else self._of_generated(generator_range, random)

    def _of_generated(self, images, random):
        """What D_emb is given of images in [-1, 1]."""
        if self.degradation is not None and len(images):
            with torch.autocast(images.device.type, enabled=False):
                images = self.degradation(images, random)
        return self.pixels.to_embedding(images)

    def _generator_phase(self, batch, values):
        judges = [scheme.discriminators for scheme in self.schemes]

        def embed(generated):
            return self.embedding(self._of_generated(generated, batch.random))

        with frozen(self.embedding, evaluate=True), frozen(*judges):
            total = 0
            with self._precision(batch.images):
                fakes = [scheme.generate(batch) for scheme in self.schemes]
                for scheme, made in zip(self.schemes, fakes):
                    loss, parts = scheme.generator_loss(batch, made, embed)
                    total = total + loss
                    values.update(parts)
            _update(self.adversaries["generators"], total)
        values["loss/G"] = total.detach()
        if self.refresh_fakes:
            with self._precision(batch.images), torch.no_grad():
                return [scheme.generate(batch) for scheme in self.schemes]
        return [{name: fake.detach() for name, fake in made.items()} for made in fakes]

    def _discriminator_phase(self, batch, fakes, values):
        makers = [scheme.generators for scheme in self.schemes]
        with frozen(self.embedding, *makers):
            for _ in range(self.discriminator_steps):
                total = 0
                with self._precision(batch.images):
                    for scheme, made in zip(self.schemes, fakes):
                        loss, parts = scheme.discriminator_loss(batch, made)
                        total = total + loss
                        values.update(parts)
                _update(self.adversaries["discriminators"], total)
        values["loss/D"] = total.detach()

    def _embedding_phase(self, images, batch, fakes, values):
        with self._precision(images):
            logits, real = self.embedding(self._seen(images, batch.images, batch.random))
        total, parts = embedding_network_loss(logits, real, batch.pids, generator=batch.random, **self.en)
        values.update({f"loss/E_{name}": value for name, value in parts.items()})
        with frozen(*self.schemes):
            for scheme, made in zip(self.schemes, fakes):
                if not scheme.embedding_active:
                    continue
                loss, parts = scheme.embedding_loss(batch, real, self._embed_fakes(made, real, batch.random))
                total = total + loss
                values.update(parts)
            _update(self.optimizer, total)
        values["loss/E"] = total.detach()
        values.update(self._real_distances(real.detach(), batch))

    def _embed_fakes(self, made, real, random):
        """{name: (embeddings, anchor_index)} of one scheme's fakes, apart from the real images.

        All of them pass in one go and leave the running statistics alone. A single image has no statistics of its
        own; it is normalized with the running ones.
        """
        if not made:
            return {}
        images = torch.cat([fake.images for fake in made.values()])
        own = self.fake_statistics == "batch" and len(images) > 1
        statistics = untouched_statistics if own else running_statistics
        if len(images):
            with statistics(self.embedding), self._precision(images):
                embeddings = self.embedding(self._of_generated(images, random))[1]
        else:
            embeddings = real[:0]
        sizes = [len(fake.anchor_index) for fake in made.values()]
        return {name: (part, fake.anchor_index) for (name, fake), part in zip(made.items(), embeddings.split(sizes))}

    def _real_distances(self, real, batch):
        """Mean d(x, x_p) and d(x, x_n) of random pairs, to be read beside those of the fakes."""
        kind, values = self.en["distance"], {}
        for name, select in (("positive", select_positives), ("negative", _random_negatives)):
            index, valid = select(batch.pids, generator=batch.random)
            weight = valid.to(real.dtype)
            values[f"distance/{name}"] = (distance(real, real[index], kind) * weight).sum() / weight.sum().clamp(min=1)
        return values


def _random_negatives(pids, generator):
    return select_negatives(None, pids, "random", generator=generator)


def _update(optimizer, loss):
    """One step downhill; a loss without a graph (nothing to learn from in this batch) changes nothing."""
    optimizer.zero_grad(set_to_none=True)
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
        optimizer.step()
