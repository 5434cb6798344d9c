"""Where the runs of a grid are brought to their end: in processes here, or on the machines of a Ray cluster."""

import argparse
import functools
import re
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands.arguments import positive
from ealn_plugin.config import default_config, flat
from ealn_plugin.system.extras import check_extra

EXTRA, PACKAGES = "cluster", ("ray",)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The flags that say how many runs are under way at a time, and where."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=0,
        help="runs at a time, each on its share of the cores; 0: one per core, one with a GPU",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="runs as tasks of a Ray cluster: auto (of this machine) or HOST:PORT; without an address a Ray of its own",
    )
    parser.add_argument(
        "--gpus-per-cell",
        type=float,
        metavar="N",
        help="of --ray: GPUs of each run, also a fraction (default: 1 where use_gpu and the cluster has some)",
    )
    parser.add_argument(
        "--cpus-per-cell", type=positive, default=1, metavar="N", help="of --ray: cores, and threads, of each run"
    )


def check_workers(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage message where the flags do not fit together; a setting right behind --ray is no address."""
    if args.ray in flat(default_config()):
        args.opts.insert(0, args.ray)
        args.ray = ""
    if args.gpus_per_cell is not None and not 0 <= args.gpus_per_cell < float("inf"):
        parser.error(f"--gpus-per-cell is {args.gpus_per_cell:g}, expected 0 or more")
    if "://" in args.out:
        parser.error(
            f"--out is {args.out}, expected a folder: results in object storage are not supported; mount it as a folder"
        )
    if args.ray is None:
        return
    if args.jobs:
        parser.error(
            "--jobs was given with --ray, which runs as many at a time as the machines have room for; leave it out, "
            "or give --cpus-per-cell"
        )
    if args.ray and args.ray != "auto" and not re.fullmatch(r"[^\s:/]+:\d{1,5}", args.ray):
        parser.error(f"--ray is {args.ray!r}, expected auto, or HOST:PORT as 'ray start --head' has said it")


def check_installed(args: argparse.Namespace) -> None:
    """Refuse --ray without Ray.

    Raises:
        RuntimeError: one sentence.
    """
    if args.ray is not None:
        check_extra(EXTRA, PACKAGES, "grids on several machines", "leave --ray out")


def workers_of(args: argparse.Namespace, runs: Sequence[Any], use_gpu: bool) -> Any:
    """What brings the runs to their end, for ``execute_all``; None: one after the other.

    Args:
        args: of ``add_workers``, with out. runs: list of GridCell. use_gpu: of their configuration.
    Raises:
        ValueError: a negative --jobs.
    """
    from ealn_plugin.runs.grid import runs_at_a_time
    from ealn_plugin.system.cluster import run_on_ray
    from ealn_plugin.system.jobs import run_jobs

    if args.ray is not None:
        gpus = args.gpus_per_cell
        return functools.partial(
            run_on_ray,
            address=args.ray,
            folder=args.out,
            cpus=args.cpus_per_cell,
            gpus=(1.0 if use_gpu else 0.0) if gpus is None else gpus,
            without_gpus=gpus is None,
        )
    processes = runs_at_a_time(args.jobs, runs, use_gpu)
    return functools.partial(run_jobs, processes=processes) if processes > 1 else None
