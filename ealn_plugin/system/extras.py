"""Optional packages: which extra of setup.py brings them, and one sentence where they are missing."""

import importlib.util
import pathlib
from collections.abc import Iterable


def install_command(extra: str) -> str:
    """What installs an extra of setup.py: in a checkout with the versions that were tested, else for the package."""
    if (pathlib.Path(__file__).parents[2] / "constraints.txt").is_file():
        return f'pip install -c constraints.txt -e ".[{extra}]"'
    return f'pip install "ealn_plugin[{extra}]"'


def check_extra(extra: str, packages: Iterable[str], purpose: str, otherwise: str = "") -> None:
    """Raise a RuntimeError with one sentence unless all packages are installed.

    Args:
        extra: name of the extra in setup.py. packages: names to import. purpose: what needs them, in the plural.
        otherwise: what a user may do instead, such as 'leave it out with --no-figures'.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise RuntimeError(
            f"{' and '.join(missing)} {verb} not installed, but {purpose} need {them}; install with "
            f"{install_command(extra)}{otherwise and f', or {otherwise}'}"
        )
