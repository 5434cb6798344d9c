"""One whole run from a configuration: build, train, test, and leave results.json in the run folder."""

import contextlib
import json
import logging
import os

from tqdm.contrib.logging import logging_redirect_tqdm

from ealn_plugin import config as configuration
from ealn_plugin.distributed.world import World
from ealn_plugin.runs import build
from ealn_plugin.runs.folder import CONFIG, RESULTS, keep_earlier_run, take_back_earlier_run
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)


def train(config, progress=True, world=None):
    """Run what the configuration says; writes ``config.yaml`` first and ``results.json`` last into data.save_dir.

    Nothing in the folder is touched before everything is built, checked and restored.

    Args:
        config: what ``load_config`` returned.
        progress: show progress bars.
        world: ``World`` of the processes that train together; None: this one alone.
    Returns:
        (results, own_results): the content of results.json, and {dataset: {protocol: metrics}} of the embedding
        network's own feature where a scheme fuses it with that of a generated view.
    Raises:
        TrainingInterrupted, ValueError, OSError, RuntimeError: each with one sentence.
    """
    save_dir = config.data.save_dir
    os.makedirs(save_dir, exist_ok=True)
    world = world or World()
    if config.model.resume and world.is_main:
        take_back_earlier_run(save_dir)
    with world.main_first():  # it renders or downloads what is missing
        engine = build.build_engine(config, world=world)

    def on_start():
        if not config.model.resume:
            keep_earlier_run(save_dir)
        write_atomically(os.path.join(save_dir, CONFIG), config.dump())

    with logging_redirect_tqdm() if progress else contextlib.nullcontext():  # it shows messages where nothing else does
        results = engine.run(**build.run_options(config), progress=progress, on_start=on_start)
    results = {"config": configuration.recorded(config), **results}
    if world.is_main:
        write_atomically(os.path.join(save_dir, RESULTS), json.dumps(results, indent=1, sort_keys=True) + "\n")
    return results, engine.own_results


def table(results, own_results):
    """The results as text: the trained network, its own feature alone where features are fused, the untrained one."""
    rows = []
    for name, by_protocol in results["datasets"].items():
        for protocol, metrics in by_protocol.items():
            kinds = [
                ("trained", metrics),
                ("  without fusion", own_results.get(name, {}).get(protocol)),
                ("untrained", results["untrained"].get(name, {}).get(protocol)),
            ]
            rows += [(f"{name}/{protocol}", label, found) for label, found in kinds if found]
    width = max(len(row[0]) for row in rows)
    keys = ("mAP", "rank1", "rank5", "rank10")
    lines = [f"{'protocol':{width}}  {'network':18}" + "".join(f"{key:>8}" for key in keys)]
    for protocol, label, metrics in rows:
        lines.append(
            f"{protocol:{width}}  {label:18}"
            + "".join(f"{100 * metrics[key]:7.1f}%" if key in metrics else f"{'':8}" for key in keys)
        )
    return "\n".join(lines)
