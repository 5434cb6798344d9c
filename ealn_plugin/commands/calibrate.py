"""``ealn search calibrate``: from similarities to probabilities, by labelled images."""

import argparse

from ealn_plugin.commands.search_network import check_index, check_network, labelled_images, load, sources_of
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable
from ealn_plugin.system.messages import counted


def calibrate_command(args: argparse.Namespace) -> None:
    """Fit the probability of the same vehicle and store it in the index."""
    check_extra("search", ("lance",), "searches")
    if args.figure:
        check_extra("figures", ("matplotlib",), "figures", "leave --figure out")
        check_writable(args.figure, "--figure")
    sources_of(args)
    check_network(args)
    check_index(args.index)
    load(args)
    import numpy as np

    from ealn_plugin.evaluation import calibration
    from ealn_plugin.search import IndexWriter, gallery
    from ealn_plugin.search.places import FittedTransitions

    labelled = labelled_images(args)
    name, transitions = labelled.name, None
    if args.transitions:
        transitions = FittedTransitions.fit(gallery.with_times(labelled.records), name)
    records, features = labelled.features()
    fitted = calibration.fit(features, records.vehicles.tolist(), records.cameras.tolist(), name)
    with IndexWriter.open(args.index, labelled.extractor.identity) as writer:
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
