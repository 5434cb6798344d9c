"""The names of a user's own datasets, ``csv:PATH`` and ``folder:PATH``, as data.sources and data.targets hold them."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

KINDS = ("csv", "folder")
KEYS = ("data.sources", "data.targets")
"""The settings that hold names of datasets."""
_LONGEST_NAME = 60


class OwnData(NamedTuple):
    """What such a name says: 'csv' or 'folder', and the path of the file or folder."""

    kind: str
    path: str


def parse(name: str) -> OwnData | None:
    """The kind and the path of a user's own dataset; None for any other name. A bare name that ends in .csv is one."""
    kind, _, path = name.partition(":")
    if kind in KINDS and path:
        return OwnData(kind, path)
    return OwnData("csv", name) if name.lower().endswith(".csv") else None


def absolute(name: str) -> str:
    """A name with its path made absolute, '~' expanded, so that it means the same from any folder; others unchanged."""
    own = parse(name)
    return name if own is None else f"{own.kind}:{os.path.abspath(os.path.expanduser(own.path))}"


def short(name: str) -> str:
    """A name without where its file lies, for what two equal runs on two machines have in common; others unchanged."""
    own = parse(name)
    return name if own is None else f"{own.kind}:{os.path.basename(os.path.normpath(own.path))}"


def display_name(name: str, parents: int = 0) -> str:
    """What tables, files and folders call a dataset: of 'csv:photos/my cars.csv' that is 'my_cars'; others unchanged.

    Args:
        parents: how many of the folders around it come before, where that alone would not tell two apart.
    """
    own = parse(name)
    if own is None:
        return name
    path = os.path.abspath(own.path)
    parts = path.strip(os.sep).split(os.sep)
    if own.kind == "csv" and parts[-1].lower().endswith(".csv"):
        parts[-1] = parts[-1][: -len(".csv")]
    text = "_".join(parts[-1 - parents :])
    return re.sub(r"[^0-9A-Za-z.-]+", "_", text).strip("_.-")[-_LONGEST_NAME:] or "own_data"


def from_path(path: str) -> str:
    """The name of the dataset at ``path``, a CSV file or a folder; also 'csv:PATH' and 'folder:PATH' themselves.

    Raises:
        FileNotFoundError: there is neither; one sentence.
    """
    given = parse(path) if path.partition(":")[0] in KINDS else None
    if given is not None:
        check_exists(path, "--data")
        return absolute(path)
    expanded = os.path.expanduser(path)
    if os.path.isdir(expanded):
        return absolute(f"folder:{path}")
    if os.path.isfile(expanded):
        return absolute(f"csv:{path}")
    raise FileNotFoundError(
        f"--data is {path!r}, but there is no such file or folder; give a CSV with the columns path, pid and camid "
        "or a folder VEHICLE/IMAGE (datasets.md), while datasets with a name are given with -s and -t"
    )


def check_exists(name: str, flag: str) -> None:
    """Refuse a user's own dataset whose file or folder is not there.

    Args:
        flag: how the user named it.
    Raises:
        FileNotFoundError: one sentence.
    """
    own = parse(name)
    if own is None:
        return
    path = os.path.expanduser(own.path)
    if not (os.path.isfile(path) if own.kind == "csv" else os.path.isdir(path)):
        what = "CSV file" if own.kind == "csv" else "folder"
        raise FileNotFoundError(
            f"{flag} names {name!r}, but there is no such {what}; give its present path with --data PATH"
        )


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{dotted key: value} without where the user's own datasets lie."""
    return {key: [short(name) for name in value] if key in KEYS else value for key, value in settings.items()}
