"""What a person sees of a run: progress bar, log lines, its loggers' records, pictures of generated images.

Values stay on the device and are read every ``print_freq`` steps in one go; that is also when a loss that is no
longer finite is found.
"""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image
from tqdm import tqdm

from ealn_plugin.engine.monitoring.loggers import Loggers
from ealn_plugin.engine.monitoring.remaining import RemainingTime
from ealn_plugin.system.files import replacing

log = logging.getLogger(__name__)


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message names it."""


class Monitor:
    """Collects the values of each step and shows them.

    Args:
        save_dir: folder of the run; loggers' files and ``samples/`` go there.
        max_epoch: epochs of the whole run.
        print_freq: steps between readings.
        first_step: global step at which this process starts; events from there on replace older ones.
        progress: show a progress bar.
        shown: False in all but one of several processes: values are checked, but nothing is written or logged.
        stages: name of the stage of each epoch, '' where nothing learns; None: all are alike.
        loggers: where the values go, see ``loggers.LOGGERS``. settings: {name: plain value} for those that show them.
    """

    def __init__(
        self,
        save_dir: str,
        max_epoch: int,
        print_freq: int,
        first_step: int = 0,
        progress: bool = True,
        shown: bool = True,
        stages: Sequence[str] | None = None,
        loggers: Sequence[str] = ("tensorboard",),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.save_dir, self.max_epoch, self.print_freq = save_dir, max_epoch, print_freq
        self.progress, self.shown = progress and shown, shown
        self.writer = Loggers(loggers if shown else (), save_dir, first_step, settings)
        self._bar: Any = None
        self._remaining = RemainingTime(["steps"] * max_epoch if stages is None else stages)
        self._window: list[Any] = []
        self._epoch_sums: dict[str, float] = {}
        self._epoch_counts: dict[str, int] = {}
        self._latest = ""

    def begin_epoch(self, epoch: int, stage: str, batches: int, done: int, step: int) -> None:
        """Called before the first batch; ``done`` batches of the epoch were trained in an earlier process."""
        self._epoch, self._stage, self._step = epoch, stage, step
        self._batches, self._done = batches, done
        self._window, self._epoch_sums, self._epoch_counts = [], {}, {}
        if self._bar is None:
            self._bar = tqdm(
                initial=step,
                unit="step",
                disable=not self.progress,
                dynamic_ncols=True,
                mininterval=0.5,
                bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            )
        # Epochs of an identity sampler differ a little in length, so the end is estimated anew from each one.
        self._bar.total = step + sum(self._remaining.steps_left(epoch, batches, done).values())
        self._remaining.begin()
        self._bar.set_description(f"epoch {epoch + 1}/{self.max_epoch} {stage}")

    def step(self, values: Mapping[str, Tensor]) -> None:
        """Take the detached values of one step.

        Raises:
            NonFiniteLossError: found when the values are read, every ``print_freq`` steps.
        """
        self._window.append(values)
        self._step += 1
        self._done += 1
        self._remaining.step(self._kind())
        self._bar.set_postfix_str(self._postfix(), refresh=False)
        self._bar.update()
        if self._step % self.print_freq == 0:
            self.read()

    def read(self) -> None:
        """Read everything collected since the last reading from the device, check it and show it."""
        if not self._window:
            return
        first = self._step - len(self._window) + 1
        keys = [(step, name) for step, values in enumerate(self._window, first) for name in values]
        numbers = torch.stack([value for values in self._window for value in values.values()]).float().tolist()
        self._window, by_name = [], {}
        for (step, name), number in zip(keys, numbers):  # in the order in which they were computed
            if not math.isfinite(number):
                raise NonFiniteLossError(
                    f"{name} became {number} in step {step} (epoch {self._epoch + 1}, {self._stage}); lower train.lr "
                    "or ealn.gan_lr"
                )
            by_name.setdefault(name, []).append(number)
        for name, values in by_name.items():
            self.writer.add_scalar(f"train/{name}", sum(values) / len(values), self._step)
            self._epoch_sums[name] = self._epoch_sums.get(name, 0.0) + sum(values)
            self._epoch_counts[name] = self._epoch_counts.get(name, 0) + len(values)
        self._latest = _brief({name: sum(v) / len(v) for name, v in by_name.items()})
        self._bar.set_postfix_str(self._postfix(), refresh=False)

    def _kind(self):
        return self._remaining.kinds[self._epoch]

    def _postfix(self):
        left = self._remaining.text(self._epoch, self._batches, self._done)
        return ", ".join(part for part in (left, self._latest) if part)

    def end_epoch(self, rates: Mapping[str, float]) -> dict[str, float]:
        """Log the epoch's averages; ``rates``: learning rates by network, also sent to the loggers."""
        self.read()
        means = {name: self._epoch_sums[name] / self._epoch_counts[name] for name in self._epoch_sums}
        for name, rate in rates.items():
            self.writer.add_scalar(f"rate/{name}", rate, self._step)
        # One line for the file; the bar already shows the latest on the screen.
        text = ", ".join(f"{name} {value:.3f}" for name, value in sorted(means.items()))
        if self.shown:
            log.info("epoch %d/%d (%s): %s", self._epoch + 1, self.max_epoch, self._stage, text)
        self.writer.flush()
        return means

    def scalars(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Numbers outside the training loop, such as test results."""
        for name, value in values.items():
            self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def pictures(self, rows: Sequence[Tensor], name: str, step: int) -> None:
        """Save a grid, one row of images [n, 3, h, w] in [-1, 1] for each entry of ``rows``, as PNG and event."""
        images = torch.cat([row.detach().cpu().float() for row in rows])
        grid = make_grid(images, nrow=len(rows[0]), normalize=True, value_range=(-1, 1), padding=2, pad_value=1.0)
        folder = os.path.join(self.save_dir, "samples")
        try:
            os.makedirs(folder, exist_ok=True)
            with replacing(os.path.join(folder, f"{name}.png")) as temporary:
                save_image(grid, temporary)
        except OSError as error:  # the checkpoint that follows matters more than a picture
            log.warning("no sample pictures: %s", error)
        self.writer.add_image("samples", grid, step)

    def close(self) -> None:
        """End the bar and the loggers."""
        if self._bar is not None:
            self._bar.close()
        self.writer.close()


def _brief(means: Mapping[str, float]) -> str:
    """The few numbers that fit beside a progress bar."""
    shown = [
        name
        for name in (
            "loss/E",
            "loss/G",
            "loss/D",
            "distance/positive",
            "distance/negative",
            "distance/hard",
            "distance/rear",
        )
        if name in means
    ]
    return " ".join(f"{name.replace('loss/', '').replace('distance/', 'd_')} {means[name]:.2f}" for name in shown)
