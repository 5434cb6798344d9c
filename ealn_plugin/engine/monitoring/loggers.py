"""Where the numbers and pictures of a run go: TensorBoard, Weights & Biases, MLflow, chosen by ``ealn.loggers``.

Each is a ``Logger``. One that fails on the way - a full disk, a server that went away - costs its own records and not
the run. A run that is resumed goes on in the same run of its loggers, whose names are kept in the run folder.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from ealn_plugin.engine.monitoring.events import EventWriter
from ealn_plugin.engine.monitoring.mlflow_logger import MlflowLogger
from ealn_plugin.engine.monitoring.wandb_logger import WandbLogger
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)

KNOWN_RUNS = "loggers.json"
"""{logger: how it calls this run}, in the run folder."""
_EXTRAS = ("wandb", "mlflow")  # each the name of an extra and of its package


class Logger(Protocol):
    """Takes the numbers and pictures of a run.

    Attributes:
        run_id: how the logger calls this run, to go on with it; '' where that is no question.
    """

    run_id: str

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A number under a name such as 'train/loss/E'."""

    def add_image(self, tag: str, image: Tensor, step: int) -> None:
        """A picture, tensor [3, h, w] in [0, 1]."""

    def flush(self) -> None:
        """Hand everything over."""

    def close(self) -> None:
        """End; a second call does nothing."""


Open = Callable[[str, int, str, Mapping[str, Any]], Logger]
"""(run folder, first step of this process, run_id to go on with or '', settings) -> Logger"""

LOGGERS: dict[str, Open] = {
    "tensorboard": lambda folder, first_step, run_id, settings: EventWriter(folder, first_step),
    "wandb": lambda folder, first_step, run_id, settings: WandbLogger(folder, run_id, settings),
    "mlflow": lambda folder, first_step, run_id, settings: MlflowLogger(folder, run_id, settings),
}


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers that there are not, before anything else is done.

    Raises:
        ValueError: an unknown name. RuntimeError: its package is not installed. Each with one sentence.
    """
    for name in names:
        if name not in LOGGERS:
            raise ValueError(f"ealn.loggers holds {name!r}, expected some of {', '.join(LOGGERS)}")
        if name in _EXTRAS:
            check_extra(name, (name,), f"runs with ealn.loggers {name}", f"leave {name} out of ealn.loggers")


class Loggers:
    """Several loggers as one.

    Args:
        names: keys of ``LOGGERS``. folder: of the run, created if needed.
        first_step: first global step of this process; 0: the run begins. settings: {name: plain value} of the run.
    """

    def __init__(
        self, names: Sequence[str], folder: str, first_step: int = 0, settings: Mapping[str, Any] | None = None
    ) -> None:
        known = _known_runs(folder) if first_step else {}
        self._open: dict[str, Logger] = {}
        for name in dict.fromkeys(names):
            try:
                self._open[name] = LOGGERS[name](folder, first_step, known.get(name, ""), settings or {})
            except Exception as error:  # noqa: BLE001  (whatever a package raises costs its records alone)
                _tell(name, error)
        runs = {name: logger.run_id for name, logger in self._open.items() if logger.run_id}
        if runs:
            _keep(folder, {**known, **runs})

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """See ``Logger``."""
        self._each(lambda logger: logger.add_scalar(tag, value, step))

    def add_image(self, tag: str, image: Tensor, step: int) -> None:
        """See ``Logger``."""
        self._each(lambda logger: logger.add_image(tag, image, step))

    def flush(self) -> None:
        """See ``Logger``."""
        self._each(lambda logger: logger.flush())

    def close(self) -> None:
        """See ``Logger``."""
        self._each(lambda logger: logger.close())
        self._open = {}

    def _each(self, work: Callable[[Logger], None]) -> None:
        for name, logger in list(self._open.items()):
            try:
                work(logger)
            except Exception as error:  # noqa: BLE001
                _tell(name, error)
                del self._open[name]


def _tell(name: str, error: Exception) -> None:
    log.warning("%s takes no more records of this run (%s: %s); the run goes on", name, type(error).__name__, error)


def _known_runs(folder: str) -> dict[str, str]:
    try:
        with open(os.path.join(folder, KNOWN_RUNS), encoding="utf-8") as file:
            known = json.load(file)
        return {str(name): str(run_id) for name, run_id in known.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        log.warning("%s in %s cannot be used (%s): loggers begin a new run", KNOWN_RUNS, folder, error)
        return {}


def _keep(folder: str, runs: Mapping[str, str]) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        write_atomically(os.path.join(folder, KNOWN_RUNS), json.dumps(runs, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        log.warning("%s cannot be written (%s): a resumed run will begin a new run of its loggers", KNOWN_RUNS, error)
