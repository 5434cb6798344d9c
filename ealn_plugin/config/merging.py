"""Files and ``KEY VALUE`` pairs into a configuration tree, so that every slip becomes a sentence."""

import ast
import difflib
import reprlib

import yaml
from yacs.config import CfgNode


def read_yaml(path):
    """The tree of a YAML file; an empty file is an empty tree.

    Raises:
        FileNotFoundError, ValueError: with one sentence that names the file, and the line where YAML is at fault.
    """
    try:
        with open(path, encoding="utf-8") as file:
            tree = yaml.safe_load(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"--config-file {path!r} does not exist; the project's own are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--config-file {path!r} cannot be read ({error}); expected a YAML text file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ValueError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a tree of KEY: VALUE, found {type(tree).__name__}")
    return tree


def literal(text):
    """What a text on the command line means: Python's literals, true and false in any case, else the text itself."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the latter two for deep nesting
        return {"true": True, "false": False}.get(text.lower(), text)


def merge(config, tree, source):
    """Set every key of a tree as read from a file; ``source`` names the file in error messages.

    Raises:
        ValueError: an unknown key or a value of another type.
    """
    _merge(config, config, tree, "", source)


def _merge(root, node, tree, prefix, source):
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(node.get(key), CfgNode):
            _merge(root, node[key], value, f"{name}.", source)
        else:
            _set_here(root, node, key, value, name, source)


def set_key(config, name, value, source):
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
    if not isinstance(node.get(keys[-1]), str) or isinstance(meant, str):
        value = meant
    _set_here(config, node, keys[-1], value, name, source)


def _set_here(root, node, key, value, name, source):
    if key not in node:
        raise ValueError(_unknown(root, name, source))
    node[key] = _convert(node[key], value, name, source)


def _unknown(root, name, source):
    near = difflib.get_close_matches(name, list(flat(root)), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "; the known keys are in ealn_plugin/config/loading.py"
    return f"unknown config key {name!r} in {source}{hint}"


def _convert(default, value, name, source):
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
    if wanted is list and isinstance(value, (str, tuple)):
        return [value] if isinstance(value, str) else list(value)
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # a folder called 2024
    if wanted is CfgNode:
        raise ValueError(
            f"{name} is {_shown(value)} in {source}, expected a group of keys such as {next(iter(default))}"
        )
    raise ValueError(f"{name} is {_shown(value)} in {source}, expected {wanted.__name__} such as {default!r}")


def _shown(value):
    """A value for a message; YAML's aliases can make one of a few bytes that would fill any memory as text."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlist = 3, 200, 200, 20
    return short.repr(value)


def flat(config, prefix=""):
    """The tree as {dotted key: value}."""
    items = {}
    for key, value in config.items():
        if isinstance(value, dict):
            items.update(flat(value, f"{prefix}{key}."))
        else:
            items[prefix + key] = value
    return items
