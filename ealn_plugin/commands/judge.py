"""``ealn search judge``: how good an index's answers to labelled queries are."""

import argparse
import json

from ealn_plugin.commands.search_network import check_index, check_network, labelled_images, load, sources_of
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable, write_atomically
from ealn_plugin.system.messages import counted


def judge_command(args: argparse.Namespace) -> None:
    """Ask the index for every labelled image and print mAP and rank 1."""
    check_extra("search", ("lance",), "searches")
    if args.topk is not None and args.topk < 1:
        raise ValueError(f"--topk is {args.topk}, expected at least 1")
    if args.json:
        check_writable(args.json, "--json")
    sources_of(args)
    check_network(args)
    check_index(args.index)
    load(args)
    from ealn_plugin.data.times import time_text
    from ealn_plugin.search import SearchIndex, Whereabouts, places
    from ealn_plugin.search.judging import judge

    labelled = labelled_images(args)
    records, features = labelled.features()
    asked = None
    if args.where_and_when:
        weight = places.WEIGHT if args.where_weight is None else args.where_weight
        times = [time_text(*known) for known in zip(records.times.tolist(), records.dated.tolist())]
        asked = Whereabouts(args.where_and_when, records.cameras.tolist(), times, weight)
    found = judge(SearchIndex.open(args.index), records, features, asked, args.topk or 0)
    form = args.where_and_when or "appearance"
    print(
        f"{labelled.name}: {found['queries']} of {counted(len(records), 'labelled image')} have an answer among "
        f"{counted(found['images'], 'image')}; first {counted(found['hits'], 'hit')}, ranked by {form}, in percent:"
    )
    print(", ".join(f"{name} {100 * found[key]:.1f}" for name, key in _FIGURES))
    if args.json:
        write_atomically(args.json, json.dumps({"ranked_by": form, **found}, indent=1) + "\n")


_FIGURES = (("mAP", "mAP"), ("rank 1", "rank1"), ("rank 5", "rank5"), ("rank 10", "rank10"))
