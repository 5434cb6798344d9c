"""Figures kept in a folder with what they were drawn from, so that they are drawn again only when that has changed."""

import functools
import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ealn_plugin
from ealn_plugin.system.durations import Durations
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)

LIST = "drawn_from.json"

Draw = Callable[[Sequence[Any], str], list[str]]
"""(runs, folder) -> paths of the PNG files made there, in order; where there are numbers, they stand beside as CSV."""


class KeptFigures:
    """The figures of a folder.

    Args:
        folder: made when the first figure is drawn. durations: is told how long each took.
    """

    def __init__(self, folder: str | os.PathLike[str], durations: Durations | None = None) -> None:
        self.folder, self.durations = os.fspath(folder), durations or Durations()
        self._entries = _read(os.path.join(self.folder, LIST))

    def fetch(self, name: str, runs: Sequence[Any], draw: Draw, networks: bool = True) -> list[str]:
        """The files of a figure, drawn now if they are missing or if what they show has changed.

        Args:
            name: of the figure, for messages and together with the labels of its runs for the list.
            runs: list of ExhibitedRun. draw: see ``Draw``. networks: it shows what networks make of test images.
        Returns:
            list of paths
        Raises:
            OSError: a file cannot be written. What ``draw`` raises.
        """
        labels = [run.label for run in runs]
        entry, key = f"{name}: {', '.join(labels)}", _key(runs, networks)
        kept = self._entries.get(entry, {})
        paths = [os.path.join(self.folder, str(file)) for file in kept.get("files", ())]
        if paths and kept.get("key") == key and all(map(os.path.isfile, paths)):
            log.info("%s of %s: drawn before", name, ", ".join(labels))
            return [path for path in paths if path.endswith(".png")]
        os.makedirs(self.folder, exist_ok=True)
        with self.durations.of(name):
            paths = list(draw(runs, self.folder))
        numbers = [path for path in (f"{os.path.splitext(drawn)[0]}.csv" for drawn in paths) if os.path.isfile(path)]
        taken = {os.path.basename(path) for path in paths}  # a file shows one figure, the last that was drawn into it
        self._entries = {
            other: found for other, found in self._entries.items() if not taken & set(found.get("files", ()))
        }
        self._entries[entry] = {"key": key, "files": [os.path.basename(path) for path in [*paths, *numbers]]}
        text = json.dumps(self._entries, indent=1, sort_keys=True)
        write_atomically(os.path.join(self.folder, LIST), text + "\n")
        return paths


def _key(runs: Sequence[Any], networks: bool) -> str:
    """SHA-256 of everything a figure depends on: this program, the runs' files and, for networks, the test images."""
    inputs = [_program(), *([run.label, run.num_images, run.state_of_files()] for run in runs)]
    if networks:
        inputs.append([run.state_of_images() for run in runs])
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@functools.cache
def _program() -> str:
    """SHA-256 of the package's own source."""
    digest = hashlib.sha256()
    folder = pathlib.Path(ealn_plugin.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _read(path: str) -> dict[str, dict[str, Any]]:
    """The list of a folder; empty where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be used (%s): everything is drawn again", path, error)
        return {}
    if not isinstance(entries, dict):
        return {}
    return {name: found for name, found in entries.items() if isinstance(found, dict)}
