"""From a configuration to torchreid's data manager, with the user's own datasets and faster loaders."""

from collections.abc import Mapping
from typing import Any

from yacs.config import CfgNode

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.data.images import speed_up
from ealn_plugin.data.lookalike_lists import lookalikes_of
from ealn_plugin.data.own.names import registered
from ealn_plugin.data.twin_lists import training_twins_of
from ealn_plugin.runs.folder import recorded_splits
from ealn_plugin.system.imports import import_modules


def build_datamanager(config: CfgNode, train: bool = True) -> Any:
    """torchreid's ImageDataManager of a configuration, its loaders made faster.

    Args:
        config: what ``load_config`` returned.
        train: the training images will be read as well; else none are needed, and no cache is made of them.
    Raises:
        FileNotFoundError, ValueError: a dataset that cannot be read, or one without training images to train on.
    """
    import_modules(config.ealn.imports)
    options = configuration.datamanager_options(config)
    names = registered([*options["targets"], *options["sources"]])  # targets first: results have their names
    options.update({side: [names[name] for name in options[side]] for side in ("sources", "targets")})
    splits = recorded_splits(config)
    if splits:
        options["dataset_options"]["recorded_splits"] = splits
    if not train:
        options.update(sources=options["targets"][:1], load_train_targets=False, train_sampler="SequentialSampler")
    try:
        datamanager = toolkit.build_datamanager(**options)
    except ValueError:  # of a sampler that found nothing to sample, among others
        _check_training_images(options)
        raise
    if train and not datamanager.num_train_pids:
        _check_training_images(options)
    more = {}
    if train and config.ealn.cache_dir:
        more = _companions(config.ealn.scheme, datamanager)
    speed_up(datamanager, config.ealn.cache_dir, train, config.data.workers, more=more)
    return datamanager


def _companions(scheme: str, datamanager: Any) -> dict[str, list[str]]:
    """{name: paths} of the images that a scheme reads beside the training images."""
    parts, name = configuration.parts_of(scheme), "+".join(datamanager.sources)
    paths, found = [item[0] for item in datamanager.train_loader.dataset.data], {}
    for part, kind, lists_of in (("truth", "lookalikes", lookalikes_of), ("true_view", "twins", training_twins_of)):
        if part in parts:
            found[f"{name}_{kind}"] = [path for own in lists_of(paths).values() for path in own]
    return found


def _check_training_images(options: Mapping[str, Any]) -> None:
    """Refuse sources that have only their test part, or too few vehicles; ``options`` are those of the data manager."""
    vehicles = 0
    for name in options["sources"]:
        dataset = toolkit.build_dataset(
            name, options["root"], split_id=options["split_id"], **options["dataset_options"]
        )
        vehicles += dataset.num_train_pids
        if not dataset.train:
            raise FileNotFoundError(
                f"{name} in {options['root']!r} has no training images; unpack them as datasets.md describes, or only "
                "test with test.evaluate True"
            )
    batch, instances = options["batch_size_train"], options["num_instances"]
    if options["train_sampler"] == "RandomIdentitySampler" and 1 < vehicles < batch // instances:
        raise ValueError(
            f"train.batch_size is {batch}, which takes {batch // instances} vehicles at a time with "
            f"sampler.num_instances {instances}, but {', '.join(options['sources'])} has {vehicles} training vehicles; "
            f"use train.batch_size {vehicles * instances} or less"
        )
