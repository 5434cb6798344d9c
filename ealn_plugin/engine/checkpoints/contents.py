"""What a checkpoint has to look like before anything in it is used: it may come from anybody.

That it runs no code is the reader's part (``weights_only``); here a well-formed file with wrong contents becomes one
sentence, instead of an error much later or somewhere in torch.
"""

import contextlib
import numbers
from collections.abc import Iterator
from typing import Any

import torch

_COUNTS = ("epoch", "position", "global_step")
_WORDS, _KEYS = 625, 624  # of the Mersenne twister as Python's and as numpy's state
_LARGEST = 2**62


class WrongContents(ValueError):
    """A part of a checkpoint is not what the engine writes there; the message names the part."""


@contextlib.contextmanager
def restoring(part: str) -> Iterator[None]:
    """Within it, whatever torch, numpy and Python raise for a state that they cannot take becomes WrongContents."""
    try:
        yield
    except WrongContents:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise WrongContents(f"its {part} cannot be restored ({type(error).__name__}: {reason})") from error


def check_contents(state: Any) -> None:
    """Check every part of what ``state.capture`` writes; further parts are allowed.

    Raises:
        WrongContents: a part is missing or of another kind.
    """
    for name in _COUNTS:
        _expect(_is_count(state.get(name)), name, "a whole number from 0", state.get(name))
    for name in ("max_epoch", "scheduler", "best"):  # None where there is none, but never absent
        _expect(name in state, name, "an entry", None)
    _expect(state["max_epoch"] is None or _is_count(state["max_epoch"]), "max_epoch", "a whole number", None)
    for name in ("model", "optimizer", "schemes", "adversaries", "random", "run", "kinds"):
        _expect(_is_named(state.get(name)), name, "a table by name", state.get(name))
    _expect(state["scheduler"] is None or _is_named(state["scheduler"]), "scheduler", "a table by name", None)
    _expect(all(map(_is_count, state["run"].values())), "run", "whole numbers by name", state["run"])
    _expect(all(isinstance(kind, str) for kind in state["kinds"].values()), "kinds", "words by name", state["kinds"])
    for name, weights in (("model", state["model"]), *state["schemes"].items()):
        _expect(_is_named(weights), name, "tensors by name", weights)
        for layer, value in weights.items():
            _expect(_is_plain_tensor(value), f"{name} {layer!r}", "a tensor", value)
    for name in ("untrained", "results", "own_results"):
        _expect(_are_results(state.get(name)), name, "numbers by dataset, protocol and metric", state.get(name))
    best = state["best"]
    _expect(
        best is None or _is_named(best) and {"mAP", "rank1", "epoch"} <= best.keys() and _are_numbers(best),
        "best",
        "mAP, rank1 and epoch",
        best,
    )
    for name in ("settings", "made_with"):  # which checkpoints of earlier versions do not have
        _expect(_is_named(state.get(name, {})) and _is_plain(state.get(name)), name, "plain values by name", None)
    precision = state.get("precision", {})
    chosen = precision.get("bfloat16") if _is_named(precision) else precision
    _expect(_is_named(precision) and chosen in (None, False, True), "precision", "true or false by name", chosen)
    changes = state.get("changes", [])
    _expect(isinstance(changes, list) and _is_plain(changes), "changes", "a list of plain values", changes)
    _check_random_states(state["random"])
    _expect(torch.is_tensor(state.get("choices")), "choices", "a random state", state.get("choices"))


def _check_random_states(random: Any) -> None:
    """numpy takes any position without a check and would read beyond its state."""
    python, numpy = random.get("python"), random.get("numpy")
    _expect(
        _is_list(python, 3)
        and _is_list(python[1], _WORDS)
        and all(map(_is_count, python[1]))
        and (python[2] is None or isinstance(python[2], float)),
        "random state of Python",
        "one",
        python,
    )
    _expect(
        _is_list(numpy, 5)
        and torch.is_tensor(numpy[1])
        and tuple(numpy[1].shape) == (_KEYS,)
        and _is_count(numpy[2])
        and numpy[2] <= _KEYS
        and _is_count(numpy[3])
        and isinstance(numpy[4], float),
        "random state of numpy",
        "one",
        numpy,
    )
    _expect(torch.is_tensor(random.get("torch")), "random state of torch", "one", random.get("torch"))


def load_optimizer(optimizer: torch.optim.Optimizer, state: Any, part: str) -> None:
    """``optimizer.load_state_dict`` for a state of its own kind.

    Raises:
        WrongContents: the state is of another kind; the optimiser must not be used any more.
    """
    with restoring(part):
        for own, found in zip(optimizer.param_groups, state["param_groups"]):
            for name, value in own.items():
                if name != "params":  # numbers of the parameters, which load_state_dict compares
                    _expect(_is_alike(value, found[name]), f"{part}, {name}", f"one like {value!r}", found[name])
        optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            _expect(
                not torch.is_tensor(value) or value.dim() == 0 or value.shape == parameter.shape,
                f"{part}, {name}",
                f"a tensor {list(parameter.shape)}",
                value,
            )


def load_scheduler(scheduler: Any, state: Any, part: str = "schedule") -> None:
    """``scheduler.load_state_dict``, which would set any attribute of that object to anything.

    Raises:
        WrongContents: the state is of another kind.
    """
    with restoring(part):
        own = scheduler.state_dict()
        known = {name: state[name] for name in own if name in state}
        for name, value in known.items():
            _expect(_is_alike(own[name], value), f"{part}, {name}", f"one like {own[name]!r}", value)
        scheduler.load_state_dict(known)


def _is_alike(own: Any, found: Any) -> bool:
    """Whether a setting could stand in the place of another."""
    if own is None or found is None:
        return found is None or isinstance(found, numbers.Real)
    if isinstance(own, numbers.Real):
        return isinstance(found, numbers.Real) or torch.is_tensor(found) and found.dim() == 0
    if isinstance(own, (list, tuple)):
        return isinstance(found, (list, tuple)) and len(own) == len(found) and all(map(_is_alike, own, found))
    if isinstance(own, dict):
        return isinstance(found, dict) and all(
            isinstance(item, numbers.Real) for pair in found.items() for item in pair
        )
    return isinstance(found, type(own))


def _expect(fits: bool, part: str, expected: str, found: Any) -> None:
    if not fits:
        text = repr(found) if isinstance(found, (str, int, float, type(None))) else type(found).__name__
        raise WrongContents(f"its {part} is {text[:80]}, expected {expected}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == length


def _is_plain(value, depth=8):
    if isinstance(value, dict):
        return depth > 0 and _is_plain([*value.keys(), *value.values()], depth - 1)
    if isinstance(value, (list, tuple)):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return isinstance(value, (bool, int, float, str, type(None)))


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _is_plain_tensor(value: Any) -> bool:
    return torch.is_tensor(value) and value.layout == torch.strided and value.device.type != "meta"


def _are_numbers(value: Any) -> bool:
    return _is_named(value) and all(isinstance(number, numbers.Real) for number in value.values())


def _are_results(value: Any) -> bool:
    return _is_named(value) and all(
        _is_named(found) and all(map(_are_numbers, found.values())) for found in value.values()
    )
