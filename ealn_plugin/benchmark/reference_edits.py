"""The step with the editing generator as one would first write it: one candidate at a time, every loss read back.

Like the step that it extends it shares the networks' weights at the start, EN's loss and the random choices with the
engine, and no other code.
"""

from typing import Any

import torch
from torch.nn import functional as F

from ealn_plugin.benchmark.reference_step import ReferenceStep, valid_mean
from ealn_plugin.losses.embedding_network import embedding_network_loss
from ealn_plugin.losses.selection import select_positives
from ealn_plugin.models.editing_generator import draw_regions
from ealn_plugin.models.modes import untouched_statistics


class ReferenceEditStep(ReferenceStep):
    """A training step with the networks, settings and random state of an engine with ``EditingScheme``.

    For repainted content, neutral edits of the candidates, and candidates chosen by pixels: the defaults.

    Args, Raises: as ``ReferenceStep``.
    """

    def __init__(self, engine: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(engine, *args, **kwargs)
        scheme = self.hard
        other = [
            f"ealn.hard.{name}"
            for name, differs in (
                ("content", scheme.content != "repaint"),
                ("neutral", scheme.neutral != "least"),
                ("choose", scheme.choose != "pixels"),
                ("pixel_weight", scheme.pixel_weight > 0),
            )
            if differs
        ]
        if other or self.view:
            raise ValueError(
                f"{', '.join(other) or 'ealn.scheme'} differ from the reference step of the editing generator; measure "
                "with their default values, and ealn.scheme hard"
            )

    def _regions(self, count, pictures):
        height, width = pictures.shape[-2:]
        return draw_regions(count, height, width, self.hard.number, self.hard.radii, self.random).to(self.device)

    def _paint(self, pictures, regions):
        inside = regions.float()
        return pictures * (1 - inside) + self.generators["hard"](pictures, regions) * inside

    @torch.no_grad()
    def _edit(self, pictures):
        """{'hard', 'neutral': images} and the regions of the former."""
        count = len(pictures)
        regions = self._regions(self.hard.candidates * count, pictures).split(count)
        made = [self._paint(pictures, inside) for inside in regions]
        total = torch.stack([(edited - pictures).abs().sum((1, 2, 3)) for edited in made])
        area = torch.stack([inside.sum((1, 2, 3)) for inside in regions])
        hard, near = [], []
        for row in range(count):
            order = total[:, row].tolist()
            far = order.index(max(order))
            means = [value / max(int(area[k, row]), 1) for k, value in enumerate(order)]
            means[far] = float("inf")
            hard.append(far)
            near.append(means.index(min(means)))
        self._edited = torch.stack([regions[k][row] for row, k in enumerate(hard)])
        return {
            "hard": torch.stack([made[k][row] for row, k in enumerate(hard)]),
            "neutral": torch.stack([made[k][row] for row, k in enumerate(near)]),
        }

    def _generate(self, pictures, anchors):
        return self._fakes

    def _train_generators(self, images, pictures, pids, anchors, values):
        """L1 in holes of the images, and Eq. 6 there."""
        self._fakes = self._edit(pictures)
        self._only(self.generators)
        holes = self._regions(len(pictures), pictures)
        painted = self._paint(pictures, holes)
        inside = holes.float().expand_as(pictures)
        again = ((painted - pictures).abs() * inside).sum() / inside.sum()
        logits, looked_at = self._look(painted, holes)
        realism = valid_mean(F.softplus(-logits), looked_at)
        total = self.hard.lambda_l1 * again + self.hard.lambda_rf * realism
        self._descend(self.gan_optimizers[0], total)
        values.update({"loss/G_hard_hole": again.item(), "loss/G_hard_gan": realism.item(), "loss/G": total.item()})

    def _look(self, pictures, regions):
        """Logits of D_rf, and which of them look at the regions."""
        logits = self.judges["hard"](torch.cat([pictures, regions.float()], 1))
        return logits, F.adaptive_max_pool2d(regions.float(), logits.shape[-2:]) > 0

    def _judged(self, name, real, fake):
        on_real, looked_at = self._look(real, self._edited)
        on_fake, _ = self._look(fake, self._edited)
        return valid_mean(F.softplus(-on_real), looked_at) + valid_mean(F.softplus(on_fake), looked_at)

    def _train_embedding(self, images, pids, anchors, fakes, values):
        """EN with Eq. 5, and the neutral edits as positives."""
        self._only(self.embedding)
        logits, real = self.embedding(images)
        total, parts = embedding_network_loss(logits, real, pids, generator=self.random, **self.en)
        values.update({f"loss/E_{name}": value.item() for name, value in parts.items()})
        with untouched_statistics(self.embedding):
            both = torch.cat([fakes["hard"], fakes["neutral"]])
            hard, neutral = self.embedding(self.pixels.to_embedding(both))[1].chunk(2)
        positive, valid = select_positives(pids, self.random)
        d_hard, d_neutral = (real - hard).pow(2).sum(1), (real - neutral).pow(2).sum(1)
        pushed = valid_mean(F.relu((real - real[positive]).pow(2).sum(1) + self.hard.alpha - d_hard), valid)
        near = F.relu(d_neutral + self.hard.alpha - d_hard).mean()
        values.update({"loss/E_hard": pushed.item(), "loss/E_neutral": near.item()})
        total = total + self.hard.lambda_ed * (pushed + near)
        self._descend(self.optimizer, total)
        values["loss/E"] = total.item()
