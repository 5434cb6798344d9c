"""Tell the fronts of vehicles from their rears and sides, and write viewpoints.csv where view labels are missing.

    ealn label-viewpoints -t vehicleid --root reid-data
    ealn label-viewpoints -s veri776 -t vehicleid vehicleid_medium vehicleid_large --root reid-data
    ealn label-viewpoints --classifier log/label_viewpoints/classifier.pth --images DIR

Learns from rendered vehicles unless -s names datasets whose views are known. Writes viewpoints.csv into the folder of
the images; images whose views the release itself knows are left out, since viewpoints.csv would override it.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import (
    Parser,
    add_imports,
    add_own_data,
    check_device,
    check_file,
    datasets_named,
    import_own,
)
from ealn_plugin.config import own_data
from ealn_plugin.system.cli import exit_code, start_log
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.files import write_atomically

log = logging.getLogger("label_viewpoints")


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("label-viewpoints", __doc__)
    what = parser.add_argument_group("what to label (nothing: train a classifier and report its accuracy)")
    what.add_argument(
        "-t",
        "--targets",
        nargs="+",
        default=[],
        metavar="NAME",
        help="datasets, all of their splits, such as vehicleid",
    )
    add_own_data(what)
    what.add_argument("--images", nargs="+", default=[], metavar="DIR", help="folders of images, with their subfolders")
    what.add_argument("--root", default="reid-data", metavar="DIR", help="folder that holds the dataset folders")
    what.add_argument(
        "--min-confidence",
        type=float,
        default=0.9,
        metavar="P",
        help="leave views that are less probable as unknown (default: 0.9)",
    )
    what.add_argument("--relabel", action="store_true", help="label images whose views the release knows as well")
    what.add_argument("--force", action="store_true", help="replace a viewpoints.csv that this tool did not write")
    what.add_argument("--dry-run", action="store_true", help="only compare with the views that are known")
    what.add_argument("--limit", type=int, metavar="N", help="only the first N images of each folder")
    _add_training(parser.add_argument_group("the classifier"))
    parser.add_argument(
        "--out",
        default="log/label_viewpoints",
        metavar="DIR",
        help="folder for the classifier, report.json and the log (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that read images (default: 2)")
    add_imports(parser)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    return parser


def _add_training(group):
    group.add_argument("--classifier", metavar="FILE", help="use this saved one, train none")
    group.add_argument(
        "-s",
        "--sources",
        nargs="+",
        default=[],
        metavar="NAME",
        help="datasets in --root with known views to learn from (default: rendered vehicles)",
    )
    group.add_argument(
        "--rendered",
        default="reid-data/synthetic_views",
        metavar="DIR",
        help="where vehicles are rendered, if they are not there yet (default: %(default)s)",
    )
    group.add_argument(
        "--preset",
        default="varied",
        choices=["varied", *choices.RENDERED],
        help=f"which: varied (default; 150 models, 60 cameras) or one of {command('make-synthetic')}",
    )
    group.add_argument("--render-seed", type=int, default=0, metavar="N", help="other vehicles for every seed")
    group.add_argument(
        "--model", default="squeezenet1_1", metavar="NAME", help="torchreid model (default: %(default)s)"
    )
    group.add_argument("--size", type=int, default=64, metavar="PX", help="height and width it sees (default: 64)")
    group.add_argument("--steps", type=int, default=3000, metavar="N", help="updates (default: %(default)s)")
    group.add_argument("--batch-size", type=int, default=32, metavar="N", help="images of an update (default: 32)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, batches and held-out vehicles")


def check(args: argparse.Namespace) -> None:
    """Refuse values that cannot be meant.

    Raises:
        ValueError, RuntimeError, OSError: with one sentence.
    """
    if not 0 <= args.min_confidence <= 1:
        raise ValueError(f"--min-confidence is {args.min_confidence}, expected a probability in [0, 1]")
    for flag, least in (
        ("limit", 1),
        ("workers", 0),
        ("size", 16),
        ("seed", 0),
        ("render_seed", 0),
        ("steps", 1),
        ("batch_size", 2),
    ):
        value = getattr(args, flag)
        if value is not None and value < least:
            raise ValueError(f"--{flag.replace('_', '-')} is {value}, expected {least} or more")
    if args.classifier and args.sources:
        raise ValueError(f"--classifier {args.classifier} is trained already, expected no -s beside it; leave one out")
    check_device(args.device)
    datasets_named(args.sources, (), "-s"), datasets_named(args.targets, args.data, "-t")
    check_file(args.classifier, "--classifier", f"{command('label-viewpoints')}, or leave it out to train one")
    for folder in args.images:
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"--images {folder!r} is no folder and holds no image; give a folder that does")


def train(args: argparse.Namespace, device: Any) -> Any:
    """Train, calibrate, test and save a classifier; returns it with its report."""
    from ealn_plugin.data.synthetic import render_dataset
    from ealn_plugin.labelling import classifier as viewpoint_classifier
    from ealn_plugin.labelling import labels as view_labels
    from ealn_plugin.labelling.accuracy import view_report

    root, names = args.root, datasets_named(args.sources, (), "-s")
    if not names:
        root, names = os.path.join(args.rendered, f"{args.preset}_{args.render_seed}"), ["veri776"]
        preset = view_labels.VARIED if args.preset == "varied" else args.preset
        render_dataset(root, layout="veri776", preset=preset, seed=args.render_seed)
    images = view_labels.labelled_images(names, root, args.seed)
    log.info(
        "learning from %d images, calibrating on %d and testing on %d of other vehicles",
        len(images.train),
        len(images.calibration),
        len(images.test),
    )
    (pixels, labels), held_out = (_load(part, args) for part in (images.train, images.calibration))
    classifier = viewpoint_classifier.train_classifier(
        pixels, labels, args.model, args.steps, args.batch_size, args.seed, device
    )
    temperature = viewpoint_classifier.calibrate(classifier, *held_out)
    probabilities = viewpoint_classifier.predict(classifier, [path for path, _ in images.test], args.workers)
    report = {
        **view_report(probabilities, [view for _, view in images.test], args.min_confidence),
        "temperature": temperature,
        "sources": [own_data.short(name) for name in names],
    }
    path = os.path.join(args.out, "classifier.pth")
    viewpoint_classifier.save_classifier(classifier, path, report)
    write_atomically(os.path.join(args.out, "report.json"), json.dumps(report, indent=1, sort_keys=True) + "\n")
    log.info("the classifier is saved as %s", path)
    return classifier, report


def _load(part, args):
    import torch

    from ealn_plugin.labelling import classifier as viewpoint_classifier

    paths, views = zip(*part)
    return viewpoint_classifier.load_images(paths, args.size, args.workers), torch.tensor(views)


def label(target: Any, classifier: Any, args: argparse.Namespace, details: Any) -> None:
    """Predict the views of an ImageFolder, compare them with those known, and write those that are missing."""
    import torch

    from ealn_plugin.data.viewpoints import View
    from ealn_plugin.labelling import classifier as viewpoint_classifier
    from ealn_plugin.labelling import labels as view_labels
    from ealn_plugin.labelling.accuracy import decide, format_view_report, view_report

    missing = set(view_labels.images_to_label(target, args.relabel))
    images = [image for image, view in target.views.items() if image in missing or view != View.UNKNOWN][: args.limit]
    probabilities = viewpoint_classifier.predict(classifier, [target.path(image) for image in images], args.workers)
    truth = torch.tensor([target.views[image] for image in images])
    known = truth != View.UNKNOWN
    if known.any():
        report = view_report(probabilities[known], truth[known], args.min_confidence)
        print(f"\n{target.folder}, compared with the views that are known:\n{format_view_report(report)}")
        if report["front_rear_accuracy"] is not None and report["front_rear_accuracy"] < 0.3:
            log.warning(
                "%s: the known views look as if front and rear were exchanged; see view_order in datasets.md",
                target.folder,
            )
    if args.dry_run:
        return
    views, confidences = decide(probabilities, args.min_confidence)
    written = {
        image: (View(view), round(float(confidence), 4))
        for image, view, confidence in zip(images, views, confidences)
        if image in missing
    }
    if not written:
        log.info("%s: the views of all images are known, nothing is written; --relabel predicts them", target.folder)
        return
    counts = view_labels.write_predicted_views(target.folder, written, details, args.force)
    print(
        f"\n{os.path.join(target.folder, 'viewpoints.csv')}: "
        + ", ".join(f"{count} {name}" for name, count in counts.items())
    )


def run(args: argparse.Namespace) -> None:
    """Train or load a classifier, report its accuracy and label what was asked for."""
    check(args)
    start_log(args.out, "label_viewpoints.log")
    register()
    import_own(args)
    import torch

    from ealn_plugin.data import folders
    from ealn_plugin.labelling import classifier as viewpoint_classifier
    from ealn_plugin.labelling import labels as view_labels
    from ealn_plugin.labelling.accuracy import format_view_report

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    # before the training: what cannot be read or written is to be known at once
    names = datasets_named(args.targets, args.data, "-t")
    targets = view_labels.images_of_datasets(names, args.root) if names else []
    targets += [folders.images_of_folder(folder) for folder in args.images]
    for target in targets if not args.dry_run else []:
        view_labels.check_replaceable(target.folder, args.force)
    if args.classifier:
        classifier, report = viewpoint_classifier.load_classifier(args.classifier, device)
    else:
        classifier, report = train(args, device)
    if report:
        print(
            f"\nheld-out vehicles of {', '.join(map(str, report.get('sources', '?')))}, on which the classifier was "
            f"tested:\n{format_view_report(report)}"
        )
    details = {
        "min_confidence": args.min_confidence,
        "model": classifier.model,
        "size": classifier.size,
        "held_out": report,
    }
    for target in targets:
        label(target, classifier, args, details)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: run(args), "stopped; files that were not finished are as they were")
