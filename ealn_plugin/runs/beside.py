"""Other schemes beside the one of a run, from its own warm-up: what a gain is to be compared with."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from ealn_plugin.config import CfgNode
from ealn_plugin.distributed.world import World
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints.names import LAST
from ealn_plugin.runs.train import train

log = logging.getLogger(__name__)


def train_beside(config: CfgNode, world: World | None = None, progress: bool = True) -> dict[str, dict[str, Any]]:
    """Train and test the schemes of ``ealn.beside``, each behind the warm-up of the finished run of ``config``.

    The run's own scheme is left out. Each gets a run folder of its own in data.save_dir, named after the scheme; one that
    was begun is gone on with.

    Args:
        config: of the finished run, what ``load_config`` returned.
        world: ``World`` of the processes that train together; None: this one alone.
        progress: show progress bars.
    Returns:
        {scheme: content of its results.json}; without those whose warm-up is not there, which a warning says.
    Raises:
        As ``train``.
    """
    found = {}
    for scheme in dict.fromkeys(config.ealn.beside):
        if scheme == config.ealn.scheme:
            continue
        beside = config_beside(config, scheme)
        if beside is None:
            log.warning(
                "%s is not trained beside: there is no %s in %s, since the run began elsewhere",
                scheme,
                checkpoint.WARMUP,
                config.data.save_dir,
            )
            continue
        log.info("beside it: ealn.scheme %s from the same warm-up, in %s", scheme, beside.data.save_dir)
        found[scheme], _ = train(beside, progress, world)
    return found


def config_beside(config: CfgNode, scheme: str) -> CfgNode | None:
    """The configuration of the run of ``scheme`` beside that of ``config``; None where there is no warm-up to share."""
    folder = os.path.join(config.data.save_dir, scheme)
    start = os.path.join(config.data.save_dir, checkpoint.WARMUP)
    begun = os.path.isfile(os.path.join(folder, LAST))
    if not begun and not os.path.isfile(start):
        return None
    beside = config.clone()
    beside.defrost()
    beside.ealn.scheme, beside.ealn.beside, beside.ealn.test_untrained = scheme, [], False
    beside.data.save_dir, beside.ealn.start_from = folder, start
    beside.model.resume = folder if begun else ""
    beside.freeze()
    return beside


def gains(results: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each scheme beside: what the run has more than it, in points of the primary protocol.

    Args:
        results: content of the run's results.json. beside: what ``train_beside`` returned.
    """
    dataset, _, protocol = results["primary"].partition("/")
    lines = []
    for scheme, other in beside.items():
        own, theirs = (found["datasets"][dataset][protocol] for found in (results, other))
        differences = [
            f"{name} {100 * (own[key] - theirs[key]):+.1f}" for key, name in (("mAP", "mAP"), ("rank1", "rank 1"))
        ]
        lines.append(
            f"above {scheme} from the same warm-up: {', '.join(differences)} (one seed: a point is within chance)"
        )
    return lines
