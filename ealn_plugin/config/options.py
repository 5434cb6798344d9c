"""From a configuration to the keyword arguments of torchreid's constructors, and to what results.json records."""

from typing import Any

import yaml
from yacs.config import CfgNode

from ealn_plugin.config.own_data import short
from ealn_plugin.system.imports import module_name


def datamanager_options(config: CfgNode) -> dict[str, Any]:
    """Keyword arguments of ``toolkit.build_datamanager``."""
    data, sampler = config.data, config.sampler
    return dict(
        root=data.root,
        sources=list(data.sources),
        targets=list(data.targets),
        height=data.height,
        width=data.width,
        transforms=list(data.transforms),
        k_tfm=data.k_tfm,
        norm_mean=list(data.norm_mean),
        norm_std=list(data.norm_std),
        use_gpu=config.use_gpu,
        split_id=data.split_id,
        combineall=data.combineall,
        load_train_targets=data.load_train_targets,
        batch_size_train=config.train.batch_size,
        batch_size_test=config.test.batch_size,
        workers=data.workers,
        num_instances=sampler.num_instances,
        num_cams=sampler.num_cams,
        num_datasets=sampler.num_datasets,
        train_sampler=sampler.train_sampler,
        train_sampler_t=sampler.train_sampler_t,
        cuhk03_labeled=config.cuhk03.labeled_images,
        cuhk03_classic_split=config.cuhk03.classic_split,
        market1501_500k=config.market1501.use_500k_distractors,
        dataset_options={"view_order": tuple(config.ealn.view_order)},
    )


def optimizer_options(config: CfgNode) -> dict[str, Any]:
    """Keyword arguments of torchreid's build_optimizer for the embedding network."""
    train = config.train
    return dict(
        optim=train.optim,
        lr=train.lr,
        weight_decay=train.weight_decay,
        momentum=config.sgd.momentum,
        sgd_dampening=config.sgd.dampening,
        sgd_nesterov=config.sgd.nesterov,
        rmsprop_alpha=config.rmsprop.alpha,
        adam_beta1=config.adam.beta1,
        adam_beta2=config.adam.beta2,
        staged_lr=train.staged_lr,
        new_layers=list(train.new_layers),
        base_lr_mult=train.base_lr_mult,
    )


def recorded(config: CfgNode) -> dict[str, Any]:
    """The configuration for results.json: without where this run lives, so that equal runs write equal files."""
    tree = yaml.safe_load(config.dump())
    for section, key in (
        ("data", "root"),
        ("data", "save_dir"),
        ("model", "resume"),
        ("model", "load_weights"),
        ("ealn", "start_from"),
        ("ealn", "cache_dir"),
    ):
        tree[section].pop(key)
    for side in ("sources", "targets"):
        tree["data"][side] = [short(name) for name in tree["data"][side]]
    tree["ealn"]["imports"] = [module_name(name) for name in tree["ealn"]["imports"]]
    return tree
