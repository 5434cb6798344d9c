"""Draw the paper's figures 4 to 11 from run folders of ealn train, with the numbers beside each as CSV.

ealn visualize --run log/ealn_synthetic
ealn visualize --run log/en log/hard log/hard_view --figures 4 8 11 --out log/figures
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_run_reading, check_device, check_runs, import_own, run_settings
from ealn_plugin.reports.names import short_labels
from ealn_plugin.system.cli import exit_code, start_log
from ealn_plugin.system.entrances import register
from ealn_plugin.system.extras import check_extra


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    listed = "; ".join(f"{number}: {name}" for number, name in choices.FIGURES.items())
    parser = Parser("visualize", __doc__)
    add_run_reading(parser)
    parser.add_argument(
        "--figures",
        nargs="+",
        type=int,
        choices=sorted(choices.FIGURES),
        metavar="N",
        help=f"numbers of the paper's figures ({listed}; default: all that the runs can support)",
    )
    parser.add_argument(
        "--out", default="", metavar="DIR", help="folder for the figures (default: figures/ in the first run's folder)"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=256,
        metavar="N",
        help="test images to generate from for figures 5, 6, 8 and 9 (default: 256)",
    )
    return parser


def visualize(args: argparse.Namespace) -> Any:
    """Draw; returns {number: list of paths, or a sentence}.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    if args.images < 16:
        raise ValueError(f"--images is {args.images}, expected at least 16: two vehicles with eight images each")
    check_device(args.device)
    check_extra("figures", ("matplotlib",), "figures")
    options, labels = run_settings(args), short_labels(args.run)
    check_runs(args.run, options)
    register()
    import_own(args)
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ealn_plugin.reports.exhibits import ExhibitedRun
    from ealn_plugin.reports.figures import write_figures
    from ealn_plugin.reports.subjects import RunSubject
    from ealn_plugin.system.durations import Durations

    args.out = args.out or os.path.join(args.run[0], "figures")
    runs = [ExhibitedRun(RunSubject(folder, label, options), args.images) for folder, label in zip(args.run, labels)]
    start_log(args.out, "visualize.log")
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports where every events file ends
    durations = Durations()
    with logging_redirect_tqdm():
        found = write_figures(runs, args.figures or list(choices.FIGURES), args.out, durations)
    logging.getLogger(__name__).info("%s; what is kept in %s is not made again", durations.text(), args.out)
    return found


def show(args: argparse.Namespace) -> Any:
    """Draw, and say which figures there are; returns 1 where one that was asked for is missing."""
    found = visualize(args)
    drawn = [path for paths in found.values() if not isinstance(paths, str) for path in paths]
    missing = [f"figure {number}: {reason}" for number, reason in found.items() if isinstance(reason, str)]
    print("\n" + "\n".join(drawn))
    if missing and (args.figures or not drawn):
        print("error: " + "\n".join(missing), file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input or a figure that was asked for and cannot be drawn; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: show(args), "stopped; figures that were finished are in --out")
