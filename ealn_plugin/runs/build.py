"""From a configuration to the parts of a run; the only place where config keys meet constructors."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.config.checks import needs_rendering
from ealn_plugin.data.synthetic import add_companions, add_training_twins, render_dataset
from ealn_plugin.distributed.world import World
from ealn_plugin.engine import schedule
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.ealn import EALNEngine
from ealn_plugin.engine.options import ENGINE_OPTIONS, RUN_OPTIONS
from ealn_plugin.models import NeckedBackbone, check_backbone, timm_backbone
from ealn_plugin.models.last_stride import remove_last_stride
from ealn_plugin.runs import pretrained
from ealn_plugin.runs.build_schemes import build_schemes, or_none
from ealn_plugin.runs.compared_networks import network_options
from ealn_plugin.runs.datamanager import build_datamanager
from ealn_plugin.runs.weights import fill_weights, number_of_classes
from ealn_plugin.system.imports import import_modules
from ealn_plugin.system.randomness import seed_everything

log = logging.getLogger(__name__)

_KEYS: dict[str, Any] = {
    "margin": "loss.triplet.margin",
    "weight_t": "loss.triplet.weight_t",
    "weight_x": "loss.triplet.weight_x",
    "label_smooth": "loss.softmax.label_smooth",
    "gan_betas": ("ealn.gan_beta1", "ealn.gan_beta2"),
    "print_freq": "train.print_freq",
    "use_metric_cuhk03": "cuhk03.use_metric_cuhk03",
    **{
        name: f"test.{name}"
        for name in (
            "start_eval eval_freq dist_metric normalize_feature visrank visrank_topk ranks rerank query_expansion "
            "expansion_alpha"
        ).split()
    },
}
"""Configuration keys of the options that are not called ealn.<name of the option>."""


def build_engine(
    config: CfgNode,
    datamanager: Any = None,
    views: Mapping[str, int] | None = None,
    world: World | None = None,
    num_classes: int | None = None,
) -> EALNEngine:
    """Data manager, networks, optimisers and engine of a configuration.

    Args:
        config: what ``load_config`` returned.
        datamanager: used instead of that of the configuration's datasets, which are then not looked at.
        views: {image path: View} of its images; None: the labels that the datasets loaded.
        world: ``World`` of the processes that train together, or None.
        num_classes: identities that the network's classifier tells apart; None: those of the training images, or of
            the checkpoint that is only tested.
    Returns:
        EALNEngine, ready for ``run(**run_options(config))``.
    """
    import_modules(config.ealn.imports)
    toolkit.check_model_name(config.model.name)  # before anything is rendered or read
    if pretrained.is_filled_here(config):
        pretrained.pretrained_file()
    if datamanager is None:
        render_if_missing(config)
    seed_everything(config.train.seed)
    if datamanager is None:
        datamanager = build_datamanager(config, train=not config.test.evaluate)
    classes = num_classes or _num_classes(config, datamanager)
    model = build_embedding_backbone(config, classes)
    testing = config.test.evaluate  # which needs neither an optimizer nor training images
    optimizer = None if testing else toolkit.build_optimizer(model, **configuration.optimizer_options(config))
    return EALNEngine(
        datamanager,
        model,
        optimizer,
        None if optimizer is None else build_scheduler(config, optimizer),
        build_schemes(config, classes),
        **option_groups(ENGINE_OPTIONS, config),
        fusion=config.ealn.fusion,
        norm_mean=list(config.data.norm_mean),
        norm_std=list(config.data.norm_std),
        views=views,
        seed=config.train.seed,
        use_gpu=config.use_gpu,
        world=world,
    )


def option_groups(kinds: Mapping[str, Any], config: CfgNode) -> dict[str, Any]:
    """{argument: options} of the groups of engine/options.py, each field from its key: ``_KEYS``, else ealn.<name>."""
    values = configuration.flat(config)
    groups = {}
    for argument, kind in kinds.items():
        options = {}
        for field in fields(kind):
            keys = _KEYS.get(field.name, f"ealn.{field.name}")
            value = tuple(values[key] for key in keys) if isinstance(keys, tuple) else values[keys]
            value = tuple(value) if isinstance(value, list) else value
            options[field.name] = or_none(value) if field.default is None else value
        groups[argument] = kind(**options)
    return groups


def _num_classes(config: CfgNode, datamanager: Any) -> int:
    if config.test.evaluate and config.model.resume:
        return number_of_classes(state.read(checkpoint.find(config.model.resume))["model"])
    return max(1, datamanager.num_train_pids)


def run_options(config: CfgNode) -> dict[str, Any]:
    """Keyword arguments of ``EALNEngine.run``."""
    return dict(
        save_dir=config.data.save_dir,
        max_epoch=config.train.max_epoch,
        fixbase_epoch=config.train.fixbase_epoch,
        open_layers=list(config.train.open_layers),
        test_only=config.test.evaluate,
        resume=config.model.resume,
        start_from=config.ealn.start_from,
        **option_groups(RUN_OPTIONS, config),
    )


def render_if_missing(config: CfgNode) -> None:
    """Render the benchmark of ``ealn.render`` into data.root; a finished one is used as it is."""
    render = config.ealn.render
    if not render.preset or not needs_rendering(config):
        return
    folder = render_dataset(
        config.data.root,
        layout=render.layout,
        preset=render.preset,
        seed=render.seed,
        image_size=render.image_size or None,
    )
    if render.lookalikes:
        add_companions(folder, render.lookalikes)
    if render.twins:
        add_training_twins(folder)
    log.info("the rendered %s benchmark is in %s", render.preset, folder)


def build_embedding_backbone(config: CfgNode, num_classes: int) -> nn.Module:
    """The backbone named by ``model.name``, with ``model.load_weights`` loaded when given; see ``with_tricks``."""
    import_modules(config.ealn.imports)
    extra, own = network_options(config), pretrained.is_filled_here(config)
    size = dict(height=config.data.height, width=config.data.width)
    if config.model.name == "vgg_cnn_m_1024":
        extra = dict(input_size=tuple(size.values()), feature_activation=config.ealn.vggm_feature)
    elif config.model.name.startswith(timm_backbone.PREFIX):
        extra = size
        _tell_input(config)
    model = toolkit.build_model(
        config.model.name,
        num_classes,
        loss="triplet",
        pretrained=pretrained.is_wanted(config) and not own,
        use_gpu=config.use_gpu and torch.cuda.is_available(),
        **extra,
    )
    if own:
        pretrained.fill_pretrained(model)
    if config.model.load_weights:
        model = fill_weights(
            model,
            config.model.load_weights,
            config.data.norm_mean,
            config.data.norm_std,
            tested_size=tuple(size.values()) if config.test.evaluate else None,
        )
    return with_tricks(model, config, num_classes)


def with_tricks(model: nn.Module, config: CfgNode, num_classes: int) -> nn.Module:
    """The backbone with what ealn.last_stride and ealn.neck ask for; itself where they ask for nothing.

    Raises:
        ValueError: the backbone has no last stride to be taken out, or cannot be wrapped.
    """
    size = config.data.height, config.data.width
    if config.ealn.last_stride == 1:
        remove_last_stride(model, *size, name=config.model.name)
    if config.ealn.neck == "none":
        return model
    return NeckedBackbone(model, check_backbone(model, *size), num_classes, config.ealn.neck)


def _tell_input(config: CfgNode) -> None:
    """Say in the log what images a timm model gets, and where that differs from its own config."""
    own, data = timm_backbone.timm_input(config.model.name), config.data
    used = dict(height=data.height, width=data.width, mean=list(data.norm_mean), std=list(data.norm_std))
    other = [f"{name} {own[name]}" for name, value in used.items() if value != own[name]]
    log.info(
        "%s: images of %d x %d pixels, norm_mean %s, norm_std %s, %s",
        config.model.name,
        data.height,
        data.width,
        used["mean"],
        used["std"],
        f"as set; its own pretrained config has {', '.join(other)}" if other else "those of its own pretrained config",
    )


def build_scheduler(config: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
    """The paper's linear schedule, or one of torchreid's; behind a linear warm-up with ealn.lr_warmup_epochs."""
    train, warmup = config.train, config.ealn.lr_warmup_epochs
    if train.lr_scheduler != "linear" and not warmup:
        stepsize = list(train.stepsize) if train.lr_scheduler == "multi_step" else train.stepsize[-1]
        return toolkit.build_lr_scheduler(
            optimizer, lr_scheduler=train.lr_scheduler, stepsize=stepsize, gamma=train.gamma, max_epoch=train.max_epoch
        )
    if warmup >= train.max_epoch:
        raise ValueError(
            f"ealn.lr_warmup_epochs is {warmup}, but the run has {train.max_epoch} epochs; lower it or train longer"
        )
    main = _main_factor(config)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: schedule.warm_up_factor(epoch, warmup) * main(epoch)
    )


def _main_factor(config: CfgNode) -> Callable[[int], float]:
    """The factor of the learning rate in an epoch, the warm-up apart."""
    train = config.train
    if train.lr_scheduler == "cosine":
        return lambda epoch: schedule.cosine_factor(epoch, train.max_epoch, config.ealn.lr_warmup_epochs)
    if train.lr_scheduler == "single_step":
        steps = range(train.stepsize[-1], train.max_epoch, train.stepsize[-1])
        return lambda epoch: schedule.step_factor(epoch, steps, train.gamma)
    if train.lr_scheduler == "multi_step":
        return lambda epoch: schedule.step_factor(epoch, train.stepsize, train.gamma)
    constant = or_none(config.ealn.constant_epochs)
    if constant is None:
        constant = schedule.default_constant_epochs(train.max_epoch)
    schedule.linear_factor(0, train.max_epoch, constant)
    return lambda epoch: schedule.linear_factor(epoch, train.max_epoch, constant)
