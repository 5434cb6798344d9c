"""One whole run from a configuration: build, train, test, and leave results.json in the run folder."""

import contextlib
import json
import logging
import os

from tqdm.contrib.logging import logging_redirect_tqdm

from ealn_plugin import build
from ealn_plugin import config as configuration
from ealn_plugin.engine.distributed import World
from ealn_plugin.writing import write_atomically

log = logging.getLogger(__name__)

RESULTS, CONFIG = "results.json", "config.yaml"
MOVING = ".moving"


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


def keep_earlier_run(save_dir):
    """Move what another run left in the folder, its log apart, to ``earlier_N`` in it; nothing saved is lost.

    A process that is killed on the way leaves a folder ``earlier_N.moving``: the next new run ends that move here, and
    a run that is resumed undoes it.
    """
    unfinished = _unfinished_move(save_dir)
    if unfinished is None and not any(name.startswith("checkpoint_") for name in os.listdir(save_dir)):
        return
    number = 1
    while os.path.exists(os.path.join(save_dir, f"earlier_{number}")):
        number += 1
    target = os.path.join(save_dir, f"earlier_{number}")
    moving = unfinished or target + MOVING
    os.makedirs(moving, exist_ok=True)
    for name in os.listdir(save_dir):
        if not name.startswith("earlier_") and not name.endswith(".log"):
            os.rename(os.path.join(save_dir, name), os.path.join(moving, name))
    os.rename(moving, target)
    log.warning("%s held another run; it is kept in %s (to go on with a run, use model.resume)", save_dir, target)


def take_back_earlier_run(save_dir):
    """Undo a ``keep_earlier_run`` that was killed on the way."""
    moving = _unfinished_move(save_dir)
    if moving is None:
        return
    for name in os.listdir(moving):
        os.rename(os.path.join(moving, name), os.path.join(save_dir, name))
    os.rmdir(moving)


def _unfinished_move(save_dir):
    names = [name for name in os.listdir(save_dir) if name.startswith("earlier_") and name.endswith(MOVING)]
    return os.path.join(save_dir, names[0]) if names else None


def read_results(path):
    """A results.json as a dict with "config", "primary" and "datasets".

    Raises:
        ValueError: it is none. OSError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
        dataset, _, protocol = results["primary"].partition("/")
        float(results["datasets"][dataset][protocol]["mAP"]), results["config"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path!r} is not a results file ({type(error).__name__}: {error}); delete it to run that again"
        ) from error
    return results


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
