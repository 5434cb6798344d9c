"""What a run gains over EN, and how much of what there is to be gained: from the runs beside it and those of its grid.

A run of ``ealn.beside`` lies in a folder of the run that is named after its scheme, a cell of a grid beside the other
schemes of its seed.
"""

import csv
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.config.scheme_names import NAMES, SCHEMES
from ealn_plugin.evaluation.bounds import share_of_room
from ealn_plugin.reports.bounds import TRUTH, room_of, share_text
from ealn_plugin.runs.folder import CONFIG, RESULTS, primary_protocol, read_results

log = logging.getLogger(__name__)

BASELINE = "en"
_SHARES = "share_of_the_room.csv"
_OF_EN = ("ealn.triplets", "ealn.paired_groups", "ealn.distance", "ealn.degrade", "ealn.warmup_epochs")
"""Settings below ``ealn.`` that EN depends on; of the others it knows nothing."""
_FREE = ("data.workers", "train.print_freq", "use_gpu")


def references(run: Any, runs: Sequence[Any] = ()) -> dict[str, dict[str, Any]]:
    """The results that a run is to be compared with.

    Args:
        run: ReportedRun with results. runs: the others of the page.
    Returns:
        {scheme: content of its results.json} of EN and of the renderer's hard negatives, as far as they are known, with
        all settings equal that EN depends on.
    """
    own = run.own_config.ealn.scheme
    found = {}
    for scheme in (BASELINE, TRUTH):
        if scheme == own:
            continue
        for folder in _candidates(run, scheme, runs):
            results = _comparable(run, folder, scheme)
            if results is not None:
                found[scheme] = results
                break
    return found


def _candidates(run: Any, scheme: str, runs: Sequence[Any]) -> list[str]:
    """Folders in which the run of a scheme may lie: beside the run, in its grid, on the page."""
    folders = [os.path.join(run.folder, scheme)]
    parent, name = os.path.split(os.path.abspath(run.folder))
    if name in SCHEMES:
        folders.append(os.path.join(parent, scheme))
    return folders + [other.folder for other in runs if other.own_config.ealn.scheme == scheme]


def _comparable(run: Any, folder: str, scheme: str) -> dict[str, Any] | None:
    """The results in a folder, if they are of the scheme and of the run's settings; else None."""
    path = os.path.join(folder, RESULTS)
    if not os.path.isfile(path) or not os.path.isfile(os.path.join(folder, CONFIG)):
        return None
    try:
        config, results = configuration.load_config(os.path.join(folder, CONFIG)), read_results(path)
    except (OSError, ValueError) as error:
        log.warning("%s cannot be compared with: %s", folder, error)
        return None
    one, two = (configuration.flat(configuration.recorded(tree)) for tree in (run.own_config, config))
    keys = [key for key in one if key not in _FREE and (not key.startswith("ealn.") or key in _OF_EN)]
    if config.ealn.scheme != scheme or results["primary"] != run.results["primary"]:
        return None
    return None if any(one[key] != two.get(key) for key in keys) else results


def gain(results: Mapping[str, Any], reference: Mapping[str, Any], metric: str) -> float:
    """What the first results have more than the second in the primary protocol; NaN where one lacks the metric."""
    dataset, protocol = primary_protocol(results)
    values = [found["datasets"].get(dataset, {}).get(protocol, {}).get(metric) for found in (results, reference)]
    return math.nan if None in values else values[0] - values[1]


def room_sentence(run: Any, found: Mapping[str, Mapping[str, Any]]) -> str:
    """How much of the room the run's gain over EN fills, in one sentence; '' where no bound is known.

    Args:
        run: ReportedRun with results. found: what ``references`` returned.
    """
    of_grid = grid_share(run)
    if of_grid:
        return of_grid
    scheme = run.own_config.ealn.scheme
    if not {BASELINE, TRUTH} <= found.keys() or room_of(scheme) != TRUTH:
        return ""
    room = gain(found[TRUTH], found[BASELINE], "mAP")
    share = share_text(share_of_room([gain(run.results, found[BASELINE], "mAP")], [room]))
    if share == "no room":
        return f"{NAMES[TRUTH]} gain {100 * room:+.1f} points over EN here, so there is no room for generated ones."
    return f"That is {share} of the room: {NAMES[TRUTH]} gain {100 * room:+.1f} points (one seed)."


def grid_share(run: Any) -> str:
    """The share of the room that the run's grid has measured over its seeds, in one sentence; '' where it has not."""
    seed_folder, name = os.path.split(os.path.abspath(run.folder))
    path = os.path.join(os.path.dirname(seed_folder), _SHARES)
    scheme = run.own_config.ealn.scheme
    if name != scheme or not os.path.isfile(path):
        return ""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        row = next((row for row in rows if row["network"] == NAMES.get(scheme, scheme)), None)
        if row is None:
            return ""
        return f"Over all seeds of its grid the gain in mAP is this share {row['source']}: {row['mAP']}."
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        log.warning("%s cannot be used: %s", path, error)
        return ""
