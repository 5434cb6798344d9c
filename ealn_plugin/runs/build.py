"""From a configuration to the parts of a run; the only place where config keys meet constructors."""

import logging

import torch

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.data.images import speed_up
from ealn_plugin.data.synthetic import add_companions, render_dataset
from ealn_plugin.data.vehicleid import VehicleID
from ealn_plugin.engine import schedule
from ealn_plugin.engine.ealn import EALNEngine
from ealn_plugin.models import (
    EditingGenerator,
    ReconstructingGenerator,
    StarGANDiscriminator,
    StarGANGenerator,
    patchgan_70,
    resnet_generator_9blocks,
)
from ealn_plugin.runs.weights import fill_weights
from ealn_plugin.schemes import (
    CrossViewScheme,
    CycleGANScheme,
    EditingScheme,
    HardNegativeScheme,
    MixedNegativesScheme,
    PastedRegionsScheme,
    PerturbedCopiesScheme,
    StarGANScheme,
    TrueHardNegativesScheme,
)
from ealn_plugin.system.randomness import seed_everything

log = logging.getLogger(__name__)


def build_engine(config, datamanager=None, views=None, world=None):
    """Data manager, networks, optimisers and engine of a configuration.

    Args:
        config: what ``load_config`` returned.
        datamanager: used instead of that of the configuration's datasets, which are then not looked at.
        views: {image path: View} of its images; None: the labels that the datasets loaded.
        world: ``World`` of the processes that train together, or None.
    Returns:
        EALNEngine, ready for ``run(**run_options(config))``.
    """
    if datamanager is None:
        render_if_missing(config)
    seed_everything(config.train.seed)
    VehicleID.view_order = tuple(config.ealn.view_order)
    if datamanager is None:
        datamanager = build_datamanager(config, train=not config.test.evaluate)
    model = build_embedding_backbone(config, datamanager.num_train_pids)
    optimizer = toolkit.build_optimizer(model, **configuration.optimizer_options(config))
    ealn, triplet = config.ealn, config.loss.triplet
    return EALNEngine(
        datamanager,
        model,
        optimizer,
        build_scheduler(config, optimizer),
        build_schemes(config),
        margin=triplet.margin,
        weight_t=triplet.weight_t,
        weight_x=triplet.weight_x,
        label_smooth=config.loss.softmax.label_smooth,
        distance=ealn.distance,
        triplets=ealn.triplets,
        gan_optim=ealn.optim,
        gan_lr=ealn.lr,
        gan_betas=(ealn.beta_1, ealn.beta_2),
        constant_epochs=_or_none(ealn.constant_epochs),
        warmup_epochs=ealn.warmup_epochs,
        warmup_generator_epochs=_or_none(ealn.warmup_generator_epochs),
        discriminator_steps=ealn.discriminator_steps,
        refresh_fakes=ealn.refresh_fakes,
        fake_statistics=ealn.fake_statistics,
        degrade=ealn.degrade,
        amp=ealn.amp,
        compile=ealn.compile,
        channels_last=ealn.channels_last,
        fusion=ealn.fusion,
        norm_mean=list(config.data.norm_mean),
        norm_std=list(config.data.norm_std),
        views=views,
        seed=config.train.seed,
        use_gpu=config.use_gpu,
        world=world,
        sync_norm=ealn.sync_norm,
        paired_groups=ealn.paired_groups,
    )


def build_datamanager(config, train=True):
    """torchreid's ImageDataManager of a configuration, its loaders made faster.

    Args:
        config: what ``load_config`` returned.
        train: the training images will be read as well; else no cache is made of them.
    """
    datamanager = toolkit.build_datamanager(**configuration.datamanager_options(config))
    speed_up(datamanager, config.ealn.cache_dir, train, config.data.workers)
    return datamanager


def run_options(config):
    """Keyword arguments of ``EALNEngine.run``."""
    train, test = config.train, config.test
    return dict(
        save_dir=config.data.save_dir,
        max_epoch=train.max_epoch,
        print_freq=train.print_freq,
        fixbase_epoch=train.fixbase_epoch,
        open_layers=list(train.open_layers),
        start_eval=test.start_eval,
        eval_freq=test.eval_freq,
        test_only=test.evaluate,
        dist_metric=test.dist_metric,
        normalize_feature=test.normalize_feature,
        visrank=test.visrank,
        visrank_topk=test.visrank_topk,
        use_metric_cuhk03=config.cuhk03.use_metric_cuhk03,
        ranks=tuple(test.ranks),
        rerank=test.rerank,
        resume=config.model.resume,
        start_from=config.ealn.start_from,
        checkpoint_every=config.ealn.checkpoint_every,
        sample_every=config.ealn.sample_every,
        diagnose_every=config.ealn.diagnose_every,
        test_untrained=config.ealn.test_untrained,
        protocols=tuple(config.ealn.protocols),
    )


def render_if_missing(config):
    """Render the benchmark of ``ealn.render`` into data.root; a finished one is used as it is."""
    render = config.ealn.render
    if not render.preset:
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
    log.info("the rendered %s benchmark is in %s", render.preset, folder)


def build_embedding_backbone(config, num_classes):
    """The torchreid backbone named by ``model.name``, with ``model.load_weights`` loaded when given."""
    extra = {}
    if config.model.name == "vgg_cnn_m_1024":
        extra = dict(input_size=(config.data.height, config.data.width), feature_activation=config.ealn.vggm_feature)
    model = toolkit.build_model(
        config.model.name,
        num_classes,
        loss="triplet",
        pretrained=config.model.pretrained,
        use_gpu=config.use_gpu,
        **extra,
    )
    if config.model.load_weights:
        fill_weights(model, config.model.load_weights, config.data.norm_mean, config.data.norm_std)
    return model


def build_scheduler(config, optimizer):
    """The paper's linear schedule, or one of torchreid's."""
    train = config.train
    if train.lr_scheduler != "linear":
        stepsize = list(train.stepsize) if train.lr_scheduler == "multi_step" else train.stepsize[-1]
        return toolkit.build_lr_scheduler(
            optimizer, lr_scheduler=train.lr_scheduler, stepsize=stepsize, gamma=train.gamma, max_epoch=train.max_epoch
        )
    constant = _or_none(config.ealn.constant_epochs)
    if constant is None:
        constant = schedule.default_constant_epochs(train.max_epoch)
    schedule.linear_factor(0, train.max_epoch, constant)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: schedule.linear_factor(epoch, train.max_epoch, constant)
    )


def build_schemes(config):
    """The list of schemes that ``ealn.scheme`` names; none for 'en'."""
    ealn = config.ealn
    constraint = dict(alpha=ealn.alpha, lambda_ed=ealn.lambda_ed, distance=ealn.distance)
    paper = dict(constraint, negatives=ealn.negatives, gan_loss=ealn.gan_loss, adaptive_weight=ealn.adaptive_weight)

    def generator():
        return resnet_generator_9blocks(**ealn.generator)

    def discriminator():
        return patchgan_70(**ealn.discriminator)

    def hard():
        if ealn.hard.generator == "edit":
            return _build_editing(config)
        made = ReconstructingGenerator(**ealn.generator) if ealn.reconstructions else generator()
        return HardNegativeScheme(
            made,
            discriminator(),
            beta1=ealn.beta1,
            beta2=ealn.beta2,
            reconstructions=ealn.reconstructions,
            lambda_rec=ealn.lambda_rec,
            **paper,
        )

    def view():
        return CrossViewScheme(
            generator(),
            generator(),
            discriminator(),
            discriminator(),
            lambda_cyc=ealn.lambda_cyc,
            embedding_off_epochs=_or_none(ealn.view_embedding_off_epochs),
            **paper,
        )

    def cyclegan():
        return CycleGANScheme(
            generator(),
            generator(),
            discriminator(),
            discriminator(),
            lambda_cyc=ealn.lambda_cyc,
            distance=ealn.distance,
            gan_loss=ealn.gan_loss,
        )

    builders = {
        "hard": hard,
        "view": view,
        "cyclegan": cyclegan,
        "stargan": lambda: _build_stargan(config),
        "mix": lambda: MixedNegativesScheme(negatives=ealn.negatives, **constraint),
        "paste": lambda: PastedRegionsScheme(**_region_options(config)),
        "perturb": lambda: PerturbedCopiesScheme(**constraint),
        "truth": lambda: TrueHardNegativesScheme(**constraint),
    }
    return [builders[part]() for part in configuration.parts_of(ealn.scheme)]


def _region_options(config):
    ealn, hard = config.ealn, config.ealn.hard
    return dict(
        alpha=ealn.alpha,
        lambda_ed=ealn.lambda_ed,
        distance=ealn.distance,
        gan_loss=ealn.gan_loss,
        negatives=ealn.negatives,
        beta1=ealn.beta1,
        beta2=ealn.beta2,
        neutral=hard.neutral,
        choose=hard.choose,
        candidates=hard.candidates,
        number=hard.regions,
        radii=hard.radii,
    )


def _build_editing(config):
    ealn, hard = config.ealn, config.ealn.hard
    return EditingScheme(
        EditingGenerator(ealn.generator.filters),
        patchgan_70(in_channels=4, **ealn.discriminator),
        content=hard.content,
        learn=hard.learn,
        lambda_l1=hard.lambda_l1,
        lambda_rf=hard.lambda_rf,
        pixel_weight=hard.pixel_weight,
        seam=hard.seam,
        **_region_options(config),
    )


def _build_stargan(config):
    ealn = config.ealn
    networks = {name: value for name, value in ealn.generator.items() if name != "padding"}  # its padding is zero
    size = (config.data.height, config.data.width)
    return StarGANScheme(
        StarGANGenerator(**networks),
        StarGANDiscriminator(size, filters=ealn.discriminator.filters),
        distance=ealn.distance,
        **ealn.stargan,
    )


def _or_none(value):
    return None if value < 0 else value
