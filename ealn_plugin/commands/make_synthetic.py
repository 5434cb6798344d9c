"""Render a vehicle re-identification data set in the folder layout of VeRi-776 or VehicleID."""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, not_negative
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.entrances import register
from ealn_plugin.system.files import check_writable


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("make-synthetic", __doc__)
    parser.add_argument("--root", required=True, help="folder in which VeRi/ or VehicleID_V1.0/ is made")
    parser.add_argument("--layout", default="veri776", choices=choices.LAYOUTS)
    parser.add_argument(
        "--preset",
        default="tiny",
        choices=choices.RENDERED,
        help="tiny: the demo; small: hundreds of vehicles; full: VeRi-776's counts",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default 0)")
    parser.add_argument("--image-size", type=int, metavar="PX", help="width and height (default: the preset's)")
    parser.add_argument("--processes", type=int, metavar="N", help="rendering processes (default: the cores)")
    parser.add_argument(
        "--lookalikes",
        type=not_negative,
        default=0,
        metavar="K",
        help="also K pictures of every training image's shot with other marks (lookalikes.csv), and the twins of the "
        "test images without marks (unmarked_twins.csv); a finished data set gets them added (default 0)",
    )
    parser.add_argument(
        "--twins",
        action="store_true",
        help="also the twins of the training images, the same shot with the vehicle turned round (train_twins.csv)",
    )
    parser.add_argument("--contact-sheet", metavar="FILE", help="also write an overview picture (PNG)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    return exit_code(lambda: render(options), "stopped; nothing was left behind, run the same command to start again")


def render(options: Any) -> None:
    """Render what the options ask for."""
    if options.contact_sheet:
        check_writable(options.contact_sheet, "--contact-sheet")
    register()
    from ealn_plugin.data import synthetic

    if options.contact_sheet:
        sheet = synthetic.write_contact_sheet(options.contact_sheet, options.preset, options.seed)
        logging.info("contact sheet: %s", sheet)
    folder = synthetic.render_dataset(
        options.root, options.layout, options.preset, options.seed, options.image_size, options.processes
    )
    if options.lookalikes:
        synthetic.add_companions(folder, options.lookalikes, options.processes)
    if options.twins:
        synthetic.add_training_twins(folder, options.processes)
