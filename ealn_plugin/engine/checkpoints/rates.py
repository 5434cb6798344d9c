"""Learning rates and the schedule: what a run was made with, and how both get back from a checkpoint."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from ealn_plugin.engine.checkpoints.contents import restoring

EMBEDDING, SCHEDULE = "embedding network", "schedule"
_MOST_EPOCHS = 10**6
_HOW_TO_COMPUTE = ("params", "fused", "foreach", "capturable", "differentiable")
"""Entries of a parameter group that change no result beyond rounding."""


def hyperparameters(engine: Any) -> dict[str, Any]:
    """{optimiser: [{name: value} of each parameter group], "schedule": {name: value}} that an engine was made with."""
    made = {
        name: [_of_group(group) for group in optimizer.param_groups]
        for name, optimizer in ((EMBEDDING, engine.optimizer), *engine.adversaries.items())
        if optimizer is not None
    }
    state = engine.scheduler.state_dict() if engine.scheduler is not None else {}
    made[SCHEDULE] = {
        name: plain(value) for name, value in state.items() if not name.startswith("_") and value != [None]
    }
    return made


def _of_group(group):
    return {name: plain(value) for name, value in group.items() if name not in _HOW_TO_COMPUTE}


def plain(value: Any) -> Any:
    """The value as numbers, strings and containers of them, which a checkpoint may hold."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def apply_own(
    optimizer: torch.optim.Optimizer, name: str, made_with: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Put back what the optimiser was made with, where that differs from what the checkpoint's was made with."""
    then = state.get("made_with", {}).get(name)
    if then is None:
        return
    with restoring(f"optimiser of the {name}"):
        for group, own, other in zip(optimizer.param_groups, made_with[name], then):
            for key in own:
                if own[key] != other.get(key):
                    group[key] = tuple(own[key]) if isinstance(own[key], list) else own[key]


def same_schedule(engine: Any, state: Mapping[str, Any]) -> bool:
    """Whether the checkpoint's state of the schedule is one of the engine's own schedule."""
    then, now = state.get("made_with"), engine.made_with
    if then is None:
        return True
    lengths = (state["max_epoch"], state.get("constant_epochs")), (engine.max_epoch, engine.constant_epochs)
    return (
        lengths[0] == lengths[1]
        and then.get(SCHEDULE) == now[SCHEDULE]
        and [_rates(group) for group in then.get(EMBEDDING, ())] == [_rates(group) for group in now[EMBEDDING]]
    )


def _rates(group):
    return group.get("lr"), group.get("initial_lr")


def replay_schedule(engine: Any, state: Mapping[str, Any]) -> None:
    """Bring the engine's own schedule, as it was made, to the epoch of the checkpoint."""
    with restoring("schedule"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        epochs = state["scheduler"]["last_epoch"]
        if not 0 <= epochs <= state["epoch"] + 1 or epochs > _MOST_EPOCHS:
            raise ValueError(f"last_epoch is {epochs}, expected that of epoch {state['epoch']}")
        for group, own in zip(engine.optimizer.param_groups, engine.made_with[EMBEDDING]):
            group["lr"] = own["lr"]
        for _ in range(epochs):
            engine.scheduler.step()
