"""Optional packages: which extra of setup.py brings them, and one sentence where they are missing."""

import importlib.util


def check_extra(extra, packages, purpose, otherwise=""):
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
            f'pip install -c constraints.txt -e ".[{extra}]"{otherwise and f", or {otherwise}"}'
        )
