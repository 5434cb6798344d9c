"""From files, flags and ``KEY VALUE`` pairs of a command line to one checked configuration."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from ealn_plugin.config import own_data
from ealn_plugin.config.backbones import fill_input
from ealn_plugin.config.checks import check_config, check_named_root
from ealn_plugin.config.defaults import RENAMED, default_config
from ealn_plugin.config.merging import flat, merge, read_yaml, set_key, warn_of_old_names, with_current_names
from ealn_plugin.config.resuming import CONFIG, config_of_run
from ealn_plugin.system.imports import located


def load_config(
    config_file: str = "", options: Sequence[Any] = (), training: bool = False, **overrides: Any
) -> CfgNode:
    """Defaults, then the file, then the flags, then ``KEY VALUE`` pairs; checked.

    A timm model is given images of the size and normalization of its own pretrained config where neither of these says
    anything else. Keys under the names of an earlier version (``RENAMED``) are accepted, one warning for each source.

    Args:
        config_file: path of a YAML file, or '' for none.
        options: flat sequence KEY, VALUE, KEY, VALUE, ... as on torchreid's command line.
        training: for a command that trains. Where ``model.resume`` names a run, what that run left in its config.yaml
            stands in the place of the defaults, and data.save_dir is its folder: nothing else needs to be given. And
            ``check_named_root`` looks at a data.root that a flag or an option names.
        overrides: values of flags: torchreid's own root, sources, targets, transforms, and imports, which are added to
            those that the file names (None or empty: not given).
    Returns:
        yacs.config.CfgNode, frozen.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: with one sentence.
    """
    config = default_config()
    tree, old_names = with_current_names(read_yaml(config_file)) if config_file else ({}, ())
    if old_names:
        warn_of_old_names(tuple(old_names), config_file)
    options = list(options or ())
    given = {*flat(tree), *options[::2]}
    if training:
        given |= _begin_from_run(config, _asked_for("model.resume", tree, options))
    merge(config, tree, config_file)
    named_root = overrides.get("root") or "data.root" in options[::2]
    for flag in ("root", "sources", "targets", "transforms"):
        if overrides.get(flag):
            set_key(config, f"data.{flag}", overrides[flag], f"--{flag}")
    if len(options) % 2:
        raise ValueError(
            f"the options are not pairs of KEY VALUE: the last one, {options[-1]!r}, has no value; "
            "give one to every key"
        )
    old = tuple(dict.fromkeys(key for key in options[::2] if key in RENAMED))
    if old:
        warn_of_old_names(old, "the command line")
    for key, value in zip(options[::2], options[1::2]):
        set_key(config, RENAMED.get(key, key), value, "the command line")
    fill_input(config, given)
    check_config(config)
    _locate_own(config, overrides.get("imports") or (), training)
    if training and named_root and "ealn.render.preset" not in options[::2]:
        check_named_root(config)
    config.freeze()
    return config


def _locate_own(config: CfgNode, imports: Sequence[str], training: bool) -> None:
    """Give the user's own modules and datasets paths that mean the same from any folder; ``imports`` are added."""
    config.ealn.imports = list(dict.fromkeys(map(located, [*config.ealn.imports, *imports])))
    for key in own_data.KEYS:
        side = key.rpartition(".")[2]
        config.data[side] = [own_data.absolute(name) for name in config.data[side]]
        for name in config.data[side] if training else ():
            own_data.check_exists(name, key)


def _begin_from_run(config: CfgNode, path: Any) -> set[str]:
    """Take over the settings of the run that ``model.resume`` names, if it names one; returns their keys."""
    if not isinstance(path, str) or not path:
        return set()
    tree, folder = config_of_run(path)
    if tree is not None:
        merge(config, tree, os.path.join(folder, CONFIG))
    if tree is not None or os.path.isdir(path):
        config.data.save_dir = folder
    return set(flat(tree or {}))


def _asked_for(name: str, tree: Mapping[str, Any], options: Sequence[Any]) -> Any:
    """The value that a key will have, of a file's tree and KEY VALUE pairs; None where neither has it."""
    group, _, key = name.partition(".")
    found = tree[group].get(key) if isinstance(tree.get(group), dict) else None
    for key, value in zip(options[::2], options[1::2]):
        found = value if key == name else found
    return found


def run_config(folder: str) -> CfgNode:
    """The settings that a run left in its folder (yacs tree, frozen).

    Raises:
        ValueError: it left none, or a file that is none of this plugin.
    """
    tree, folder = config_of_run(folder)
    config = default_config()
    merge(config, tree or {}, os.path.join(folder, CONFIG))
    config.freeze()
    return config


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags and ``KEY VALUE`` pairs of a command line: ([flag, ...], [KEY, VALUE, ...]).

    A pair is an argument that is, or looks like, a key, and the one behind it; what follows a pair belongs to the pairs
    as well, up to the next flag. Without this a flag with several values, such as torchreid's own -s, would take the
    pairs behind it for values of its own. What stands right behind a flag is its value, even ``--json train.json``.
    """
    known, flags, pairs = default_config(), [], []
    taking, rest = flags, list(arguments)
    while rest:
        group = rest[0].partition(".")[0]
        if rest[0] == "use_gpu" or ("." in rest[0] and "/" not in rest[0] and group in known):
            taking = pairs
            taking += rest[:2]
            rest = rest[2:]
            continue
        if rest[0].startswith("-"):
            taking = flags
            taking.append(rest.pop(0))
            if rest and not rest[0].startswith("-"):
                taking.append(rest.pop(0))
            continue
        taking.append(rest.pop(0))
    return flags, pairs
