"""Find a vehicle: build a searchable index of images and ask it for the nearest ones.

ealn search index my_cars --index log/my_index
ealn search index veri776 --root reid-data --run log/ealn_synthetic --index log/gallery
ealn search query IMAGE --index log/gallery --sheet found.png
ealn search add FOLDER --index log/gallery
ealn search remove IMAGE --index log/gallery
ealn search calibrate veri776 --split train --root reid-data --index log/gallery
ealn search judge veri776 --split query --root reid-data --index log/gallery
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands.calibrate import calibrate_command
from ealn_plugin.commands.judge import judge_command
from ealn_plugin.commands.search_arguments import build_parser
from ealn_plugin.commands.search_build import add_command, index_command, processes
from ealn_plugin.commands.search_network import check_index, check_network, extractor_of, load
from ealn_plugin.system.cli import exit_code, start_screen
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable, write_atomically
from ealn_plugin.system.messages import counted


def remove_command(args: argparse.Namespace) -> None:
    """Remove images from an index."""
    if not (args.images or args.pid or args.vehicle or args.missing):
        raise ValueError("there is nothing to remove, expected IMAGES, --pid N, --vehicle LABEL or --missing; give one")
    if any(pid < 0 for pid in args.pid):
        raise ValueError(f"--pid holds {min(args.pid)}, expected numbers of vehicles, 0 or more")
    check_extra("search", ("lance",), "searches")
    check_index(args.index)
    load(args)
    import numpy as np

    from ealn_plugin.search import IndexWriter, results

    paths = {os.path.abspath(image) for image in args.images}
    with IndexWriter.open(args.index) as writer:
        unknown = sorted(paths - set(writer.records().paths))
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not in the index {args.index!r}, so nothing was removed; give the "
                "path that a query prints"
            )

        def chosen(records: Any) -> Any:
            named = [path in paths or (args.missing and not os.path.exists(path)) for path in records.paths]
            labelled = [vehicle in args.vehicle for vehicle in records.vehicles]
            return np.array(named, bool) | np.array(labelled, bool) | np.isin(records.pids, args.pid)

        removed = writer.remove(chosen)
        if removed:
            writer.finish()
        print(f"{counted(removed, 'image')} removed")
        print("\n".join(results.summary(args.index, writer.manifest)))


def query_command(args: argparse.Namespace) -> None:
    """Find the nearest images."""
    for flag in ("json", "csv", "sheet"):
        if getattr(args, flag):
            check_writable(getattr(args, flag), f"--{flag}")
    if args.topk < 1 or args.nprobe < 0:
        raise ValueError(f"--topk is {args.topk} and --nprobe is {args.nprobe}, expected at least 1 and 0")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ValueError(f"--threshold is {args.threshold:g}, expected a probability in [0, 1]")
    if not args.alpha >= 0:
        raise ValueError(f"--alpha is {args.alpha}, expected 0 or more, such as 3")
    if not args.where_and_when and (args.query_camera or args.query_time or args.where_weight is not None):
        raise ValueError(
            "--query-camera, --query-time and --where-weight are used with --where-and-when alone; add it, such as "
            "--where-and-when transitions"
        )
    check_extra("search", ("lance",), "searches")
    for image in args.images:
        if not os.path.exists(image):
            raise FileNotFoundError(f"image {image!r} does not exist; give the path of an image file")
    check_network(args)
    check_index(args.index)
    load(args)
    from ealn_plugin.search import SearchIndex, results
    from ealn_plugin.search.store import check_identity
    from ealn_plugin.visualization.search_sheet import draw_search_sheet

    where = filter_of(args)
    index = SearchIndex.open(args.index, None, args.kind or "", args.nprobe)
    extractor, _ = extractor_of(args, index.manifest)
    check_identity(index.store, extractor.identity)
    images = [os.path.abspath(image) for image in args.images]
    asked = whereabouts_of(args, index, images)
    expansion = args.query_expansion, args.alpha
    answers = results.answer(
        index, extractor, images, args.topk, args.query_view, where, args.group_by, expansion, asked
    )
    answers = results.likely(index, answers, args.threshold)
    print("\n".join(results.table(answers)))
    if args.json:
        write_atomically(args.json, json.dumps(results.as_json(index, answers, asked), indent=1) + "\n")
    if args.csv:
        write_atomically(args.csv, results.as_csv(answers))
    if args.sheet:
        conditions = f" with {where}" if str(where) else ""
        draw_search_sheet(args.sheet, f"the nearest of {counted(len(index), 'image')}{conditions}", answers)


def filter_of(args: argparse.Namespace) -> Any:
    """The ``Filter`` of the flags.

    Raises:
        ValueError: a time that is none; one sentence.
    """
    from ealn_plugin.search import Filter

    return Filter(
        cameras=args.camera,
        vehicles=args.vehicle,
        views=args.view,
        colours=args.colour,
        types=args.type,
        sources=args.source,
        after=args.after,
        before=args.before,
    )


def whereabouts_of(args: argparse.Namespace, index: Any, images: Sequence[str]) -> Any:
    """The ``Whereabouts`` of the queries that the flags ask for, or None.

    Raises:
        ValueError: a time that is none, or a broken times.csv; one sentence.
    """
    if not args.where_and_when:
        return None
    from ealn_plugin.search import places

    weight = places.WEIGHT if args.where_weight is None else args.where_weight
    return places.whereabouts_of(index, images, args.where_and_when, weight, args.query_camera, args.query_time)


def info_command(args: argparse.Namespace) -> None:
    """Say what an index holds."""
    check_extra("search", ("lance",), "searches")
    check_index(args.index)
    load(args)
    from ealn_plugin.search import SearchIndex, results

    index = SearchIndex.open(args.index)
    index.verify()
    print("\n".join([*results.summary(args.index, index.manifest), *results.known(index)]))


def verify_command(args: argparse.Namespace) -> None:
    """Check every file and every image of an index."""
    check_extra("search", ("lance",), "searches")
    check_index(args.index)
    load(args)
    from ealn_plugin.search import SearchIndex

    count = SearchIndex.open(args.index).verify()
    print(f"{args.index}: {counted(count, 'image')}, every checksum is right")


WORK = {
    "index": index_command,
    "query": query_command,
    "add": add_command,
    "remove": remove_command,
    "info": info_command,
    "calibrate": calibrate_command,
    "judge": judge_command,
    "verify": verify_command,
}


def _run(args: argparse.Namespace) -> None:
    if processes() > 1 and args.command not in ("index", "add"):
        raise ValueError(
            f"torchrun has started {processes()} processes for {args.command}, expected one; only index and add share "
            "their work: start it without torchrun"
        )
    args.work(args)


def _how_to_go_on(error: BaseException) -> str:
    return "; run the same command again to go on" if type(error).__name__ == "WorkerLostError" else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser(__doc__ or "", WORK).parse_args(arguments)
    quiet = args.command in ("query", "info") or os.environ.get("RANK", "0") != "0"
    start_screen(logging.WARNING if quiet else logging.INFO)
    return exit_code(
        lambda: _run(args),
        "stopped; what the index held before it still holds, and a build goes on "
        "where it was when the same command is run again",
        _how_to_go_on,
    )
