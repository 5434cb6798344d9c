"""The configurations that come with the plugin: in a wheel inside the package, in a checkout beside it."""

import difflib
import pathlib
from typing import Any

_PACKAGE = pathlib.Path(__file__).parents[1]
COMPARED = "compared"
"""Folder of the systems that the paper compares itself with, one file each."""


def shipped_configs() -> Any:
    """{file name: path} of the plugin's own configurations; those of other systems are called compared/NAME.yaml."""
    folders = [_PACKAGE / "configs"]
    if (_PACKAGE.parent / "setup.py").is_file():  # a checkout; beside an installed package such a folder is another's
        folders.append(_PACKAGE.parent / "configs")
    found = {path.name: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    others = [path for folder in folders for path in sorted((folder / COMPARED).glob("*.yaml"))]
    return found | {f"{COMPARED}/{path.name}": path for path in others}


def compared_rows() -> tuple[str, ...]:
    """The names of the other systems: those of the files in configs/compared, without their ending."""
    rows = (name for name in shipped_configs() if name.startswith(f"{COMPARED}/"))
    return tuple(name.removeprefix(f"{COMPARED}/").removesuffix(".yaml") for name in rows)


def find_config(name: Any) -> Any:
    """The path of a configuration: a file on the disk, else the plugin's own of that name.

    Args:
        name: path of a YAML file; alone, in a folder compared/, or either in a folder configs/, also the name of one
            of the plugin's own.
    Raises:
        FileNotFoundError: there is neither; one sentence.
    """
    path, own = pathlib.Path(name), shipped_configs()
    if path.exists():
        return name
    for known in (path.name, f"{COMPARED}/{path.name}"):
        if known in own and str(path) in (path.name, known, str(pathlib.Path("configs", known))):
            return str(own[known])
    near = difflib.get_close_matches(path.name, own, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"the plugin's own are {', '.join(own)}"
    raise FileNotFoundError(f"--config-file {name!r} does not exist; {hint}")
