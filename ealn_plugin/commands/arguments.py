"""What command lines share: kinds of values, a parser with hints, flags as settings, checks without torch."""

import argparse
import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from ealn_plugin import config as configuration
from ealn_plugin.config import default_config, flat, own_data
from ealn_plugin.runs.folder import CONFIG, files_of_run
from ealn_plugin.runs.references import described_network, is_reference
from ealn_plugin.system.entrances import as_called, command, program
from ealn_plugin.system.imports import import_modules, located


class Parser(argparse.ArgumentParser):
    """A parser that names the setting of the configuration where an unknown flag resembles one.

    Args:
        name: sub-command, for the usage line. description: text in which 'ealn NAME' becomes what this user starts.
        settings: whether the sub-command takes ``KEY VALUE`` pairs.
    """

    def __init__(self, name: str, description: Any, settings: bool = False) -> None:
        super().__init__(
            prog=program(name), description=as_called(description), formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self._settings, self._arguments = settings, []

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, with the setting that may be meant, and exit with code 2."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        super().error(message + (setting_meant(unknown[0], self._arguments) if unknown and self._settings else ""))

    def parse_with_settings(self, arguments: Sequence[str] | None = None) -> Any:
        """Parse flags and ``KEY VALUE`` pairs in any order; the pairs are in ``opts``.

        Args:
            arguments: list of str; None: those of the process.
        """
        self._arguments = sys.argv[1:] if arguments is None else list(arguments)
        flags, options = configuration.split_arguments(self._arguments)
        args = self.parse_args(flags)
        if options and "opts" not in args:
            self.error(f"{args.command} takes no settings, but {' '.join(options)} was given")
        if options:
            args.opts += options
        return args


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Let ``KEY VALUE`` pairs follow the flags."""
    parser.add_argument(
        "opts", nargs="*", metavar="KEY VALUE", help="settings by name, such as ealn.scheme hard train.max_epoch 20"
    )


def setting_meant(flag: str, arguments: Sequence[str] = ()) -> str:
    """The end of a message about an unknown flag: the settings that it resembles, '' where there are none.

    Args:
        flag: such as '--max-epoch'. arguments: the command line in which it stands, for its value.
    """
    name, _, value = flag.partition("=")
    behind = next((after for before, after in zip(arguments, arguments[1:]) if before == flag), "")
    value = value or ("VALUE" if not behind or behind.startswith("-") else behind)
    wanted = name.lstrip("-").replace("-", "_")
    keys = list(flat(default_config()))
    meant = [key for key in keys if wanted in (key, key.replace(".", "_"), key.rpartition(".")[2])]
    if not meant:
        near = difflib.get_close_matches(wanted, [key.rpartition(".")[2] for key in keys], n=1, cutoff=0.75)
        meant = [key for key in keys if key.rpartition(".")[2] in near]
    choice = " or ".join(f"{key} {value}" for key in meant[:3])
    return f"; settings are given by name, without dashes: did you mean {choice}?" if meant else ""


def add_model_input(group: Any) -> None:
    """What images a model of ``--model`` gets, size and normalization; None: those that it was made for."""
    for side in ("height", "width"):
        group.add_argument(
            f"--{side}", type=int, help="of the images for --model, in pixels (default: 224; timm: its own config's)"
        )
    group.add_argument(
        "--norm-mean",
        nargs=3,
        type=float,
        metavar="M",
        help="normalization for --model (default: ImageNet's; timm: its own config's)",
    )
    group.add_argument("--norm-std", nargs=3, type=float, metavar="S")


def model_input(args: argparse.Namespace) -> Any:
    """Those flags as [KEY, VALUE, ...] of a configuration; what was not given is left out."""
    given = {f"data.{name}": getattr(args, name) for name in ("height", "width", "norm_mean", "norm_std")}
    return [item for key, value in given.items() if value is not None for item in (key, value)]


def complete_from_weights(args: argparse.Namespace) -> None:
    """Take model, image size and normalization from --weights that say them, where --model is not given.

    Args:
        args: of ``add_model_input``, with model and weights; changed.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: there are no such weights, or they do not say it; one sentence.
    """
    if args.weights and not args.model:
        for name, value in described_network(args.weights).items():
            setattr(args, name, value)


def add_own_data(group: Any) -> None:
    """The flag for a user's own photographs; it may be given several times."""
    group.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="your own photographs: a CSV (path,pid,camid[,view][,split]) or a folder VEHICLE/IMAGE; see datasets.md",
    )


def add_imports(group: Any) -> None:
    """The flag for a user's own modules; it may be given several times."""
    group.add_argument(
        "--import",
        action="append",
        default=[],
        dest="imports",
        metavar="MODULE",
        help="a module of yours, here or installed, that registers datasets or models; a run remembers it",
    )


def add_run_reading(parser: argparse.ArgumentParser) -> None:
    """The flags of commands that look at runs again: which runs, their data, and how it is read."""
    parser.add_argument("--run", nargs="+", required=True, metavar="DIR", help=f"run folders of {command('train')}")
    parser.add_argument(
        "--root", default="", metavar="DIR", help="folder that holds the dataset folders (default: that of the runs)"
    )
    add_own_data(parser)
    add_imports(parser)
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="datasets (default: those of the runs)")
    parser.add_argument("--workers", type=int, help="processes that load images")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")


def add_expansion(group: Any, default: Any) -> None:
    """The flags of query expansion; ``default``: value of those that are not given."""
    group.add_argument(
        "--query-expansion",
        type=not_negative,
        default=default,
        metavar="K",
        help="search again with the K nearest images added to each query (0: not)",
    )
    group.add_argument(
        "--alpha",
        type=float,
        default=default,
        metavar="A",
        help="weigh them by their similarity to the power of A, such as 3 (0: all alike)",
    )


def datasets_named(names: Sequence[str] | None, data: Iterable[str], flag: str) -> list[str]:
    """The datasets of -s or -t together with those of --data, the user's own ones with absolute paths.

    Args:
        names: of -s or -t, None where the flag is not given. data: of --data. flag: how the user calls the former.
    Raises:
        FileNotFoundError: a file or folder of the user's own is not there; one sentence.
    """
    for name in names or ():
        own_data.check_exists(name, flag)
    every = [*map(own_data.absolute, names or ()), *map(own_data.from_path, data)]
    return list(dict.fromkeys(every))


def import_own(args: argparse.Namespace) -> None:
    """Import what --import names; torch is imported by then, as the modules register something with torchreid.

    Raises:
        ValueError: one sentence.
    """
    import_modules(map(located, args.imports))


def positive(text: str) -> Any:
    """A whole number of at least 1, for argparse."""
    return _at_least(text, 1)


def not_negative(text: str) -> Any:
    """A whole number of at least 0, for argparse."""
    return _at_least(text, 0)


def _at_least(text, lowest):
    value = int(text)
    if value < lowest:
        raise argparse.ArgumentTypeError(f"{value} is not at least {lowest}")
    return value


def run_settings(args: argparse.Namespace, **more: Any) -> Any:
    """Flags as [KEY, VALUE, ...] of a run's configuration; what was not given is left out.

    Args:
        args: with targets, data, root, workers and device. more: {KEY with '__' for the dot: value or None}.
    """
    pairs = {
        "data.targets": datasets_named(args.targets, args.data, "-t") or None,
        "data.root": args.root or None,
        "data.workers": args.workers,
        **{key.replace("__", "."): value for key, value in more.items()},
        "use_gpu": args.device == "cuda" if args.device else None,
    }
    return [item for key, value in pairs.items() if value is not None for item in (key, value)]


def check_runs(folders: Iterable[str], options: Any = (), trained: bool = True) -> None:
    """Refuse what is no run folder, and settings that do not fit its configuration, before torch is imported.

    Args:
        folders: as the user has named them. options: [KEY, VALUE, ...]. trained: a checkpoint is needed as well.
    Raises:
        FileNotFoundError, ValueError: with one sentence.
    """
    for folder in folders:
        config_file = files_of_run(folder, "--run")[0] if trained else os.path.join(folder, CONFIG)
        if not os.path.isfile(config_file):
            raise FileNotFoundError(
                f"--run {folder!r} has no {CONFIG}; give the data.save_dir of a run of {command('train')}"
            )
        configuration.load_config(config_file, options)


def check_file(path: str, flag: str, what: Any) -> None:
    """Refuse a path at which there is no file.

    Args:
        path: '' or None: not given. flag: how the user named it. what: what it should be, such as 'weights'.
    Raises:
        FileNotFoundError: one sentence.
    """
    if path and not is_reference(path) and not os.path.isfile(path):
        raise FileNotFoundError(f"{flag} is {path!r}, but there is no such file; give a file of {what}")


def check_device(device: Any) -> None:
    """Refuse CUDA where torch sees no GPU; imports torch.

    Raises:
        RuntimeError: one sentence.
    """
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("--device is cuda, but torch sees no GPU here; use --device cpu")
