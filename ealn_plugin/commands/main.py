"""``ealn COMMAND ...``: finds the module of a sub-command and hands it the rest of the command line."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from ealn_plugin import __version__

COMMANDS = {
    "train": "train and test a network",
    "evaluate": "evaluate runs, torchreid models or stored features by every protocol",
    "search": "index images and find those of a vehicle",
    "serve": "a page in the browser that searches an index, and its JSON interface",
    "export": "write a network as ONNX and torch.export files",
    "report": "one HTML page that shows how runs went",
    "visualize": "draw the paper's figures from runs",
    "reproduce": "run schemes x seeds and print the paper's tables",
    "label-viewpoints": "predict the views of images that have no view labels",
    "benchmark": "measure the plugin against torchreid and a plain implementation",
    "make-synthetic": "render a vehicle re-identification benchmark",
}
"""{sub-command: one line about it}"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of what stands before the arguments of a sub-command."""
    lines = "\n".join(f"  {name:18}{purpose}" for name, purpose in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="ealn",
        usage="ealn COMMAND ...",
        description="Vehicle re-identification with embedding adversarial learning, a plugin of torchreid.",
        epilog=f"commands:\n{lines}\n\nealn COMMAND --help tells the arguments of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=True,
    )
    parser.add_argument("--version", action="version", version=f"ealn_plugin {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; returns its exit code, 2 where there is no such command."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = build_parser()
    name = parser.parse_args(arguments[:1]).command
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        parser.error(f"there is no command {name!r}; {hint}")
    return module_of(name).main(arguments[1:])


def module_of(name: str) -> Any:
    """The module of a sub-command."""
    return importlib.import_module(f"ealn_plugin.commands.{name.replace('-', '_')}")
