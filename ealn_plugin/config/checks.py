"""Checks of a whole configuration: each slip is refused with one sentence."""

import difflib
import os
from collections.abc import Collection, Iterable

from yacs.config import CfgNode

from ealn_plugin.config.backbones import size_step
from ealn_plugin.config.defaults import _CHOICES, _LISTS, _RANGES, LOGGERS, RENDERED_FOLDERS, TRANSFORMS, default_config
from ealn_plugin.config.merging import flat
from ealn_plugin.config.own_data import parse
from ealn_plugin.config.scheme_names import COMPARED, GENERATOR_FREE, SCHEMES


def check_config(config: CfgNode) -> None:
    """Refuse values outside their range or choice, and combinations that cannot train.

    Raises:
        ValueError: one sentence with the key, its value, what was expected and what to do.
    """
    values = flat(config)
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            raise ValueError(f"{key} is {values[key]!r}, expected one of {', '.join(repr(c) for c in choices)}")
    for key, (low, high) in _RANGES.items():
        value = values[key]
        if not (value >= low and (high is None or value <= high)):  # also false for NaN
            bounds = f"at least {low}" if high is None else f"a value from {low} to {high}"
            raise ValueError(f"{key} is {value}, expected {bounds}")
    batch, instances = config.train.batch_size, config.sampler.num_instances
    if config.sampler.train_sampler != "RandomIdentitySampler":
        instances = 1
    if batch % instances:
        raise ValueError(
            f"train.batch_size is {batch}, which sampler.num_instances {instances} does not divide; "
            f"use {max(1, batch // instances) * instances} or another multiple of it"
        )
    if batch == instances:
        raise ValueError(
            f"train.batch_size {batch} holds a single identity of sampler.num_instances {instances}: "
            "there would be no negatives; use at least twice as many images"
        )
    if config.loss.triplet.weight_t + config.loss.triplet.weight_x <= 0 and config.ealn.scheme not in COMPARED:
        raise ValueError("loss.triplet.weight_t and loss.triplet.weight_x are both 0; give at least one a weight")
    _check_sides(config)
    for key in ("data.sources", "data.targets"):
        if not values[key]:
            raise ValueError(f"{key} is empty, expected at least one dataset name such as veri776")
    for key, kind in _LISTS.items():
        wrong = [item for item in values[key] if type(item) not in ((int, float) if kind is float else (kind,))]
        if wrong or (key == "train.stepsize" and not values[key]):
            raise ValueError(
                f"{key} is {values[key]}, expected a list of {kind.__name__}, such as {flat(default_config())[key]}"
            )
    for key, known in (("data.transforms", TRANSFORMS), ("ealn.loggers", LOGGERS), ("ealn.beside", SCHEMES)):
        _check_names(key, values[key], known)
    if set(config.ealn.beside) - {config.ealn.scheme} and config.ealn.warmup_epochs < 1:
        raise ValueError(
            f"ealn.beside is {config.ealn.beside}, but with ealn.warmup_epochs {config.ealn.warmup_epochs} there is no "
            "warm-up to share; set ealn.warmup_epochs, or compare schemes with reproduce"
        )
    if sorted(config.ealn.view_order) != ["front", "rear"]:
        raise ValueError(f"ealn.view_order is {config.ealn.view_order}, expected [front, rear] or [rear, front]")


def _check_names(key: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not known, with the one that is most like it."""
    for name in names:
        found = name.lower() if key == "data.transforms" else name  # torchreid minds no capitals there
        if found not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"{key} holds {name!r}, expected some of {', '.join(known)}; did you mean {near}?")


def _check_sides(config: CfgNode) -> None:
    """Refuse a size of images that generators cannot halve twice, or a timm model cannot cut into patches."""
    halvings = 0 if config.ealn.scheme in GENERATOR_FREE else 2
    step = size_step(config, halvings)
    reasons = ["the generator halves it twice"] if halvings else []
    if step > 2**halvings:
        reasons.append(f"patches of {config.model.name} have to fill it")
    for side in ("height", "width"):
        pixels = config.data[side]
        if pixels % step:
            lower = pixels // step * step
            raise ValueError(
                f"data.{side} is {pixels}, expected a multiple of {step}: {' and '.join(reasons)}; use {lower or step}"
            )


def needs_rendering(config: CfgNode) -> bool:
    """Whether some dataset that is read may be the rendered one; the user's own photographs never are."""
    names = config.data.targets if config.test.evaluate else [*config.data.sources, *config.data.targets]
    return any(parse(name) is None for name in names)


def check_named_root(config: CfgNode) -> None:
    """Refuse to render a benchmark into a folder that the user named, unless it is there and empty.

    Raises:
        ValueError: one sentence.
    """
    root, render = config.data.root, config.ealn.render
    if not render.preset or not needs_rendering(config) or (os.path.isdir(root) and not os.listdir(root)):
        return
    if os.path.isdir(os.path.join(root, RENDERED_FOLDERS[render.layout])):
        return
    raise ValueError(
        f"data.root {root!r} {'does not exist' if not os.path.exists(root) else 'holds no rendered benchmark'}, and "
        "nothing is rendered into a folder that was named unless asked for; check the path, or have the benchmark "
        f"rendered there with ealn.render.preset {render.preset}"
    )
