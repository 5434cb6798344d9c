"""Files of safetensors that say which network their weights belong to and what images it takes.

The format is that of https://github.com/huggingface/safetensors: 8 bytes that give the length of a header, the header
as JSON, whose ``__metadata__`` holds texts, and the numbers. No code can be in it.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

SUFFIX = ".safetensors"
_LONGEST_HEADER = 100 * 2**20
_KEYS = {"model": "network", "height": "image_height", "width": "image_width", "norm_mean": "mean", "norm_std": "std"}
"""Arguments of ``load_model`` and what ``metadata_of`` calls them in the files of ``ealn export``."""
OPTIONS = "network_options"
"""What ``metadata_of`` calls the options of ``CHANGING`` that are not at their defaults, as JSON."""
CHANGING = ("ealn.neck", "ealn.last_stride", "ealn.vggm_feature")
"""Keys of a configuration that make another network of the same model.name."""


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as safetensors do; neither a zip file nor a pickle can."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError:
        return False
    length = int.from_bytes(start[:8], "little")
    return len(start) == 9 and start[8:] == b"{" and 2 <= length <= min(size - 8, _LONGEST_HEADER)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in the header of a file of safetensors.

    Raises:
        ValueError: it is no such file; one sentence.
    """
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except (ValueError, RecursionError, AttributeError, MemoryError, OverflowError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is no file of safetensors that can be read ({type(error).__name__}); restore it"
        ) from error


def read_description(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """{'model', 'height', 'width', 'norm_mean', 'norm_std'} as a file of ``ealn export`` says; None for any other file.

    Raises:
        ValueError: what it says cannot be used; one sentence.
    """
    if not is_safetensors(path):
        return None
    said = read_metadata(path)
    if not all(key in said for key in _KEYS.values()):
        return None
    try:
        found: dict[str, Any] = {"model": said["network"]}
        for name in ("height", "width"):
            found[name] = int(said[_KEYS[name]])
        for name in ("norm_mean", "norm_std"):
            first, second, third = (float(value) for value in json.loads(said[_KEYS[name]]))
            found[name] = [first, second, third]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} describes its network in a way that cannot be read ({error}); export it again"
        ) from error
    return found


def read_options(path: str | os.PathLike[str], model: str) -> dict[str, Any]:
    """{key of ``CHANGING``: value} with which the network of a file of ``ealn export`` was built; {} for other files.

    Args:
        model: name of the network that the file is for; {} too where the file is of another.
    Raises:
        ValueError: what it says cannot be used; one sentence.
    """
    if not is_safetensors(path):
        return {}
    said = read_metadata(path)
    if said.get("network") != model or OPTIONS not in said:
        return {}
    try:
        options = dict(json.loads(said[OPTIONS]))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} describes its network in a way that cannot be read ({error}); export it again"
        ) from error
    unknown = [key for key in options if key not in CHANGING]
    if unknown:
        raise ValueError(
            f"{os.fspath(path)!r} was written with {unknown[0]}, which this version does not know; use the version of "
            "ealn_plugin that wrote it"
        )
    return options


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """{name: tensor} of a file of safetensors, on the CPU.

    Raises:
        Exception: of safetensors' own kinds, where the file is broken.
    """
    from safetensors.torch import load_file

    return load_file(path)


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write a file of safetensors.

    Args:
        tensors: {name: tensor}. metadata: {key: text} for its header.
    """
    from safetensors.torch import save_file

    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, path, {"format": "pt", **metadata})
