"""The arguments of ``ealn search`` and of its sub-commands."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_expansion, add_imports, add_model_input, add_own_data
from ealn_plugin.system.entrances import command


def build_parser(description: str, work: Mapping[str, Callable[..., Any]]) -> argparse.ArgumentParser:
    """Return the argument parser.

    Args:
        description: help text.
        work: {name of a command: what does it}, in ``args.work``.
    """
    parser = Parser("search", description)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    _add_index(commands).set_defaults(work=work["index"])
    _add_query(commands).set_defaults(work=work["query"])
    _add_add(commands).set_defaults(work=work["add"])
    _add_remove(commands).set_defaults(work=work["remove"])
    _add_calibrate(commands).set_defaults(work=work["calibrate"])
    _add_judge(commands).set_defaults(work=work["judge"])
    for name, help_text in (
        ("info", "what an index holds, after checking every checksum"),
        ("verify", "check every file and every image of an index"),
    ):
        checking = commands.add_parser(name, help=help_text)
        _add_folder(checking)
        checking.set_defaults(work=work[name])
    return parser


def _add_index(commands):
    parser = commands.add_parser("index", help="build an index; run it again to go on where it was stopped")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="folders of images, or names of datasets")
    _add_folder(parser)
    _add_images(parser)
    _add_detection(parser.add_argument_group("vehicles in videos and frames"))
    _add_model(parser.add_argument_group("the network (default: the one that comes with the package)"))
    _add_extraction(parser.add_argument_group("extraction"))
    kinds = parser.add_argument_group("the search")
    kinds.add_argument(
        "--kind",
        choices=choices.SEARCH_KINDS,
        default="auto",
        help=f"flat is exact, ivf faster; auto: ivf beyond {choices.FLAT_UP_TO:,} images (default)",
    )
    kinds.add_argument("--nlist", type=int, default=0, help="lists of ivf (default: twice the root of the images)")
    kinds.add_argument(
        "--nprobe",
        type=int,
        default=0,
        help="lists that a query looks through (default: as few as reach a "
        f"recall@{choices.RECALL_AT} of {choices.TARGET_RECALL})",
    )
    return parser


def _add_query(commands):
    parser = commands.add_parser("query", help="the nearest images of one or several")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    _add_folder(parser)
    parser.add_argument("-k", "--topk", type=int, default=10, metavar="K", help="how many (default: 10)")
    parser.add_argument(
        "--query-view",
        choices=choices.VIEWS,
        help="from which side the queries' vehicles are seen (default: what the index knows or predicts)",
    )
    _add_filter(parser.add_argument_group("which images may be found (all conditions must hold)"))
    parser.add_argument(
        "--group-by", choices=choices.SEARCH_GROUPS, default="", help="only the nearest image of each vehicle, ..."
    )
    parser.add_argument("--json", metavar="FILE", help="also write the answers to this file")
    parser.add_argument("--csv", metavar="FILE", help="also write them as a table")
    parser.add_argument("--sheet", metavar="FILE.png", help="also draw them as a contact sheet")
    parser.add_argument("--kind", choices=["flat", "ivf"], help="flat: search exactly (default: as built)")
    parser.add_argument("--nprobe", type=int, default=0, help="lists to look through (default: as built)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="only hits that show the same vehicle with at least this probability, in [0, 1] (after calibrate)",
    )
    add_expansion(parser, 0)
    group = _add_places(parser)
    group.add_argument(
        "--query-camera",
        default="",
        metavar="CAMERA",
        help="that took the queries (default: as the index or the file's name says)",
    )
    group.add_argument(
        "--query-time",
        default="",
        metavar="TIME",
        help="when they were taken (default: as the index, the file's name, a times.csv or the EXIF says)",
    )
    _add_model(parser.add_argument_group("the network (default: the one that the index was built with)"))
    _add_extraction(parser.add_argument_group("extraction"))
    return parser


def _add_places(parser):
    group = parser.add_argument_group("where and when (off by default)")
    group.add_argument(
        "--where-and-when",
        choices=choices.PLACES,
        help="rank by how well camera and time of a hit fit the query's as well: 'distance' of cameras and times "
        "(Liu et al., 2016), or 'transitions', times fitted with calibrate --transitions",
    )
    group.add_argument(
        "--where-weight",
        type=float,
        metavar="W",
        help=f"of it against the mean distance (default: {choices.WHERE_WEIGHT:g})",
    )
    return group


def _add_filter(group):
    for flag, what in (
        ("camera", "seen by one of these cameras, as queries print them"),
        ("vehicle", "of one of these vehicles"),
        ("colour", "of one of these colours"),
        ("type", "of one of these types"),
        ("source", "from one of these datasets or folders"),
    ):
        group.add_argument(f"--{flag}", nargs="+", default=[], metavar=flag.upper(), help=what)
    group.add_argument(
        "--view", nargs="+", choices=choices.VIEWS, default=[], metavar="VIEW", help="seen from one of these sides"
    )
    group.add_argument("--after", default="", metavar="TIME", help="not before it: 2024-05-01T16:30, or a number")
    group.add_argument("--before", default="", metavar="TIME", help="not after it")


def _add_add(commands):
    parser = commands.add_parser("add", help="add images; those that the index has already stay as they are")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="images, folders of images or names of datasets")
    _add_folder(parser)
    _add_images(parser)
    _add_detection(parser.add_argument_group("vehicles in videos and frames"))
    _add_model(parser.add_argument_group("the network (default: the one that the index was built with)"))
    _add_extraction(parser.add_argument_group("extraction"))
    return parser


def _add_calibrate(commands):
    parser = commands.add_parser("calibrate", help="learn from labelled images what a similarity means")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="names of datasets whose vehicles are known")
    _add_folder(parser)
    _add_images(parser)
    parser.add_argument("--figure", metavar="FILE.png", help="also draw how far the probabilities can be trusted")
    parser.add_argument(
        "--transitions", action="store_true", help="also learn how long vehicles take between two cameras"
    )
    _add_model(parser.add_argument_group("the network (default: the one that the index was built with)"))
    _add_extraction(parser.add_argument_group("extraction"))
    return parser


def _add_judge(commands):
    parser = commands.add_parser("judge", help="how far up labelled queries find their vehicles: mAP and rank 1")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="names of datasets whose vehicles are known")
    _add_folder(parser)
    _add_images(parser)
    parser.add_argument(
        "-k", "--topk", type=int, metavar="K", help="only the first K hits count (default: all, up to 20,000)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    _add_places(parser)
    _add_model(parser.add_argument_group("the network (default: the one that the index was built with)"))
    _add_extraction(parser.add_argument_group("extraction"))
    return parser


def _add_remove(commands):
    parser = commands.add_parser("remove", help="remove images and their features")
    parser.add_argument("images", nargs="*", metavar="IMAGE")
    parser.add_argument("--pid", nargs="+", type=int, default=[], metavar="N", help="all images of these vehicles")
    parser.add_argument(
        "--vehicle", nargs="+", default=[], metavar="LABEL", help="the same by what the data calls them"
    )
    parser.add_argument("--missing", action="store_true", help="all images whose files are gone")
    _add_folder(parser)
    return parser


def _add_folder(parser):
    parser.add_argument(
        "--index",
        "--store",
        dest="index",
        required=True,
        metavar="DIR",
        help="folder of the index, or the address of object storage: s3://BUCKET/NAME, gs://..., az://...",
    )


def _add_images(parser):
    add_own_data(parser)
    parser.add_argument("--root", default="reid-data", metavar="DIR", help="folder that holds the dataset folders")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=choices.SEARCH_SPLITS,
        default=["gallery"],
        help="parts of a dataset (default: gallery)",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out images that cannot be read")


def _add_detection(group):
    group.add_argument(
        "--detect",
        default="",
        metavar="DETECTOR.onnx",
        help="SOURCE are videos or folders of frames: crop and follow the vehicles that this detector finds",
    )
    group.add_argument(
        "--detect-classes",
        nargs="+",
        default=list(choices.DETECT_CLASSES),
        metavar="CLASS",
        help=f"names or numbers (default: {' '.join(choices.DETECT_CLASSES)})",
    )
    group.add_argument(
        "--detect-confidence", type=float, default=0.25, metavar="P", help="least score, in [0, 1] (default: 0.25)"
    )
    group.add_argument("--detect-every", type=int, default=1, metavar="N", help="look at every Nth frame (default: 1)")
    group.add_argument("--crops", default="", metavar="DIR", help="folder for the crops (default: INDEX-crops)")
    group.add_argument(
        "--crops-per-track", type=int, default=4, metavar="N", help="pictures kept of a vehicle (default: 4)"
    )
    group.add_argument("--camera", default="", metavar="NAME", help="of all SOURCE (default: by the name of each)")
    group.add_argument(
        "--start", default="", metavar="TIME", help="when the first frame was taken: 2024-05-01T16:30, or a number"
    )
    group.add_argument("--fps", type=float, default=25.0, metavar="N", help="of folders of frames (default: 25)")


def _add_model(group):
    add_imports(group)
    group.add_argument(
        "--run",
        default="",
        metavar="DIR",
        help=f"run folder of {command('train')}, or its checkpoint; or an ONNX file of {command('export')}, faster",
    )
    group.add_argument("--model", default="", metavar="NAME", help="a torchreid model, such as resnet50")
    group.add_argument("--weights", default="", metavar="FILE", help=choices.WEIGHTS_HELP)
    add_model_input(group)
    group.add_argument("--no-fusion", action="store_true", help="not the fused feature of runs with generated views")
    group.add_argument(
        "--classifier",
        default="",
        metavar="FILE",
        help=f"of {command('label-viewpoints')}: predicts the views that nobody knows",
    )


def _add_extraction(group):
    group.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    group.add_argument("--workers", type=int, default=0, help="processes that load images (default: 0)")
    group.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    group.add_argument("--precision", choices=choices.PRECISIONS, default="fp32")
