"""Weights that are named otherwise than by the path of a file: those of the package, and those of a Hugging Face
repository. Nothing here imports torch."""

import os
import pathlib
from typing import Any

from ealn_plugin.runs import hub
from ealn_plugin.runs.described_file import read_description, read_options

SHIPPED = "shipped"
SHIPPED_FILE = pathlib.Path(__file__).parents[1] / "weights" / "mobilenetv2_rendered_vehicles.safetensors"
NOTICE = (
    "no network is named, so the one that comes with the package is used: MobileNetV2, trained from ImageNet weights "
    "on rendered vehicles and never on photographs of vehicles; real scenes will be worse than with a network that was "
    "trained on them"
)
"""What a user is told who names no network."""


def is_reference(name: Any) -> bool:
    """Whether weights are named by 'shipped' or 'hf:OWNER/NAME' and not by a path."""
    return isinstance(name, str) and (name == SHIPPED or name.startswith(hub.PREFIX))


def local_file(name: str | os.PathLike[str], flag: str = "--weights") -> str:
    """The path of the file that weights are named by; of a Hugging Face repository that of its copy on this machine.

    Args:
        name: a path, which is returned as it is; 'shipped'; or 'hf:OWNER/NAME'. flag: what the user calls it.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: there are none; one sentence.
    """
    if not is_reference(name):
        return os.fspath(name)
    if name == SHIPPED:
        if not SHIPPED_FILE.is_file():
            raise FileNotFoundError(
                f"{flag} is {SHIPPED!r}, but this installation holds no {SHIPPED_FILE.name}; install ealn_plugin anew, "
                "or give weights of your own"
            )
        return str(SHIPPED_FILE)
    return hub.download(str(name), flag)


def absolute(name: str | os.PathLike[str]) -> str:
    """A name of weights that means the same from any folder."""
    return str(name) if is_reference(name) else os.path.abspath(name)


def described_network(name: str | os.PathLike[str], flag: str = "--weights") -> dict[str, Any]:
    """What weights say of the network that they belong to: model, height, width, norm_mean and norm_std.

    Args:
        name: as for ``local_file``. flag: what the user calls it.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: there are none, or they do not say it; one sentence.
    """
    path = local_file(name, flag)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{flag} is {path!r}, but there is no such file; give a file of weights")
    described = read_description(path)
    if described is None:
        raise ValueError(
            f"{flag} {path!r} does not say which network it belongs to; give the model's name too, with --model NAME"
        )
    return described


def recorded_options(name: str | os.PathLike[str], model: str, flag: str = "--weights") -> list[Any]:
    """[KEY, VALUE, ...] of a configuration: what weights record of their network beside its name, ``ealn.neck`` say.

    Args:
        name: as for ``local_file``; model: name of the network. flag: what the user calls the weights.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: as ``described_network``.
    """
    return [item for pair in read_options(local_file(name, flag), model).items() for item in pair]
