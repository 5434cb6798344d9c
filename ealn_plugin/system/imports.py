"""A user's own modules, imported so that the datasets and models that they register can be named."""

import importlib
import logging
import os
import sys
from collections.abc import Iterable

log = logging.getLogger(__name__)


def located(name: str) -> str:
    """A module's name with the folder that it lies in before it, where that is the current folder or one that is named.

    A run that records it finds the module again from anywhere.

    Args:
        name: such as 'my_module', 'package.module', 'folder/my_module' or 'folder/my_module.py'.
    Returns:
        'ABSOLUTE/FOLDER/my_module', or the name alone where the module is to be found by Python.
    """
    folder, module = _parts(name)
    if folder or _lies_in(os.getcwd(), module):
        return os.path.join(os.path.abspath(folder), module)
    return module


def module_name(name: str) -> str:
    """The name under which Python knows the module."""
    return _parts(name)[1]


def import_modules(names: Iterable[str]) -> None:
    """Import modules, each once; a folder that stands before a name, and the current one, are searched first.

    What they print and register stays. The folder is kept in sys.path, so that data workers find the module as well.

    Raises:
        ValueError: one sentence with the module and the error.
    """
    for name in dict.fromkeys(names):
        folder, module = _parts(name)
        if module not in sys.modules:
            _import(os.path.abspath(folder), module)
        elif folder:
            _check_same(os.path.abspath(folder), module)


def _import(folder: str, module: str) -> None:
    places = [place for place in dict.fromkeys((folder, os.getcwd())) if place not in sys.path]
    sys.path[:0] = places
    try:
        importlib.invalidate_caches()
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        where = "" if folder == os.getcwd() else f"{folder}, "
        reason = str(error).strip().partition("\n")[0] or "no message"
        raise ValueError(
            f"the module {module!r} of --import could not be imported ({type(error).__name__}: {reason}); it was "
            f"looked for in {where}the current folder and among the installed packages; correct the module or its name"
        ) from error
    finally:  # behind all others from now on: a file of the user must not take the place of an installed package
        sys.path[:] = [place for place in sys.path if place not in places] + places
    log.info("imported %s from %s", module, _file_of(module))


def _check_same(folder: str, module: str) -> None:
    """Refuse a second module of the same name from another folder, which Python would never read."""
    if _lies_in(folder, module) and os.path.commonpath([folder, os.path.abspath(_file_of(module))]) != folder:
        raise ValueError(
            f"the module {module!r} of --import is to come from {folder}, but another one of that name is imported "
            f"already, from {_file_of(module)}; rename one of them"
        )


def _file_of(module: str) -> str:
    return getattr(sys.modules[module], "__file__", None) or module


def _parts(name: str) -> tuple[str, str]:
    folder, module = os.path.split(os.path.expanduser(name))
    return folder, module.removesuffix(".py")


def _lies_in(folder: str, module: str) -> bool:
    path = os.path.join(folder, *module.split("."))
    return os.path.isfile(f"{path}.py") or os.path.isfile(os.path.join(path, "__init__.py"))
