"""The configurations that come with the plugin: in a wheel inside the package, in a checkout beside it."""

import difflib
import pathlib
from typing import Any

_PACKAGE = pathlib.Path(__file__).parents[1]


def shipped_configs() -> Any:
    """{file name: path} of the plugin's own configurations."""
    folders = [_PACKAGE / "configs"]
    if (_PACKAGE.parent / "setup.py").is_file():  # a checkout; beside an installed package such a folder is another's
        folders.append(_PACKAGE.parent / "configs")
    return {path.name: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def find_config(name: Any) -> Any:
    """The path of a configuration: a file on the disk, else the plugin's own of that name.

    Args:
        name: path of a YAML file; alone, or in a folder configs/, also the name of one of the plugin's own.
    Raises:
        FileNotFoundError: there is neither; one sentence.
    """
    path, own = pathlib.Path(name), shipped_configs()
    if path.exists():
        return name
    if path.name in own and str(path.parent) in (".", "configs"):
        return str(own[path.name])
    near = difflib.get_close_matches(path.name, own, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"the plugin's own are {', '.join(own)}"
    raise FileNotFoundError(f"--config-file {name!r} does not exist; {hint}")
