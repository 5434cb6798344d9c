"""One whole run from a configuration: build, train, test, and leave results.json in the run folder."""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from ealn_plugin import config as configuration
from ealn_plugin.config import CfgNode
from ealn_plugin.config.resuming import fixed, settings, settled
from ealn_plugin.data.files import RENDERED_NOTE, is_rendered
from ealn_plugin.data.own.names import splits_to_record
from ealn_plugin.distributed.world import World
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.monitoring.loggers import check_loggers
from ealn_plugin.engine.precision import AUTO
from ealn_plugin.runs import build
from ealn_plugin.runs.folder import (
    CONFIG,
    RENDERED,
    RESULTS,
    SPLITS,
    keep_earlier_run,
    recorded_splits,
    take_back_earlier_run,
)
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)


def train(
    config: CfgNode, progress: bool = True, world: World | None = None, started: Callable[[CfgNode], None] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run what the configuration says; writes ``config.yaml`` first and ``results.json`` last into data.save_dir.

    Nothing in the folder is touched before everything is built, checked and restored. A run that goes on does so with
    the settings that ``settled`` gives, and they are what is written.

    Args:
        config: what ``load_config`` returned.
        progress: show progress bars.
        world: ``World`` of the processes that train together; None: this one alone.
        started: called in the end, however it comes, with the configuration that is used, if training has begun.
    Returns:
        (results, own_results): the content of results.json, and {dataset: {protocol: metrics}} of the embedding
        network's own feature where a scheme fuses it with that of a generated view.
    Raises:
        TrainingInterrupted, ValueError, OSError, RuntimeError: each with one sentence.
    """
    save_dir = config.data.save_dir
    if not config.test.evaluate:
        check_loggers(config.ealn.loggers)  # before anything is rendered or read
    os.makedirs(save_dir, exist_ok=True)
    world = world or World()
    at_home = bool(config.model.resume) and _is_in(config.model.resume, save_dir)
    with world.main_first():  # it renders or downloads what is missing
        if at_home and world.is_main:
            take_back_earlier_run(save_dir)
        if config.model.resume:
            config = _going_on(config, log if world.is_main else None)
        engine = build.build_engine(config, world=world)

    def on_start() -> None:
        """Move an earlier run out of the way and write the settings."""
        if not at_home:
            keep_earlier_run(save_dir)
        _write_settings(config)

    compared: dict[str, Any] = dict(settings=settings(config), fixed=fixed())
    try:
        with logging_redirect_tqdm() if progress else contextlib.nullcontext():  # else nothing would show messages
            results = engine.run(**build.run_options(config), **compared, progress=progress, on_start=on_start)
    finally:
        if started is not None and engine.monitor is not None:
            started(config)
    results = {"config": configuration.recorded(config), **results}
    if engine.precision.asked == AUTO and not config.test.evaluate:
        results["precision"] = engine.precision.name
    if engine.changes:
        results["changes"] = engine.changes
    if world.is_main:
        rendered = _rendered(engine.datamanager)
        if rendered:
            write_atomically(os.path.join(save_dir, RENDERED), json.dumps(rendered) + "\n")
        write_atomically(os.path.join(save_dir, RESULTS), json.dumps(results, indent=1, sort_keys=True) + "\n")
    return results, engine.own_results


def _write_settings(config: CfgNode) -> None:
    """Write what a run does, and how the user's own datasets are split, into its folder."""
    save_dir, kept = config.data.save_dir, config.clone()
    kept.defrost()
    kept.model.resume = ""  # the folder is enough, wherever it will lie
    write_atomically(os.path.join(save_dir, CONFIG), kept.dump())
    datasets = [*config.data.targets, *config.data.sources]
    splits = splits_to_record(datasets, config.data.split_id, recorded_splits(config))
    if splits:
        write_atomically(os.path.join(save_dir, SPLITS), json.dumps(splits, indent=1, sort_keys=True) + "\n")


def _rendered(datamanager: Any) -> list[str]:
    """Names of the datasets of a data manager that were rendered, those it trains on first."""
    datasets = {"+".join(datamanager.sources): datamanager.train_loader.dataset}
    datasets.update({name: loaders["query"].dataset for name, loaders in datamanager.test_loader.items()})
    return [name for name, dataset in datasets.items() if is_rendered(getattr(dataset, "dataset_dir", None) or "-")]


def _is_in(resume: str, save_dir: str) -> bool:
    """Whether the checkpoint that ``model.resume`` names lies in the run folder."""
    folder = resume if os.path.isdir(resume) else os.path.dirname(resume)
    return os.path.realpath(folder) == os.path.realpath(save_dir)


def _going_on(config: CfgNode, logger: logging.Logger | None) -> CfgNode:
    """The settings that the run of ``model.resume`` goes on with; ``logger`` is told what was asked for in vain."""
    file = checkpoint.find(config.model.resume)
    folder = os.path.dirname(file)
    if not os.path.isfile(os.path.join(folder, CONFIG)):
        return config  # what its checkpoint knows is compared when that is restored
    config, kept = settled(config, configuration.run_config(folder))
    if kept and logger is not None:
        logger.warning(
            "kept as the run has it, not as asked for: %s",
            ", ".join(f"{key} {then!r} (not {asked!r})" for key, (asked, then) in kept.items()),
        )
    return config


def table(
    results: Mapping[str, Any],
    own_results: Mapping[str, Any],
    beside: Mapping[str, Mapping[str, Any]] | None = None,
    rendered: Sequence[str] = (),
) -> str:
    """The results as text: the trained network, its own feature alone where features are fused, the untrained one.

    Args:
        beside: {scheme: results} of runs of other schemes to be shown as well.
        rendered: names of datasets that are rendered, which a line below the table says.
    """
    rows = []
    for name, by_protocol in results["datasets"].items():
        for protocol, metrics in by_protocol.items():
            kinds = [
                ("trained", metrics),
                ("  without fusion", own_results.get(name, {}).get(protocol)),
                *(
                    (f"beside: {scheme}", found["datasets"].get(name, {}).get(protocol))
                    for scheme, found in (beside or {}).items()
                ),
                ("untrained", results["untrained"].get(name, {}).get(protocol)),
            ]
            rows += [(f"{name}/{protocol}", label, metrics) for label, metrics in kinds if metrics]
    width = max(len(row[0]) for row in rows)
    keys = ("mAP", "rank1", "rank5", "rank10")
    lines = [f"{'protocol':{width}}  {'network':18}" + "".join(f"{key:>8}" for key in keys)]
    for protocol, label, metrics in rows:
        lines.append(
            f"{protocol:{width}}  {label:18}"
            + "".join(f"{100 * metrics[key]:7.1f}%" if key in metrics else f"{'':8}" for key in keys)
        )
    return "\n".join([*lines, *(f"{name}: {RENDERED_NOTE}" for name in rendered)])
