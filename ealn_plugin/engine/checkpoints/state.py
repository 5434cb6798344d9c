"""What a checkpoint holds of an engine, and how it gets back."""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints.contents import check_contents, load_optimizer, load_scheduler, restoring
from ealn_plugin.engine.checkpoints.rates import EMBEDDING, apply_own, replay_schedule, same_schedule
from ealn_plugin.engine.optimizers import tune_optimizer
from ealn_plugin.schemes.base import Scheme
from ealn_plugin.system import randomness

log = logging.getLogger(__name__)


def capture(engine: Any, epoch: int, position: int) -> dict[str, Any]:
    """Everything needed to go on at batch ``position`` of ``epoch`` as if nothing had happened."""
    return {
        "ealn_format": checkpoint.FORMAT,
        "epoch": epoch,
        "position": position,
        "global_step": engine.global_step,
        "max_epoch": engine.max_epoch,
        "model": engine.model.state_dict(),
        "optimizer": engine.optimizer.state_dict(),
        "scheduler": engine.scheduler.state_dict() if engine.scheduler is not None else None,
        "schemes": {scheme.name: scheme.state_dict() for scheme in engine.schemes},
        "adversaries": {name: optimizer.state_dict() for name, optimizer in engine.adversaries.items()},
        "random": randomness.random_states(engine.device),
        "choices": engine.random.get_state(),
        "untrained": engine.untrained,
        "results": engine.results,
        "own_results": engine.own_results,
        "best": engine.best,
        "run": _fingerprint(engine),
        "settings": engine.settings,
        "changes": engine.changes,
        "tested_with": engine.tested_with,
        "made_with": engine.made_with,
        "constant_epochs": engine.constant_epochs,
        "kinds": _kinds(engine),
        "precision": engine.precision.entry(),
    }


def take_over(engine: Any, resume: str, start_from: str, fixed: Collection[str]) -> None:
    """Take over a checkpoint, if one is named; then every process has the networks of the main one.

    Args:
        resume, start_from, fixed: as ``EALNEngine.run``.
    Raises:
        CheckpointError, FileNotFoundError: with one sentence.
    """
    if resume:
        restore(engine, checkpoint.find(resume), fixed)
    elif start_from:
        restore_warmup(engine, checkpoint.find(start_from))
    networks = (engine.model, *engine.schemes)
    engine.world.copy_from_main([value for network in networks for value in network.state_dict().values()])


def restore(engine: Any, path: str, fixed: Collection[str] = ()) -> None:
    """Put the state of the checkpoint ``path`` into ``engine``.

    Without an optimiser only networks and results are restored, which is all that a test needs. Where the engine was
    made with other rates, decays or moments, or another schedule, than the one that wrote the checkpoint, its own
    hold from here on.

    Args:
        fixed: names of ``engine.settings`` that have to be those of the checkpoint.

    Raises:
        CheckpointError: the file is broken, or of another architecture, other schemes or fixed settings.
    """
    with checkpoint.naming_file(path):
        content = read(path)
        _check_fixed(engine, content, fixed, path)
        _restore(engine, content, path)


def read(path: str) -> dict[str, Any]:
    """The content of a checkpoint, every part of it checked.

    Raises:
        CheckpointError: the file is broken, or has contents that the engine does not write.
    """
    state = checkpoint.load(path)
    with checkpoint.naming_file(path):
        check_contents(state)
    return state


def _restore(engine: Any, state: Mapping[str, Any], path: str) -> None:
    check_schemes(engine.schemes, state, path)
    if engine.optimizer is not None:
        _check_optimizers(engine, state, path)
    fit_networks(engine.model, engine.schemes, state, path)
    for name in ("global_step", "untrained", "results", "own_results", "best"):
        setattr(engine, name, state[name])
    engine.tested_with, engine.changes = state.get("tested_with"), list(state.get("changes", ()))
    if engine.optimizer is None:
        return
    for name, optimizer in engine.adversaries.items():
        load_optimizer(optimizer, state["adversaries"].get(name, {}), f"optimiser of the {name}")
        apply_own(optimizer, name, engine.made_with, state)
        tune_optimizer(optimizer)
    _restore_embedding_training(engine, state, path)
    log.info(
        "going on from %s: epoch %d, batch %d, step %d", path, engine.epoch + 1, engine.position, engine.global_step
    )


def check_schemes(schemes: Sequence[Scheme], state: Mapping[str, Any], path: str) -> None:
    """Raise a CheckpointError unless the content ``state`` of the checkpoint ``path`` is of these schemes."""
    own = [scheme.name for scheme in schemes]
    if sorted(state["schemes"]) != sorted(own):
        raise checkpoint.CheckpointError(
            f"checkpoint {path!r} was trained with the schemes {sorted(state['schemes']) or 'none (en)'}, this run has "
            f"{sorted(own) or 'none (en)'}; use the ealn.scheme of the run that wrote it"
        )


def fit_networks(model: nn.Module, schemes: Sequence[Scheme], state: Mapping[str, Any], path: str) -> None:
    """Fill the backbone and the schemes from the content ``state`` of the checkpoint ``path``.

    Raises:
        CheckpointError: it is of another architecture.
    """
    checkpoint.fit(model, state["model"], "embedding network", path)
    for scheme in schemes:
        own = scheme.state_dict()
        saved = {**{name: own[name] for name in scheme.added}, **state["schemes"][scheme.name]}
        checkpoint.fit(scheme, saved, f"scheme {scheme.name!r}", path)


def restore_warmup(engine: Any, path: str) -> None:
    """Put D_emb's half of a checkpoint that another scheme's run saved at the end of its warm-up into ``engine``.

    In a warm-up only D_emb learns, so a run that starts from here is the run that would have done the warm-up itself.

    Raises:
        CheckpointError: the file is broken, of another architecture, or not from the end of a warm-up of this length.
    """
    with checkpoint.naming_file(path):
        _restore_warmup(engine, read(path), path)
    log.info("starting behind the warm-up of %s: epoch %d, step %d", path, engine.epoch + 1, engine.global_step)


def _restore_warmup(engine: Any, state: Mapping[str, Any], path: str) -> None:
    if (state["epoch"], state["position"]) != (engine.warmup[0], 0):
        raise checkpoint.CheckpointError(
            f"checkpoint {path!r} was saved at epoch {state['epoch']}, batch {state['position']}, expected the end of "
            f"a warm-up of {engine.warmup[0]} epochs; use the {checkpoint.WARMUP} of a run with the same settings"
        )
    _check_optimizers(engine, {**state, "kinds": {**_kinds(engine), **state["kinds"]}}, path)
    checkpoint.fit(engine.model, state["model"], "embedding network", path)
    engine.global_step, engine.untrained = state["global_step"], state["untrained"]
    _restore_embedding_training(engine, state, path)


def _restore_embedding_training(engine: Any, state: Mapping[str, Any], path: str) -> None:
    _note_changes(state, engine, path)
    engine.precision.take_over(state.get("precision", {}))
    load_optimizer(engine.optimizer, state["optimizer"], "optimiser of the embedding network")
    apply_own(engine.optimizer, EMBEDDING, engine.made_with, state)
    tune_optimizer(engine.optimizer)
    if engine.scheduler is not None and state["scheduler"] is not None:
        if same_schedule(engine, state):
            load_scheduler(engine.scheduler, state["scheduler"])
        else:
            replay_schedule(engine, state)
    engine.epoch, engine.position = state["epoch"], state["position"]
    with restoring("random states"):
        engine.random.set_state(state["choices"])
        randomness.restore_random_states(state["random"], engine.device)


def _fingerprint(engine: Any) -> dict[str, Any]:
    loader = engine.train_loader
    return {"seed": engine.seed, "batch size": loader.batch_size, "training images": len(loader.dataset)}


def _kinds(engine: Any) -> dict[str, Any]:
    """{what: class and number of parameter groups} of everything whose state only its own kind can take."""
    kinds = {
        name: f"{type(optimizer).__name__} of {len(optimizer.param_groups)} parameter group(s)"
        for name, optimizer in ((EMBEDDING, engine.optimizer), *engine.adversaries.items())
    }
    kinds["schedule"] = type(engine.scheduler).__name__
    return kinds


def _check_optimizers(engine: Any, state: Mapping[str, Any], path: str) -> None:
    for name, kind in _kinds(engine).items():
        if state["kinds"].get(name) != kind:
            raise checkpoint.CheckpointError(
                f"checkpoint {path!r} was trained with {state['kinds'].get(name)} for the {name}, this run has {kind}; "
                "use train.optim, ealn.gan_optim, train.staged_lr and train.lr_scheduler of the run that wrote it"
            )


def _check_fixed(engine, state, fixed, path):
    """Raise a CheckpointError where the checkpoint ``path`` knows a fixed setting to be another, or of more epochs."""
    done = state["epoch"] + (state["position"] > 0)
    if engine.optimizer is not None and engine.max_epoch is not None and engine.max_epoch < done:
        raise checkpoint.CheckpointError(
            f"train.max_epoch is {engine.max_epoch}, but checkpoint {path!r} is from epoch {done}; give at least {done}"
        )
    then = state.get("settings", {})
    for name in sorted(then.keys() & engine.settings.keys() & set(fixed)):
        if then[name] != engine.settings[name]:
            raise checkpoint.CheckpointError(
                f"{name} is {engine.settings[name]!r}, but checkpoint {path!r} was trained with {then[name]!r}, which "
                "cannot change on the way; give that value, or begin a new run without model.resume"
            )


def _note_changes(state, engine, path):
    """Name the settings that are not those of the checkpoint, and keep them in ``engine.changes``."""
    then = {**state["run"], "epochs": state["max_epoch"], **state.get("settings", {})}
    now = {**_fingerprint(engine), "epochs": engine.max_epoch, **engine.settings}
    changed = [name for name in now if then.get(name) != now[name]]
    for name in changed if state.get("settings") else ():
        if name in engine.settings:
            engine.changes.append(
                {"step": state["global_step"], "name": name, "from": then.get(name), "to": engine.settings[name]}
            )
    if changed:
        log.warning(
            "going on from %s with other settings (%s): the result will differ from that of a run with one set of them",
            path,
            ", ".join(f"{name} {then.get(name)} -> {now[name]}" for name in changed),
        )


class NonFiniteNetworkError(checkpoint.CheckpointError):
    """A network holds a NaN or an infinity."""


def check_finite(engine: Any) -> None:
    """Refuse to save networks that hold a NaN or an infinity.

    Raises:
        CheckpointError: naming the network; an earlier checkpoint stays as it is.
    """
    networks = {"the embedding network": engine.model, **{f"scheme {s.name!r}": s for s in engine.schemes}}
    for name, network in networks.items():
        values = [tensor.sum() for tensor in network.state_dict().values() if tensor.is_floating_point()]
        if values and not torch.isfinite(torch.stack([value.float() for value in values])).all():
            raise NonFiniteNetworkError(
                f"{name} holds values that are not finite after step {engine.global_step}, so nothing was saved; "
                "lower train.lr or ealn.gan_lr"
            )


def save(engine: Any, save_dir: str, epoch: int, position: int) -> None:
    """Write the last checkpoint of a run."""
    check_finite(engine)
    checkpoint.save_atomically(capture(engine, epoch, position), os.path.join(save_dir, checkpoint.LAST))


def save_epoch(engine: Any, save_dir: str, is_best: bool) -> None:
    """At the end of an epoch: D_emb in torchreid's own format, the best checkpoint, that of the warm-up, the last one.

    The last one is written last: a run that is killed in between goes on from the one before and writes all again.
    """
    check_finite(engine)
    whole = capture(engine, engine.epoch + 1, 0)
    primary = (engine.best or {}).get("rank1", 0.0)
    network = {
        "state_dict": engine.model.state_dict(),
        "epoch": engine.epoch + 1,
        "rank1": float(primary),
        "optimizer": engine.optimizer.state_dict(),
        "scheduler": engine.scheduler.state_dict() if engine.scheduler is not None else {},
    }
    for name in ("last", "best") if is_best else ("last",):
        checkpoint.save_atomically(network, os.path.join(save_dir, "model", f"model-{name}.pth.tar"))
    if is_best:
        checkpoint.save_atomically(whole, os.path.join(save_dir, checkpoint.BEST))
    if engine.epoch + 1 == engine.warmup[0]:
        checkpoint.save_atomically(whole, os.path.join(save_dir, checkpoint.WARMUP))
    save(engine, save_dir, engine.epoch + 1, 0)
