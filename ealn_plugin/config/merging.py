"""Files and ``KEY VALUE`` pairs into a configuration tree, so that every slip becomes a sentence."""

import ast
import difflib
import functools
import logging
import reprlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import yaml
from yacs.config import CfgNode

from ealn_plugin.config.defaults import _MIXED, RENAMED
from ealn_plugin.config.shipped import find_config

log = logging.getLogger(__name__)


def read_yaml(path: str | PathLike[str]) -> dict[Any, Any]:
    """The tree of a YAML file, or of the plugin's own configuration of that name; an empty file is an empty tree.

    Raises:
        FileNotFoundError, ValueError: with one sentence that names the file, and the line where YAML is at fault.
    """
    try:
        with open(find_config(path), encoding="utf-8") as file:
            tree = yaml.safe_load(file)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--config-file {path!r} cannot be read ({error}); expected a YAML text file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ValueError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a tree of KEY: VALUE, not {type(tree).__name__}")
    return tree


def literal(text: str) -> Any:
    """What a text on the command line means: Python's literals, true and false in any case, else the text itself."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the latter two for deep nesting
        return {"true": True, "false": False}.get(text.lower(), text)


def merge(config: CfgNode, tree: Mapping[Any, Any], source: str) -> None:
    """Set every key of a tree as read from a file; ``source`` names the file in error messages.

    Raises:
        ValueError: an unknown key or a value of another type.
    """
    _merge(config, config, tree, "", source)


def _merge(root: CfgNode, node: CfgNode, tree: Mapping[Any, Any], prefix: str, source: str) -> None:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(node.get(key), CfgNode):
            _merge(root, node[key], value, f"{name}.", source)
        else:
            _set_here(root, node, key, value, name, source)


def set_key(config: CfgNode, name: str, value: Any, source: str) -> None:
    """Set the dotted key ``name``; ``source`` says in error messages where it was given.

    A text is read as ``literal`` does, but where the key holds a text it stays one: a folder may be called 007 or [a].

    Raises:
        ValueError: an unknown key or a value of another type.
    """
    node, *keys = config, *name.split(".")
    for key in keys[:-1]:
        if not isinstance(node.get(key), CfgNode):
            raise ValueError(_unknown(config, name, source))
        node = node[key]
    meant = literal(value)
    if name in _MIXED or not isinstance(node.get(keys[-1]), str) or isinstance(meant, str):
        value = meant
    _set_here(config, node, keys[-1], value, name, source)


def _set_here(root: CfgNode, node: CfgNode, key: Any, value: Any, name: str, source: str) -> None:
    if key not in node:
        raise ValueError(_unknown(root, name, source))
    node[key] = _convert(node[key], value, name, source)


def with_current_names(tree: Mapping[Any, Any]) -> tuple[dict[Any, Any], Any]:
    """A tree of keys as an earlier version wrote it, under the names that the keys have now.

    Returns:
        (tree, old): the tree, copied where something in it was renamed, and the list of the dotted old names in it.
    """
    tree, old = dict(tree), []
    for name, now in RENAMED.items():
        group, _, key = name.rpartition(".")
        if isinstance(tree.get(group), dict) and key in tree[group]:
            old.append(name)
            new_key = now.rpartition(".")[2]
            tree[group] = {(new_key if own == key else own): value for own, value in tree[group].items()}
    return tree, old


@functools.cache
def warn_of_old_names(old: Sequence[str], source: str) -> None:
    """Say once for each source which of its keys have other names now; ``old``: tuple of names."""
    log.warning(
        "%s: %s; the old names still work, rename them when convenient",
        source,
        ", ".join(f"{name} is now called {RENAMED[name]}" for name in old),
    )


def _unknown(root: CfgNode, name: str, source: str) -> str:
    near = difflib.get_close_matches(name, list(flat(root)), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "; the known keys are in ealn_plugin/config/defaults.py"
    return f"unknown config key {name!r} in {source}{hint}"


def _convert(default: Any, value: Any, name: str, source: str) -> Any:
    if name in _MIXED:
        return _one_of(_MIXED[name], value, name, source)
    wanted = type(default)
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is float and isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            pass
    if wanted is list and isinstance(value, str) and value[:1] + value[-1:] == "[]":  # words without quotes, as in YAML
        return [word.strip() for word in value[1:-1].split(",") if word.strip()]
    if wanted is list and isinstance(value, (str, tuple)):
        return [value] if isinstance(value, str) else list(value)
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # a folder called 2024
    if wanted is CfgNode:
        raise ValueError(
            f"{name} is {_shown(value)} in {source}, expected a group of keys such as {next(iter(default))}"
        )
    raise ValueError(f"{name} is {_shown(value)} in {source}, expected {wanted.__name__} such as {default!r}")


def _one_of(choices: Sequence[Any], value: Any, name: str, source: str) -> Any:
    """The value, if it is one of the choices and of its type: 1 is not True here."""
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    *others, last = (str(choice).lower() for choice in choices)
    raise ValueError(f"{name} is {_shown(value)} in {source}, expected {', '.join(others)} or {last}")


def _shown(value: Any) -> str:
    """A value for a message; YAML's aliases can make one of a few bytes that would fill any memory as text."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlist = 3, 200, 200, 20
    return short.repr(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The tree as {dotted key: value}."""
    items = {}
    for key, value in config.items():
        if isinstance(value, dict):
            items.update(flat(value, f"{prefix}{key}."))
        else:
            items[prefix + key] = value
    return items
