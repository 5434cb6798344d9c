"""One HTML page that shows how runs of ealn train went; it opens anywhere, without network.

ealn report --run log/ealn_synthetic
ealn report --run log/en log/hard log/hard_view --out log/report.html
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_run_reading, check_device, check_runs, import_own, run_settings
from ealn_plugin.reports.names import short_labels
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("report", __doc__)
    add_run_reading(parser)
    parser.add_argument(
        "--out", default="", metavar="FILE", help="the page (default: report.html in the first run's folder)"
    )
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="only what the runs recorded themselves: no networks, no dataset, in seconds",
    )
    parser.add_argument(
        "--images", type=int, default=128, metavar="N", help="test images to generate from (default: 128)"
    )
    parser.add_argument(
        "--queries",
        type=int,
        default=4,
        metavar="N",
        help="queries on a sheet of ranked lists (default: 4; 0: no sheet)",
    )
    parser.add_argument(
        "--features",
        default="",
        metavar="DIR",
        help="folder that keeps the features of the test images and the figures for the next call (default: "
        f"figures/ in the first run's folder, as {command('visualize')})",
    )
    return parser


def report(args: argparse.Namespace) -> None:
    """Write the page and say where it is.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    for flag, lowest in (("images", 16), ("queries", 0)):
        if getattr(args, flag) < lowest:
            raise ValueError(f"--{flag} is {getattr(args, flag)}, expected {lowest} or more")
    check_device(args.device)
    check_extra("report", choices.REPORT_PACKAGES, "reports")
    short_labels(args.run)  # refuses a run that is given twice
    check_runs(args.run, run_settings(args), trained=False)
    register()
    import_own(args)
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ealn_plugin.reports.html import open_runs, write_page
    from ealn_plugin.system.durations import Durations

    runs = open_runs(args.run, run_settings(args), args.images, args.recorded)
    out = args.out or os.path.join(args.run[0], "report.html")
    check_writable(out, "--out")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports where every events file ends
    figures = args.features or os.path.join(args.run[0], "figures")
    features, durations = args.features or os.path.join(figures, "features"), Durations()
    with logging_redirect_tqdm():
        write_page(runs, out, features, args.queries, figures, durations)
    print(f"\nreport: {out} ({os.path.getsize(out) / 2**20:.1f} MiB)\n{durations.text()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: report(args), "stopped; an older page is as it was")
