"""What a run that goes on may do with settings other than those that it began with.

``RESUMING`` sorts every key. What may change is used from there on, and named in the log; what is kept stays as it was,
which is named too; what cannot change is refused.
"""

import glob
import os
from typing import Any

from yacs.config import CfgNode

from ealn_plugin.config.merging import flat, read_yaml, with_current_names
from ealn_plugin.config.own_data import comparable

MACHINE, TESTS, TRAINING, KEPT, FIXED = "machine", "tests", "training", "kept", "fixed"
"""May change: how and where the run works, which changes no result; what tests measure; how training goes on (kept
where a run is only tested). Is kept: what was used up before the first step. Cannot change: what the networks, their
optimisers, the data or the place in the epoch are made of."""

_KEYS = {
    MACHINE: """
        use_gpu model.resume data.root data.workers data.save_dir train.print_freq test.batch_size test.evaluate
        test.eval_freq test.start_eval test.visrank test.visrank_topk ealn.compile ealn.channels_last
        ealn.checkpoint_every ealn.sample_every ealn.diagnose_every ealn.cache_dir ealn.beside
        ealn.loggers
        ealn.imports
        """,
    TESTS: """
        data.targets cuhk03.use_metric_cuhk03 test.dist_metric test.normalize_feature test.ranks test.rerank
        test.query_expansion test.expansion_alpha
        ealn.fusion ealn.fusion_weight ealn.protocols
        """,
    TRAINING: """
        data.transforms train.lr train.weight_decay train.max_epoch train.fixbase_epoch train.open_layers
        train.base_lr_mult train.stepsize train.gamma sgd.momentum sgd.dampening sgd.nesterov rmsprop.alpha adam.beta1
        adam.beta2 loss.softmax.label_smooth loss.triplet.margin loss.triplet.weight_t loss.triplet.weight_x
        ealn.triplets ealn.negatives ealn.alpha ealn.beta1 ealn.beta2 ealn.lambda_ed ealn.lambda_cyc
        ealn.xvgan.lambda_cls ealn.xvgan.lambda_rec ealn.xvgan.margin
        ealn.vami.lambda_adv ealn.vami.lambda_cls ealn.vami.lambda_rec ealn.vami.margin
        ealn.stargan.lambda_cls ealn.stargan.lambda_rec ealn.stargan.lambda_gp ealn.gan_lr ealn.gan_beta1 ealn.gan_beta2
        ealn.constant_epochs ealn.view_embedding_off_epochs ealn.discriminator_steps ealn.refresh_fakes
        ealn.fake_statistics ealn.hard.choose ealn.hard.neutral ealn.hard.candidates ealn.hard.regions
        ealn.hard.radii ealn.hard.content ealn.hard.seam ealn.hard.lambda_l1 ealn.hard.lambda_rf ealn.hard.learn
        ealn.hard.pixel_weight ealn.hard.donors ealn.amp ealn.degrade ealn.lambda_rec ealn.adaptive_weight
        ealn.sync_norm ealn.ccl.model_weight ealn.hdc.margin ealn.gste.groups ealn.gste.margin ealn.lsro.share
        """,
    KEPT: """
        model.pretrained model.load_weights ealn.start_from ealn.test_untrained ealn.render.preset ealn.render.layout
        ealn.render.seed ealn.render.image_size ealn.render.lookalikes ealn.render.twins
        """,
    FIXED: """
        model.name data.type data.sources data.split_id data.height data.width data.combineall data.k_tfm
        data.norm_mean data.norm_std data.load_train_targets market1501.use_500k_distractors cuhk03.labeled_images
        cuhk03.classic_split sampler.train_sampler sampler.train_sampler_t sampler.num_instances sampler.num_cams
        sampler.num_datasets train.optim train.start_epoch train.batch_size train.staged_lr train.new_layers
        train.lr_scheduler train.seed loss.name ealn.scheme ealn.distance ealn.gan_loss ealn.generator.filters
        ealn.generator.blocks ealn.generator.padding ealn.generator.residual ealn.generator.max_change
        ealn.discriminator.filters ealn.discriminator.layers ealn.gan_optim ealn.warmup_epochs
        ealn.warmup_generator_epochs ealn.reconstructions ealn.hard.generator
        ealn.hdc.shares ealn.lsro.noise ealn.vami.steps
        ealn.paired_groups ealn.vggm_feature ealn.view_order ealn.neck ealn.last_stride ealn.lr_warmup_epochs
        """,
}
RESUMING = {key: rule for rule, keys in _KEYS.items() for key in keys.split()}

CONFIG = "config.yaml"


def config_of_run(path: str) -> tuple[dict[str, Any] | None, str]:
    """The tree that a run left in its folder, to be the base of the settings that it goes on with.

    Args:
        path: what ``model.resume`` says, a run folder or a checkpoint file in it.
    Returns:
        (dict or None, str): the tree, None where the folder holds none; and the folder.
    Raises:
        FileNotFoundError: there is nothing at ``path``. ValueError: the file is no tree of settings.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"model.resume is {path!r}, but there is no such file or folder; give a run folder or its "
            "checkpoint_last.pth.tar"
        )
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    moved = glob.glob(os.path.join(glob.escape(folder), "earlier_*.moving", CONFIG))  # by a run that was killed then
    file = next((file for file in [os.path.join(folder, CONFIG), *moved] if os.path.isfile(file)), None)
    if file is None:
        return None, folder
    tree, _ = with_current_names(read_yaml(file))
    if isinstance(tree.get("model"), dict):
        tree["model"]["resume"] = ""
    return tree, folder


def settled(config: CfgNode, run: CfgNode) -> tuple[CfgNode, dict[str, tuple[Any, Any]]]:
    """The settings that a run goes on with, after those that it began with.

    Args:
        config: the settings asked for (yacs tree). run: those in the run's folder, of the same kind.
    Returns:
        (yacs tree, frozen; {key: (asked for, kept)}): what is used, and what was asked for in vain.
    Raises:
        ValueError: naming a difference that cannot be.
    """
    asked, then = comparable(flat(config)), comparable(flat(run))
    differing = [key for key in asked if asked[key] != then[key]]
    for key in differing:
        if RESUMING[key] == FIXED:
            raise ValueError(
                f"{key} is {asked[key]!r}, but the run that model.resume names has {then[key]!r}, which cannot change "
                "on the way; leave it out, or begin a new run without model.resume"
            )
    kept_rules = (KEPT, TRAINING) if config.test.evaluate else (KEPT,)
    kept = {key: (asked[key], then[key]) for key in differing if RESUMING[key] in kept_rules}
    used = config.clone()
    used.defrost()
    for key, (_, value) in kept.items():
        _set(used, key, value)
    used.freeze()
    return used, kept


def _set(config, name, value):
    *groups, key = name.split(".")
    for group in groups:
        config = config[group]
    config[key] = value


def settings(config: CfgNode) -> dict[str, Any]:
    """{key: value} of everything that the results of a run depend on, to be compared when it goes on."""
    return {key: value for key, value in comparable(flat(config)).items() if RESUMING[key] in (TESTS, TRAINING, FIXED)}


def fixed() -> frozenset[str]:
    """Names of the settings that cannot change."""
    return frozenset(key for key, rule in RESUMING.items() if rule == FIXED)
