"""Registers a user's own datasets with torchreid on the fly, under names that are safe in tables and file names."""

import functools
import os
from collections.abc import Iterable
from typing import Any

from ealn_plugin import toolkit
from ealn_plugin.config.own_data import OwnData, absolute, check_exists, display_name, parse
from ealn_plugin.data.own.dataset import OwnDataset, record_of

_MOST_PARENTS = 64


def registered(names: Iterable[str]) -> dict[str, str]:
    """Make every 'csv:PATH' and 'folder:PATH' known to torchreid's data managers.

    The registered name is that of the file; of two that have the same, or where it is that of another dataset, the
    later one has the folders around it before it. So equal lists give equal names in every process.

    Args:
        names: of datasets, those that are tested on first; those of other datasets stay what they are.
    Returns:
        {name: the name that it is registered under}
    """
    given: dict[str, str] = {}
    own: dict[OwnData, str] = {}
    taken = {name for name in toolkit.dataset_names() if not _is_own(name)}
    for name in sorted(names, key=_is_gone):  # one that is gone leaves its name to another copy of it
        source = parse(absolute(name))
        if source is None:
            given[name] = name
            continue
        if source not in own:
            own[source] = _free(name, source, taken | set(own.values()))
            kind = functools.partial(OwnDataset, source, own[source])
            toolkit.register_dataset(own[source], kind, replace=True)
        given[name] = own[source]
    return given


def build_dataset(name: str, root: str, **options: Any) -> Any:
    """``toolkit.build_dataset`` that knows the user's own datasets as well."""
    return toolkit.build_dataset(registered([name])[name], root, **options)


def splits_to_record(names: Iterable[str], seed: int, recorded: Any = None) -> dict[str, Any]:
    """{registered name: ``record_of`` it} of those of the user's own datasets whose split was drawn.

    Args:
        names: of datasets. seed: of the draw. recorded: {registered name: split} that a run began with.
    """
    records = {}
    for name, registered_name in registered(names).items():
        source = parse(absolute(name))
        record = record_of(source, registered_name, seed, recorded) if source is not None else None
        if record is not None:
            records[registered_name] = record
    return records


def _free(name: str, source: OwnData, taken: set[str]) -> str:
    names = (display_name(absolute(name), parents) for parents in range(_MOST_PARENTS))
    found = next((candidate for candidate in names if candidate not in taken), None)
    if found is None:
        check_exists(name, "a dataset")
        raise ValueError(f"no name is free for the dataset {name!r}; rename its file")
    return found


def _is_gone(name: str) -> bool:
    source = parse(absolute(name))
    return source is not None and not os.path.exists(source.path)


def _is_own(name: str) -> bool:
    return isinstance(toolkit.registered_dataset(name), functools.partial)
