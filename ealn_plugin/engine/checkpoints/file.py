"""Checkpoints: one file that holds a whole run, written so that a crash can never leave half of it.

The file is plain tensors, numbers, strings and containers of them, so it loads with ``weights_only=True`` and runs no
code of its author.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

import torch
from torch import nn

from ealn_plugin.engine.checkpoints.contents import WrongContents, restoring
from ealn_plugin.engine.checkpoints.names import BEST as BEST
from ealn_plugin.engine.checkpoints.names import LAST as LAST
from ealn_plugin.engine.checkpoints.names import WARMUP as WARMUP
from ealn_plugin.system.files import UnwritableError, replacing

log = logging.getLogger(__name__)

FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, read, or fitted to this run; the message is one sentence."""


def save_atomically(state: Mapping[str, Any], path: str) -> None:
    """Write ``state`` to ``path`` so that the file is either the old one or the whole new one.

    Raises:
        CheckpointError: the file cannot be written (disk full, no permission); an older one stays as it is.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            writer = _Writer(file)
            try:
                torch.save(state, writer)  # type: ignore[arg-type]
            except RuntimeError as error:  # torch's own writer hides what went wrong with the file
                raise (writer.error or error) from error
    except UnwritableError as error:
        raise _unwritable(path, error.__cause__) from error
    except (OSError, RuntimeError) as error:
        raise _unwritable(path, error) from error


class _Writer:
    """A file for ``torch.save`` that remembers why it could not be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """As that of the file."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """As that of the file."""
        self._file.flush()


def _unwritable(path: str, error: BaseException | None) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path!r} could not be written ({error}); an earlier one is untouched: free "
        "some space, or go on with another data.save_dir"
    )


def find(path: str) -> str:
    """The checkpoint file meant by ``model.resume``: the file itself, or the last one of a run folder.

    Raises:
        FileNotFoundError: there is none.
    """
    if os.path.isdir(path):
        inside = os.path.join(path, LAST)
        if not os.path.isfile(inside):
            raise FileNotFoundError(
                f"model.resume is the folder {path!r}, but it has no {LAST}: nothing was saved "
                "there yet; start without model.resume"
            )
        return inside
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"model.resume is {path!r}, but there is no such file or folder; give a run folder or its {LAST}"
        )
    return path


def load(path: str) -> dict[str, Any]:
    """Read a checkpoint written by ``save_atomically``, onto the CPU, without running any code in it.

    Raises:
        CheckpointError: the file is truncated, not a checkpoint, or not one of a whole EALN run.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file; all of them mean the same here
        raise CheckpointError(
            f"checkpoint {path!r} cannot be read ({type(error).__name__}): it is truncated or not a "
            "checkpoint; use another one of the run, such as checkpoint_best.pth.tar"
        ) from error
    if not isinstance(state, dict) or "ealn_format" not in state:
        raise CheckpointError(
            f"checkpoint {path!r} is not one of a whole EALN run; load an embedding network alone "
            "with model.load_weights instead of model.resume"
        )
    if type(state["ealn_format"]) is not int or state["ealn_format"] != FORMAT:
        raise CheckpointError(
            f"checkpoint {path!r} has format {state['ealn_format']}, expected {FORMAT}; resume it "
            "with the version of the plugin that wrote it"
        )
    return state


@contextlib.contextmanager
def naming_file(path: str) -> Iterator[None]:
    """Within it, wrong contents become a CheckpointError that names the file."""
    try:
        yield
    except WrongContents as error:
        raise CheckpointError(
            f"checkpoint {path!r} is damaged or was not written by this plugin: {error}; use another "
            "one of the run, such as checkpoint_best.pth.tar"
        ) from error


def fit(module: nn.Module, state_dict: Mapping[str, Any], name: str, path: str) -> None:
    """Load ``state_dict`` into ``module``; of another architecture, the first layer that differs is named.

    Raises:
        CheckpointError: the checkpoint is of another architecture, or its tensors are of another kind.
    """
    own = module.state_dict()
    for key in sorted(own.keys() | state_dict.keys()):
        if key not in state_dict or key not in own:
            where = "the checkpoint" if key not in state_dict else "the network"
            raise CheckpointError(
                f"checkpoint {path!r} is of another architecture: {where} has no {name} layer "
                f"{key!r}; use the config of the run that wrote it"
            )
        if own[key].shape != state_dict[key].shape:
            raise CheckpointError(
                f"checkpoint {path!r} is of another architecture: {name} layer {key!r} is "
                f"{list(state_dict[key].shape)} there and {list(own[key].shape)} here; use the config of the run "
                "that wrote it"
            )
    with naming_file(path), restoring(f"{name} layers"):
        module.load_state_dict(state_dict)
