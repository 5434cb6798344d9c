"""What a person sees of a run: progress bar, log lines, TensorBoard events, pictures of generated images.

Values stay on the device and are read every ``print_freq`` steps in one go; that is also when a loss that is no
longer finite is found.
"""

import logging
import math
import os

import torch
from torchvision.utils import make_grid, save_image
from tqdm import tqdm

from ealn_plugin.engine.monitoring.events import EventWriter
from ealn_plugin.system.files import replacing

log = logging.getLogger(__name__)


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message names it."""


class Monitor:
    """Collects the values of each step and shows them.

    Args:
        save_dir: folder of the run; TensorBoard events and ``samples/`` go there.
        max_epoch: epochs of the whole run.
        print_freq: steps between readings.
        first_step: global step at which this process starts; events from there on replace older ones.
        progress: show a progress bar.
        shown: False in all but one of several processes: values are checked, but nothing is written or logged.
    """

    def __init__(self, save_dir, max_epoch, print_freq, first_step=0, progress=True, shown=True):
        self.save_dir, self.max_epoch, self.print_freq = save_dir, max_epoch, print_freq
        self.progress, self.shown = progress and shown, shown
        self.writer = EventWriter(save_dir, first_step) if shown else _NoWriter()
        self._bar = None
        self._window, self._epoch_sums, self._epoch_counts = [], {}, {}

    def begin_epoch(self, epoch, stage, batches, done, step):
        """Called before the first batch; ``done`` batches of the epoch were trained in an earlier process."""
        self._epoch, self._stage, self._step = epoch, stage, step
        self._window, self._epoch_sums, self._epoch_counts = [], {}, {}
        if self._bar is None:
            self._bar = tqdm(initial=step, unit="step", disable=not self.progress, dynamic_ncols=True, mininterval=0.5)
        # Epochs of an identity sampler differ a little in length, so the end is estimated anew from each one.
        self._bar.total = step - done + batches * (self.max_epoch - epoch)
        self._bar.set_description(f"epoch {epoch + 1}/{self.max_epoch} {stage}")

    def step(self, values):
        """Take the detached values of one step.

        Raises:
            NonFiniteLossError: found when the values are read, every ``print_freq`` steps.
        """
        self._window.append(values)
        self._step += 1
        self._bar.update()
        if self._step % self.print_freq == 0:
            self.read()

    def read(self):
        """Read everything collected since the last reading from the device, check it and show it."""
        if not self._window:
            return
        first = self._step - len(self._window) + 1
        keys = [(step, name) for step, values in enumerate(self._window, first) for name in values]
        numbers = torch.stack([value for values in self._window for value in values.values()]).float().tolist()
        self._window, found = [], {}
        for (step, name), number in zip(keys, numbers):  # in the order in which they were computed
            if not math.isfinite(number):
                raise NonFiniteLossError(
                    f"{name} became {number} in step {step} (epoch {self._epoch + 1}, {self._stage}); lower train.lr "
                    f"or ealn.lr, and go on from the last good checkpoint with model.resume {self.save_dir}"
                )
            found.setdefault(name, []).append(number)
        for name, values in found.items():
            self.writer.add_scalar(f"train/{name}", sum(values) / len(values), self._step)
            self._epoch_sums[name] = self._epoch_sums.get(name, 0.0) + sum(values)
            self._epoch_counts[name] = self._epoch_counts.get(name, 0) + len(values)
        self._bar.set_postfix_str(_brief({name: sum(v) / len(v) for name, v in found.items()}), refresh=False)

    def end_epoch(self, rates):
        """Log the epoch's averages; ``rates``: learning rates by network, also sent to TensorBoard."""
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

    def scalars(self, prefix, values, step):
        """Numbers outside the training loop, such as test results."""
        for name, value in values.items():
            self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def pictures(self, rows, name, step):
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

    def close(self):
        """End the bar and the event file."""
        if self._bar is not None:
            self._bar.close()
        self.writer.close()


class _NoWriter:
    """In the place of TensorBoard's writer where another process writes."""

    def add_scalar(self, *_):
        """Nothing."""

    def flush(self):
        """Nothing."""

    close = flush


def _brief(means):
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
