"""Evaluate EALN runs, any torchreid model, or stored features by every protocol of the field.

ealn evaluate --run log/ealn_synthetic -t veri776 --root reid-data --out log/evaluation
ealn evaluate --model resnet50 --weights model.pth.tar -t veri776 vehicleid --out log/evaluation
ealn evaluate --features veri776.npz --out log/evaluation
"""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import (
    Parser,
    add_expansion,
    add_imports,
    add_model_input,
    add_own_data,
    check_device,
    check_file,
    check_runs,
    complete_from_weights,
    datasets_named,
    import_own,
    model_input,
    run_settings,
)
from ealn_plugin.config.own_data import display_name
from ealn_plugin.reports.names import file_name, short_labels
from ealn_plugin.system.cli import exit_code, start_log
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.extras import check_extra


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("evaluate", __doc__)
    what = parser.add_argument_group("what to evaluate (several kinds together give one table)")
    what.add_argument("--run", nargs="+", default=[], metavar="DIR", help=f"run folders of {command('train')}")
    what.add_argument("--model", default="", metavar="NAME", help="a torchreid model, such as resnet50")
    what.add_argument("--weights", default="", metavar="FILE", help=choices.WEIGHTS_HELP)
    what.add_argument(
        "--features",
        nargs="+",
        default=[],
        metavar="FILE",
        help=".npz files with the arrays features, pids, camids, views, is_query",
    )
    on = parser.add_argument_group("on what")
    on.add_argument(
        "-t",
        "--targets",
        nargs="+",
        metavar="NAME",
        help="datasets, such as veri776 vehicleid_large (default for a run: its own)",
    )
    add_own_data(on)
    on.add_argument("--root", default="", metavar="DIR", help="folder that holds the dataset folders")
    on.add_argument(
        "--protocols",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"some of {', '.join(choices.PROTOCOLS)} (default: those of the dataset)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for results, figures and features")
    _add_ranking(parser.add_argument_group("ranking (default for a run: as in its config)"))
    _add_extraction(parser.add_argument_group("extraction"))
    add_imports(parser)
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument(
        "--queries",
        type=int,
        metavar="N",
        help="queries on a sheet of ranked lists (default: 8; several networks: 3; 0: no sheet)",
    )
    pictures.add_argument("--no-figures", action="store_true", help="numbers and tables only; needs no matplotlib")
    return parser


def _add_ranking(group):
    group.add_argument("--dist-metric", choices=["euclidean", "cosine"])
    group.add_argument("--normalize-feature", action=argparse.BooleanOptionalAction, help="scale features to length 1")
    group.add_argument("--ranks", nargs="+", type=int, metavar="K", help="CMC ranks in the tables")
    group.add_argument("--rerank", action=argparse.BooleanOptionalAction, help="k-reciprocal re-ranking")
    add_expansion(group, None)
    group.add_argument(
        "--where-and-when",
        choices=choices.PLACES,
        help="add how plausible it is that a vehicle got from one camera to the other in the time between: 'distance' "
        "of cameras and times (Liu et al., 2016), or 'transitions', times fitted on the training vehicles",
    )
    group.add_argument(
        "--where-weight", type=float, default=0.5, metavar="W", help="of it against the mean distance (default: 0.5)"
    )
    group.add_argument(
        "--average-precision",
        choices=["mean", "trapezoid"],
        default="mean",
        help="mean of precisions (default), or trapezoids as VeRI-776's own script",
    )
    group.add_argument(
        "--fusion",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the fused feature of runs with a generator of other views (default: yes)",
    )


def _add_extraction(group):
    add_model_input(group)
    group.add_argument("--batch-size", type=int, help="images at a time")
    group.add_argument("--workers", type=int, help="processes that load images")
    group.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    group.add_argument("--recompute", action="store_true", help="extract again what is stored in --out")


def options_of(args: argparse.Namespace) -> Any:
    """The flags as [KEY, VALUE, ...] of the configuration; flags that were not given are left out."""
    return run_settings(
        args,
        test__batch_size=args.batch_size,
        test__dist_metric=args.dist_metric,
        test__ranks=args.ranks,
        test__normalize_feature=args.normalize_feature,
        test__rerank=args.rerank,
        test__query_expansion=args.query_expansion,
        test__expansion_alpha=args.alpha,
    )


def check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together.

    Raises:
        ValueError, RuntimeError: with one sentence.
    """
    complete_from_weights(args)
    if not (args.run or args.model or args.features):
        raise ValueError("there is nothing to evaluate, expected --run DIR, --model NAME or --features FILE; give one")
    targets = datasets_named(args.targets, args.data, "-t")
    if args.model and not targets:
        raise ValueError(f"--model {args.model} has no datasets to be tested on; add -t NAMES, such as -t veri776")
    if args.features and len(targets) > 1:
        raise ValueError(
            f"-t names {len(targets)} datasets, but files of features belong to one; give one name "
            "or evaluate the files one by one"
        )
    for flag in ("ranks", "queries"):
        value = getattr(args, flag)
        lowest = min(value) if isinstance(value, list) else value
        if lowest is not None and lowest < (flag == "ranks"):
            raise ValueError(f"--{flag} is {lowest}, expected {int(flag == 'ranks')} or more")
    if not args.where_weight >= 0:
        raise ValueError(f"--where-weight is {args.where_weight:g}, expected 0 or more")
    check_device(args.device)
    for name in args.protocols:
        if name not in choices.PROTOCOLS:
            expected = ", ".join(choices.PROTOCOLS)
            raise ValueError(f"{name!r} is not a protocol, expected some of {expected}; correct the name")
    if not args.no_figures:
        check_extra("figures", ("matplotlib",), "figures", "leave the figures out with --no-figures")
    check_runs(args.run, options_of(args))
    if args.model or args.features:
        configuration.load_config(options=options_of(args))
    check_file(args.weights, "--weights", "weights")
    for path in args.features:
        check_file(path, "--features", "features")
    short_labels(args.run), short_labels(args.features)


def subjects_of(args: argparse.Namespace) -> Any:
    """The Subjects that the flags ask for, every label different.

    Raises:
        ValueError, OSError: with one sentence.
    """
    import torch

    from ealn_plugin.reports.subjects import FeaturesSubject, ModelSubject, RunSubject

    options = options_of(args)
    subjects: list[Any] = [
        RunSubject(folder, label, options, args.fusion) for folder, label in zip(args.run, short_labels(args.run))
    ]
    if args.model:
        label = args.model if args.weights else f"{args.model} (untrained)"
        subjects.append(
            ModelSubject(
                label,
                args.weights,
                ["use_gpu", torch.cuda.is_available(), "model.name", args.model, *model_input(args), *options],
            )
        )
    targets = datasets_named(args.targets, args.data, "-t")
    dataset = display_name(targets[0]) if targets else ""
    subjects += [
        FeaturesSubject(path, label, dataset, args.root, options)
        for path, label in zip(args.features, short_labels(args.features))
    ]
    names = [file_name(subject.label) for subject in subjects]
    for number, subject in enumerate(subjects):
        if names.index(names[number]) < number:
            subject.label = f"{subject.label} ({number + 1})"
    return subjects


def places_of(args: argparse.Namespace) -> Any:
    """The function of a TestSet to its ``WhereAndWhen`` that the flags ask for, or None."""
    if not args.where_and_when:
        return None
    from ealn_plugin.reports.places import where_and_when_of

    return lambda test_set: where_and_when_of(test_set, args.where_and_when, args.where_weight)


def evaluate(args: argparse.Namespace) -> Any:
    """Evaluate and write; returns the table as text."""
    check(args)
    start_log(args.out, "evaluate.log")
    register()
    import_own(args)
    from ealn_plugin.evaluation.feature_store import FeatureStore
    from ealn_plugin.reports import comparison

    subjects = subjects_of(args)
    num_queries = (8 if len(subjects) == 1 else 3) if args.queries is None else args.queries
    report = comparison.evaluate_subjects(
        subjects,
        FeatureStore(os.path.join(args.out, "features"), args.recompute),
        args.protocols,
        args.average_precision,
        0 if args.no_figures else num_queries,
        places_of(args),
    )
    return comparison.write_report(report, args.out, not args.no_figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(
        lambda: print(f"\n{evaluate(args)}\n\nresults and figures: {args.out}"),
        "stopped; features that were finished are in --out and will be used again",
    )
