"""Weights & Biases as a logger; project, mode and key come from its own environment variables (WANDB_PROJECT, ...)."""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

PROJECT = "ealn_plugin"
_STEP = "global_step"


class WandbLogger:
    """One run of Weights & Biases.

    The step is a value of its own, since a resumed run repeats the steps behind its checkpoint and the package takes
    no step that is lower than the last.

    Args:
        folder: of the run; files of the package go to ``wandb/`` in it.
        run_id: of the run to go on with; '': a new one. settings: {name: plain value}, shown as its configuration.
    """

    def __init__(self, folder: str, run_id: str, settings: Mapping[str, Any]) -> None:
        import wandb

        self._wandb = wandb
        os.makedirs(folder, exist_ok=True)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.path.basename(os.path.abspath(folder)),
            dir=folder,
            id=run_id or None,
            resume="allow",
            config=dict(settings),
            settings=wandb.Settings(console="off", silent=True),
        )
        self.run_id = str(self._run.id)
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)
        self._values: dict[str, Any] = {}
        self._step = 0

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A number; those of one step are handed over together."""
        self._at(step)
        self._values[tag] = value

    def add_image(self, tag: str, image: Tensor, step: int) -> None:
        """A picture, tensor [3, h, w] in [0, 1]."""
        self._at(step)
        pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        self._values[tag] = self._wandb.Image(pixels)

    def _at(self, step: int) -> None:
        if step != self._step:
            self.flush()
        self._step = step

    def flush(self) -> None:
        """Hand over what there is of the latest step."""
        if self._values:
            self._run.log({**self._values, _STEP: self._step})
            self._values = {}

    def close(self) -> None:
        """End the run, which can be gone on with."""
        if self._run is not None:
            self.flush()
            self._run.finish()
            self._run = None
