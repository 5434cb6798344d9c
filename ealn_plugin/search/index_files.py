"""The files beside an index's images: its manifest.json, its lock, and what tells that every file is whole."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ealn_plugin.search.errors import NoIndexError, SearchIndexError
from ealn_plugin.system.entrances import command
from ealn_plugin.system.locks import HeldElsewhere, try_lock

MANIFEST, LOCK, FORMAT = "manifest.json", "lock", 2
_CHUNK = 2**20
_ENDS = {".lance": b"LANC", ".idx": b"LANC", ".manifest": b"LANC", ".arrow": b"ARROW1"}
"""Bytes with which whole files of an ending end."""


def read_files(folder: str) -> tuple[int, dict[str, Any]]:
    """(version that counts, its files) of a manifest.json.

    Raises:
        SearchIndexError: there is none, or it is damaged or of another format.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if values["format"] == 1:
            raise SearchIndexError(
                f"the index {folder!r} was made by an earlier version of the plugin, whose format 1 is read no more; "
                f"make it anew in another folder with {command('search')} index"
            )
        if values["format"] != FORMAT:
            raise SearchIndexError(
                f"the index {folder!r} has format {values['format']!r}, expected {FORMAT}; open it "
                "with the version of the plugin that made it, or make it anew"
            )
        if values["sha256"] != _digest(values["index"]):
            raise ValueError("its checksum is wrong")
        version, files = values["index"]["version"], values["index"]["files"]
        if type(version) is not int or any(".." in name.split("/") or name.startswith("/") for name in files):
            raise ValueError("it names files that are not those of an index")
        return version, files
    except FileNotFoundError:
        raise no_index(folder) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SearchIndexError(
            f"{path!r} is not the manifest of an index, or damaged ({error}); make the index anew"
        ) from error


def no_index(folder: str) -> NoIndexError:
    """The error where there is none."""
    return NoIndexError(f"--index {folder!r} holds no index; make one with {command('search')} index")


def files_text(version: int, files: Mapping[str, Any]) -> str:
    """The content of manifest.json for a version of the images and ``state_of`` each of its files."""
    values = {"version": version, "files": dict(files)}
    return json.dumps({"format": FORMAT, "index": values, "sha256": _digest(values)}) + "\n"


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Within it nobody else changes the index; the lock of a killed process is gone with it.

    Raises:
        SearchIndexError: somebody else is changing it. OSError: the folder cannot be written.
    """
    with open(os.path.join(folder, LOCK), "ab") as file:
        try:
            try_lock(file)
        except HeldElsewhere:
            raise SearchIndexError(
                f"the index {os.fspath(folder)!r} is being changed by another process; wait for it to end"
            ) from None
        yield


def check_end(path: str) -> None:
    """Refuse a new file that is cut off: Lance does not notice when the system takes only a part of its last piece.

    Raises:
        OSError: it does not end as files of its kind do.
    """
    end = _ENDS.get(os.path.splitext(path)[1], b"")
    with open(path, "rb") as file:
        file.seek(-min(len(end), os.path.getsize(path)), os.SEEK_END)
        if file.read() != end and end:
            raise OSError(f"only a part of {os.path.basename(path)} was taken, as by a full disk")


def state_of(path: str, flush: bool = False) -> dict[str, Any]:
    """{'bytes', 'sha256'} of a file; ``flush``: have it reach the disk first."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if flush:
            os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}
