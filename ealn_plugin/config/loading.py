"""From files, flags and ``KEY VALUE`` pairs of a command line to one checked configuration."""

from ealn_plugin.config.checks import check_config
from ealn_plugin.config.defaults import default_config
from ealn_plugin.config.merging import merge, read_yaml, set_key


def load_config(config_file="", options=(), **overrides):
    """Defaults, then the file, then the flags, then ``KEY VALUE`` pairs; checked.

    Args:
        config_file: path of a YAML file, or '' for none.
        options: flat sequence KEY, VALUE, KEY, VALUE, ... as on torchreid's command line.
        overrides: values of torchreid's own flags: root, sources, targets, transforms (None or empty: not given).
    Returns:
        yacs.config.CfgNode, frozen.
    Raises:
        FileNotFoundError, ValueError: with one sentence.
    """
    config = default_config()
    if config_file:
        merge(config, read_yaml(config_file), config_file)
    for flag in ("root", "sources", "targets", "transforms"):
        if overrides.get(flag):
            set_key(config, f"data.{flag}", overrides[flag], f"--{flag}")
    options = list(options or ())
    if len(options) % 2:
        raise ValueError(
            f"the options are not pairs of KEY VALUE: the last one, {options[-1]!r}, has no value; "
            "give one to every key"
        )
    for key, value in zip(options[::2], options[1::2]):
        set_key(config, key, value, "the command line")
    check_config(config)
    config.freeze()
    return config


def split_arguments(arguments):
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
