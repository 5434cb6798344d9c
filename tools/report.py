"""One HTML page that shows how runs of tools/train_ealn.py went; it opens anywhere, without network.

python tools/report.py --run log/ealn_synthetic
python tools/report.py --run log/en log/hard log/hard_view --out log/report.html
"""

import argparse
import logging
import os
import sys

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

import ealn_plugin  # noqa: F401  (before anything imports torchvision: it cures a CPU-only torch)
from ealn_plugin.reports.html import EXTRA, PACKAGES, open_runs, write_page
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable


def build_parser():
    """Return the argument parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", required=True, metavar="DIR", help="run folders of tools/train_ealn.py")
    parser.add_argument(
        "--out", default="", metavar="FILE", help="the page (default: report.html in the first run's folder)"
    )
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="only what the runs recorded themselves: no networks, no dataset, in seconds",
    )
    parser.add_argument(
        "--root", default="", metavar="DIR", help="folder that holds the dataset folders (default: that of the runs)"
    )
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="datasets (default: those of the runs)")
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
        help="folder that keeps the features of the test images for the next call (default: "
        "figures/features in the first run's folder, as tools/visualize.py)",
    )
    parser.add_argument("--workers", type=int, help="processes that load images")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    return parser


def options_of(args):
    """The flags as [KEY, VALUE, ...] of the configuration; flags that were not given are left out."""
    pairs = {
        "data.targets": args.targets,
        "data.root": args.root or None,
        "data.workers": args.workers,
        "use_gpu": args.device == "cuda" if args.device else None,
    }
    return [item for key, value in pairs.items() if value is not None for item in (key, value)]


def report(args):
    """Write the page and say where it is.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    for flag, lowest in (("images", 16), ("queries", 0)):
        if getattr(args, flag) < lowest:
            raise ValueError(f"--{flag} is {getattr(args, flag)}, expected {lowest} or more")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("--device is cuda, but torch sees no GPU here; use --device cpu")
    check_extra(EXTRA, PACKAGES, "reports")
    runs = open_runs(args.run, options_of(args), args.images, args.recorded)
    out = args.out or os.path.join(args.run[0], "report.html")
    check_writable(out, "--out")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports where every events file ends
    with logging_redirect_tqdm():
        write_page(runs, out, args.features or os.path.join(args.run[0], "figures", "features"), args.queries)
    print(f"\nreport: {out} ({os.path.getsize(out) / 2**20:.1f} MiB)")


def main(arguments=None):
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: report(args), "stopped; an older page is as it was")


if __name__ == "__main__":
    sys.exit(main())
