"""Draw the paper's figures 4 to 11 from run folders of tools/train_ealn.py, with the numbers beside each as CSV.

python tools/visualize.py --run log/ealn_synthetic
python tools/visualize.py --run log/en log/hard log/hard_view --figures 4 8 11 --out log/figures
"""

import argparse
import logging
import os
import sys

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

import ealn_plugin  # noqa: F401  (before anything imports torchvision: it cures a CPU-only torch)
from ealn_plugin import visualization
from ealn_plugin.reports.exhibits import TrainedRun
from ealn_plugin.reports.figures import FIGURES, write_figures
from ealn_plugin.reports.names import short_labels
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.system.cli import exit_code, start_log


def build_parser():
    """Return the argument parser."""
    listed = "; ".join(f"{number}: {name}" for number, (_, name) in FIGURES.items())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", required=True, metavar="DIR", help="run folders of tools/train_ealn.py")
    parser.add_argument(
        "--figures",
        nargs="+",
        type=int,
        choices=sorted(FIGURES),
        metavar="N",
        help=f"numbers of the paper's figures ({listed}; default: all that the runs can support)",
    )
    parser.add_argument(
        "--out", default="", metavar="DIR", help="folder for the figures (default: figures/ in the first run's folder)"
    )
    parser.add_argument(
        "--root", default="", metavar="DIR", help="folder that holds the dataset folders (default: that of the runs)"
    )
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="datasets (default: those of the runs)")
    parser.add_argument(
        "--images",
        type=int,
        default=256,
        metavar="N",
        help="test images to generate from for figures 5, 6, 8 and 9 (default: 256)",
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


def visualize(args):
    """Draw; returns {number: list of paths, or a sentence}.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    if args.images < 16:
        raise ValueError(f"--images is {args.images}, expected at least 16: two vehicles with eight images each")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("--device is cuda, but torch sees no GPU here; use --device cpu")
    visualization.check_matplotlib()
    args.out = args.out or os.path.join(args.run[0], "figures")
    options = options_of(args)
    runs = [
        TrainedRun(RunSubject(folder, label, options), args.images)
        for folder, label in zip(args.run, short_labels(args.run))
    ]
    start_log(args.out, "visualize.log")
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports where every events file ends
    with logging_redirect_tqdm():
        return write_figures(runs, args.figures or list(FIGURES), args.out)


def show(args):
    """Draw, and say which figures there are; returns 1 where one that was asked for is missing."""
    found = visualize(args)
    drawn = [path for paths in found.values() if not isinstance(paths, str) for path in paths]
    missing = [f"figure {number}: {reason}" for number, reason in found.items() if isinstance(reason, str)]
    print("\n" + "\n".join(drawn))
    if missing and (args.figures or not drawn):
        print("error: " + "\n".join(missing), file=sys.stderr)
        return 1
    return 0


def main(arguments=None):
    """Exit code 0; 1 for bad input or a figure that was asked for and cannot be drawn; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: show(args), "stopped; figures that were finished are in --out")


if __name__ == "__main__":
    sys.exit(main())
