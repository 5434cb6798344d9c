"""The parts of an engine that are put together and checked before anything is trained."""

import logging
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ealn_plugin import toolkit
from ealn_plugin.data.annotations import MODELS
from ealn_plugin.data.donors import donor_lists
from ealn_plugin.data.lookalike_lists import lookalikes_of
from ealn_plugin.data.twin_lists import training_twins_of
from ealn_plugin.distributed.world import check_batch
from ealn_plugin.engine import schedule
from ealn_plugin.schemes.base import Scheme

log = logging.getLogger(__name__)


def checked_schemes(schemes: Iterable[Any], backbone: str = "", outputs: Collection[str] = ()) -> list[Scheme]:
    """The schemes as a list.

    Args:
        backbone: what messages call it. outputs: names of what it returns beside logits and features.
    Raises:
        ValueError: something else among them, one kind twice, or one that needs another backbone.
    """
    schemes = list(schemes)
    for scheme in schemes:
        if not isinstance(scheme, Scheme):
            raise ValueError(
                f"schemes holds {scheme!r}, expected instances of ealn_plugin.schemes such as HardNegativeScheme()"
            )
    names = [scheme.name for scheme in schemes]
    if len(set(names)) < len(names):
        raise ValueError(f"schemes holds {names}, expected each kind at most once")
    for scheme in schemes:
        missing = [name for name in scheme.needs_outputs if name not in outputs]
        if missing:
            raise ValueError(
                f"the scheme {scheme.name} needs a network that returns {', '.join(missing)} in training, but "
                f"{backbone} returns {', '.join(('logits', 'features', *outputs))}; give the network that "
                "configs/compared has for it"
            )
    return schemes


def check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler that needs to be told of a result.

    Raises:
        ValueError: one sentence.
    """
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError(
            "the scheduler is a ReduceLROnPlateau, expected one that steps by epoch alone, such as those of "
            "torchreid.optim.build_lr_scheduler"
        )


def check_training(engine: Any, visrank: bool, open_layers: str | Sequence[str] | None) -> None:
    """Refuse what an ``EALNEngine`` cannot train.

    Args:
        visrank: as asked for. open_layers: as asked for, or None where no layers are fixed at first.
    Raises:
        ValueError: one sentence.
    """
    if visrank:
        raise ValueError("visrank is True while training, expected it with test_only (test.evaluate True) only")
    if engine.optimizer is None:
        raise ValueError("the engine has no optimizer, expected one to train; pass one, or run with test_only")
    if engine.max_epoch < 1:
        raise ValueError(f"max_epoch is {engine.max_epoch}, expected at least 1")
    warmup = sum(engine.warmup)
    if warmup >= engine.max_epoch:
        raise ValueError(
            f"warmup_epochs {engine.warmup[0]} and warmup_generator_epochs {engine.warmup[1]} leave no joint epoch of "
            f"max_epoch {engine.max_epoch}; lower them or train longer"
        )
    schedule.linear_factor(0, engine.max_epoch, engine.constant_epochs)
    check_open_layers(engine.model, open_layers)
    loader = engine.train_loader
    if not len(loader.dataset):
        raise ValueError(
            "there are no training images, only those of a test; give a dataset with its training part, or run with "
            "test_only (test.evaluate True)"
        )
    check_batch(engine.world, loader.batch_size, getattr(loader.sampler, "num_instances", 1))
    views = engine.views_of([item[0] for item in loader.dataset.train])
    for scheme in engine.schemes:
        scheme.check(views, engine.datamanager.height, engine.datamanager.width)
        scheme.begin_epoch(0, engine.max_epoch - warmup)
    if any(scheme.needs_models for scheme in engine.schemes):
        check_models([item[0] for item in loader.dataset.train], engine.datamanager.sources)
    if toolkit.keeps_past_images(loader.dataset):
        log.warning(
            "the transform random_patch keeps images of earlier batches, which no checkpoint holds: a run "
            "that is resumed will differ from one that was not interrupted"
        )


def check_models(paths: Sequence[str], sources: Sequence[str]) -> None:
    """Refuse training images without models for a scheme that learns them.

    Args:
        paths: of the training images. sources: names of the datasets that they come from.
    Raises:
        ValueError: one sentence.
    """
    if len(sources) > 1:
        raise ValueError(
            f"data.sources are {', '.join(sources)}, expected one for a scheme that learns the vehicles' models: their "
            "numbers mean something else in each"
        )
    known = int((MODELS.lookup(paths) >= 0).sum())
    if not known:
        raise ValueError(
            f"no model is known of the {len(paths)} training images; put an attributes.csv with the columns vehicle "
            "and model, or the release's attribute files, into the dataset folder (see datasets.md), or choose "
            "another ealn.scheme"
        )
    if known < len(paths):
        log.warning("the model of %d of %d training images is unknown", len(paths) - known, len(paths))


def companions_for(engine: Any, progress: bool = True) -> dict[str, dict[str, list[str]]]:
    """The images that the engine's schemes need beside each training image.

    Args:
        engine: EALNEngine. progress: show a progress bar where they have to be looked for.
    Returns:
        {kind: {image path: paths of its companions, at least one}}: 'lookalike', see ``lookalikes_of``; 'twin', see
        ``training_twins_of``; 'donor' and 'own', see ``donor_lists``. {} where no scheme needs any.
    Raises:
        ValueError: an image has none, or the dataset's transform would make other images of the training images.
    """
    dataset, found = engine.train_loader.dataset, {}
    wanted = {kind for scheme in engine.schemes for kind in scheme.companions}
    if not wanted:
        return found
    if toolkit.keeps_past_images(dataset):
        raise ValueError(
            "data.transforms holds random_patch, which would paste parts of other images into training images; take "
            "it out for this scheme and for those that it is compared with"
        )
    paths = [item[0] for item in dataset.train]
    if "lookalike" in wanted:
        found["lookalike"] = lookalikes_of(paths)
    if "twin" in wanted:
        found["twin"] = training_twins_of(paths)
    if wanted & {"donor", "own"}:
        count = max(scheme.donors for scheme in engine.schemes if wanted.intersection(scheme.companions))
        pids = [item[1] for item in dataset.train]
        lists = donor_lists(paths, pids, engine.views_of(paths), toolkit.pixel_reader(dataset), count, progress)
        found.update({kind: lists[kind] for kind in ("donor", "own") if kind in wanted})
    return found


def check_open_layers(model: nn.Module, layers: str | Sequence[str] | None) -> None:
    """Refuse names in open_layers (a name, a list or None) that the backbone does not have.

    Raises:
        ValueError: one sentence.
    """
    for layer in [layers] if isinstance(layers, str) else layers or ():
        if not hasattr(model, layer):
            raise ValueError(
                f"open_layers holds {layer!r}, expected attributes of {type(model).__name__}: "
                f"{', '.join(name for name, _ in model.named_children())}"
            )


def make_folder(path: str) -> None:
    """Create the run folder.

    Raises:
        ValueError: it cannot be created.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(f"save_dir {path!r} cannot be created ({error}); choose another data.save_dir") from error
