"""MLflow as a logger; where it keeps its runs comes from its own environment variables (MLFLOW_TRACKING_URI, ...)."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

log = logging.getLogger(__name__)

EXPERIMENT = "ealn_plugin"
_AT_A_TIME = 100  # parameters of a request, which MLflow limits
_LONGEST = 500  # characters of a parameter


class MlflowLogger:
    """One run of MLflow.

    Args:
        folder: of the run, whose last part names it.
        run_id: of the run to go on with; '', or one that is gone: a new one.
        settings: {name: plain value}, its parameters.
    """

    def __init__(self, folder: str, run_id: str, settings: Mapping[str, Any]) -> None:
        import mlflow
        from mlflow.entities import Metric, Param

        self._client: Any = mlflow.MlflowClient()
        self._metric, self._metrics = Metric, []
        self.run_id = self._known(run_id) or self._new(folder)
        self._client.update_run(self.run_id, status="RUNNING")
        if self.run_id != run_id:
            parameters = [Param(name, str(value)[:_LONGEST]) for name, value in settings.items()]
            for start in range(0, len(parameters), _AT_A_TIME):
                self._client.log_batch(self.run_id, params=parameters[start : start + _AT_A_TIME])

    def _known(self, run_id: str) -> str:
        if not run_id:
            return ""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run_id).info.run_id)
        except MlflowException as error:
            log.warning("MLflow does not know the run %s any more (%s); it begins a new one", run_id, error)
            return ""

    def _new(self, folder: str) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        return str(self._client.create_run(number, run_name=os.path.basename(os.path.abspath(folder))).info.run_id)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A number; many are handed over together."""
        self._metrics.append(self._metric(tag, float(value), int(1000 * time.time()), step))
        if len(self._metrics) >= _AT_A_TIME:
            self.flush()

    def add_image(self, tag: str, image: Tensor, step: int) -> None:
        """A picture, tensor [3, h, w] in [0, 1], as an artifact."""
        pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        self._client.log_image(self.run_id, pixels, artifact_file=f"{tag}/step_{step:07d}.png")

    def flush(self) -> None:
        """Hand over all numbers that wait."""
        if self._metrics and self._client is not None:
            self._client.log_batch(self.run_id, metrics=self._metrics)
            self._metrics = []

    def close(self) -> None:
        """End the run, which can be gone on with."""
        if self._client is not None:
            self.flush()
            self._client.set_terminated(self.run_id)
            self._client = None
