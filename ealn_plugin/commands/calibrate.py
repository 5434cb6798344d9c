"""``ealn search calibrate``: from similarities to probabilities, by labelled images."""

import argparse

from ealn_plugin.commands.search_network import (
    check_index,
    check_network,
    extractor_of,
    load,
    sources_of,
    split_options,
)
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable
from ealn_plugin.system.messages import counted


def calibrate_command(args: argparse.Namespace) -> None:
    """Fit the probability of the same vehicle and store it in the index."""
    check_extra("search", ("lance",), "searches")
    if args.figure:
        check_extra("figures", ("matplotlib",), "figures", "leave --figure out")
        check_writable(args.figure, "--figure")
    sources = sources_of(args)
    check_network(args)
    check_index(args.index)
    load(args)
    import numpy as np

    from ealn_plugin.search import IndexWriter, calibration, gallery
    from ealn_plugin.search.places import FittedTransitions
    from ealn_plugin.search.store import Store

    manifest = Store(args.index).manifest
    run = args.run or manifest.extractor.get("run", "")
    found = gallery.images_of(sources, args.root, args.split, **split_options(run))
    labelled = found.take(np.flatnonzero([bool(vehicle) for vehicle in found.vehicles]))
    name = f"{' '.join(sources)} ({' '.join(args.split)})"
    transitions = FittedTransitions.fit(gallery.with_times(labelled), name) if args.transitions else None
    extractor, _ = extractor_of(args, manifest)
    if extractor.identity != manifest.identity:
        raise ValueError(f"--index {args.index!r} was built with another network; leave --run and --weights out")
    parts = list(gallery.features_of(extractor, labelled, args.skip_unreadable))
    features = (
        np.concatenate([features for _, features in parts]) if parts else np.empty((0, extractor.dim), np.float32)
    )
    records = labelled.joined(records for records, _ in parts) if parts else labelled
    fitted = calibration.fit(features, records.vehicles.tolist(), records.cameras.tolist(), name)
    with IndexWriter.open(args.index, extractor.identity) as writer:
        writer.calibrate(fitted)
        if transitions is not None:
            writer.place(transitions=transitions)
    print(
        f"fitted on {counted(fitted.pairs, 'hit')} of {counted(fitted.vehicles, 'vehicle')}; fitted on half of them, "
        f"the probabilities of the other half are {100 * fitted.error:.1f} points off on average"
    )
    for share in (0.5, 0.9):
        logit = np.log(share / (1 - share))
        print(f"a similarity of {(logit - fitted.intercept) / fitted.slope:.3f} means {100 * share:.0f}%")
    if transitions is not None:
        print(transitions)
    if args.figure:
        from ealn_plugin.visualization.reliability import draw_reliability

        draw_reliability(args.figure, name, fitted.shares, fitted.error)
