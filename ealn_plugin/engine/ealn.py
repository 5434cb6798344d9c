"""The EALN engine: a torchreid engine that trains a backbone against the generators of its schemes."""

import logging
import os
import warnings

import torch

from ealn_plugin import toolkit
from ealn_plugin.data.annotations import APPEARANCE, VIEWPOINTS
from ealn_plugin.distributed.sharing import share_work
from ealn_plugin.distributed.world import World, check_device
from ealn_plugin.engine import acceleration, optimizers, schedule
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.checks import check_training, checked_schemes, lookalikes_for, make_folder
from ealn_plugin.engine.degradation import Degradation
from ealn_plugin.engine.epochs import EpochLoader
from ealn_plugin.engine.evaluating import EvaluatingEngine
from ealn_plugin.engine.monitoring.monitor import Monitor
from ealn_plugin.engine.monitoring.observer import Observer
from ealn_plugin.engine.optimizers import adversarial_optimizers
from ealn_plugin.engine.pairing import PairedIdentitySampler
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.engine.step import AdversarialStep
from ealn_plugin.evaluation.extraction import FeatureExtraction
from ealn_plugin.evaluation.protocols import check_protocols
from ealn_plugin.losses.checks import check_choice, check_margins
from ealn_plugin.losses.transfer import to_device
from ealn_plugin.models.embedding import EmbeddingNetwork, check_backbone
from ealn_plugin.schemes.base import Batch
from ealn_plugin.system.interrupts import TrainingInterrupted, stop_on_signals
from ealn_plugin.system.randomness import derived_seed, seed_everything

log = logging.getLogger(__name__)


class EALNEngine(EvaluatingEngine):
    """Embedding adversarial learning (Lou et al., IEEE TIP 2019) on any torchreid data manager and backbone.

    Args:
        datamanager: ``torchreid.data.ImageDataManager``; its train sampler should be RandomIdentitySampler.
        model: single-branch torchreid backbone built with loss='triplet'.
        optimizer, scheduler: of ``model``, as in torchreid's engines; the optimiser may be None to test only.
        schemes: list of ``Scheme``; [] is the paper's EN.
        margin: alpha of the triplets of EN, in units of d; weight_t, weight_x: weights of triplet loss and
            cross-entropy; label_smooth: smooth the labels by 0.1 as torchreid does (the paper does not).
        distance: d of Eq. 2, 'squared' or 'euclidean'; triplets: those of EN, 'random', 'batch_hard', 'all_active'.
        gan_optim, gan_lr, gan_betas: optimiser of the adversarial networks, 'adam' or 'sgd', its rate and betas.
        constant_epochs: epochs at full rate before the linear decay of ``gan_lr``; None: 40% of the run.
        warmup_epochs, warmup_generator_epochs: first epochs with D_emb alone, then with the adversarial networks
            alone; None for the latter: a quarter of the former. EN skips the epochs of the latter, so that all
            schemes update D_emb equally often and at equal rates.
        discriminator_steps, refresh_fakes, fake_statistics: see ``AdversarialStep``.
        degrade: strength of the ``Degradation`` of all that D_emb learns from, in [0, 1]; 0, the paper's, is none.
        amp: networks in bfloat16 while training (mixed precision); distances, losses and weights stay float32.
        compile: torch.compile every network, with inductor if True, or with the backend of this name.
        channels_last: memory layout of the backbone in which its convolutions are fastest, where it can be used.
        fusion: order of the fused feature, see ``fuse``.
        norm_mean, norm_std: normalization of the data manager; None: read from its test transform.
        views: {image path: View}; None: the labels that the datasets loaded.
        seed: of everything random in training; a fresh run seeds the global random states with it.
        use_gpu: use CUDA where there is one.
        world: ``World`` of the processes that train together, from ``distributed.joined``; None: this one alone. The
            data manager's train batch is that of all of them together.
        paired_groups: draw the vehicles of a batch in pairs of one colour and type, see ``PairedIdentitySampler``.
        sync_norm: normalize with the statistics of all processes' images, as one process would; False: each with
            those of its own images.

    Raises:
        ValueError: one sentence, for a backbone, an option or training data that cannot work.
    """

    def __init__(
        self,
        datamanager,
        model,
        optimizer=None,
        scheduler=None,
        schemes=(),
        *,
        margin=0.6,
        weight_t=1.0,
        weight_x=1.0,
        label_smooth=False,
        distance="squared",
        triplets="random",
        gan_optim="adam",
        gan_lr=0.0002,
        gan_betas=(0.5, 0.999),
        constant_epochs=None,
        warmup_epochs=0,
        warmup_generator_epochs=None,
        discriminator_steps=1,
        refresh_fakes=False,
        fake_statistics="batch",
        degrade=0.0,
        amp=False,
        compile=False,
        channels_last=True,
        fusion="by_view",
        norm_mean=None,
        norm_std=None,
        views=None,
        seed=1,
        use_gpu=True,
        world=None,
        sync_norm=True,
        paired_groups=False,
    ):
        super().__init__(datamanager, use_gpu)
        check_choice("triplets", triplets, ("random", "batch_hard", "all_active"))
        check_choice("fusion", fusion, ("by_view", "own_first"))
        check_choice("fake_statistics", fake_statistics, ("batch", "running"))
        check_margins(distance, margin=margin)
        check_backbone(model, datamanager.height, datamanager.width)
        self.schemes, self.world = checked_schemes(schemes), world or World()
        check_device(self.world, self.use_gpu)
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ValueError(
                "the scheduler is a ReduceLROnPlateau, expected one that steps by epoch alone, such as "
                "those of torchreid.optim.build_lr_scheduler"
            )
        self.model, self.optimizer, self.scheduler = model.to(self.device), optimizer, scheduler
        if channels_last:
            acceleration.use_channels_last(self.model, datamanager.height, datamanager.width)
        self.register_model("model", model, optimizer, scheduler)
        self.embedding = EmbeddingNetwork(model)
        for scheme in self.schemes:
            scheme.to(self.device)
        if norm_mean is None or norm_std is None:
            norm_mean, norm_std = toolkit.normalization_of(datamanager)
        self.pixels = PixelRange(norm_mean, norm_std).to(self.device)
        self._views = None if views is None else {os.path.abspath(path): int(view) for path, view in views.items()}
        self.gan_lr, self.constant_epochs = gan_lr, constant_epochs
        self.adversaries = adversarial_optimizers(self.schemes, gan_optim, gan_lr, gan_betas)
        for tuned in (optimizer, *self.adversaries.values()):
            optimizers.tune_optimizer(tuned)
        if compile:
            acceleration.compile_networks(self.model, self.schemes, "inductor" if compile is True else compile)
        if warmup_generator_epochs is None:
            warmup_generator_epochs = schedule.default_generator_epochs(warmup_epochs)
        self.warmup = (warmup_epochs, warmup_generator_epochs)
        en = dict(
            weight_t=weight_t,
            weight_x=weight_x,
            margin=margin,
            distance=distance,
            triplets=triplets,
            label_smoothing=0.1 if label_smooth else 0.0,
        )
        self.step = AdversarialStep(
            self.embedding,
            optimizer,
            self.schemes,
            self.adversaries,
            self.pixels,
            en,
            discriminator_steps,
            refresh_fakes,
            fake_statistics,
            Degradation(degrade) if degrade else None,
            amp,
        )
        self.extraction = FeatureExtraction(
            self.embedding, self.pixels, self.schemes, self.views_of, self.device, fusion
        )
        self.sharing = share_work(self.world, self.embedding, self.schemes, self._optimizers(), sync_norm)
        sampler = self._paired_order() if paired_groups and optimizer is not None else None
        self.seed, self.epochs = seed, EpochLoader(self.train_loader, seed, self.world, sampler)
        self.random = torch.Generator().manual_seed(derived_seed(seed, "choices"))
        self.stage, self.epoch, self.position, self.global_step, self.max_epoch = schedule.JOINT, 0, 0, 0, None

    # ------------------------------------------------------------------------------------------ one step
    def views_of(self, paths):
        """[len(paths)] values of ``View``, on the CPU; UNKNOWN where nothing is known."""
        if self._views is None:
            return VIEWPOINTS.lookup(paths)
        return torch.tensor([self._views.get(os.path.abspath(path), -1) for path in paths], dtype=torch.long)

    def forward_backward(self, data):
        """Train on one batch of torchreid's loader, this process's part of it, in the phases of the current stage.

        Returns:
            {name: detached scalar tensor}, losses and mean distances over the batch of all processes.
        """
        pids, views, groups = self.world.gather_columns(
            data["pid"], self.views_of(data["impath"]), APPEARANCE.lookup(data["impath"])
        )
        images = self.world.gather_rows(data["img"].to(self.device, non_blocking=True))
        batch = Batch(
            images=self.pixels.to_generator(images),
            pids=pids.to(self.device, non_blocking=True),
            views=views,
            groups=to_device(groups, self.device),
            random=self.random,
            lookalikes=self._lookalikes_in(data),
        )
        if not self.world.is_main:  # dropout differs between the processes, and comes out again after a resume
            seed_everything(derived_seed(self.seed, "process", self.world.rank, self.global_step))
        with self.sharing:
            return self.step(images, batch, self.stage)

    def _lookalikes_in(self, data):
        """The lookalikes of a batch of all processes, in [-1, 1], or None where the loader brings none."""
        if "lookalike" not in data:
            return None
        own = data["lookalike"].to(self.device, non_blocking=True)
        return self.pixels.to_generator(self.world.gather_rows(own))

    # ------------------------------------------------------------------------------------------ a run
    def run(
        self,
        save_dir="log",
        max_epoch=0,
        start_epoch=0,
        print_freq=10,
        fixbase_epoch=0,
        open_layers=None,
        start_eval=0,
        eval_freq=-1,
        test_only=False,
        dist_metric="euclidean",
        normalize_feature=False,
        visrank=False,
        visrank_topk=10,
        use_metric_cuhk03=False,
        ranks=(1, 5, 10, 20),
        rerank=False,
        *,
        resume="",
        start_from="",
        checkpoint_every=0,
        sample_every=1,
        diagnose_every=1,
        test_untrained=True,
        protocols=(),
        progress=True,
        on_start=None,
    ):
        """Train and evaluate, with torchreid's arguments and a few more.

        Args:
            resume: run folder or checkpoint file to go on from, exactly where it stopped.
            start_from: checkpoint_warmup.pth.tar of a run of other schemes with the same settings, to share its
                warm-up; ignored with ``resume``.
            checkpoint_every: steps between checkpoints inside an epoch; 0: at the end of each epoch only.
            sample_every: epochs between pictures of generated images in ``save_dir/samples``; 0: none.
            diagnose_every: epochs between lines of ``save_dir/diagnostics.csv``, once generators learn; 0: none.
            test_untrained: evaluate before the first step too.
            protocols: evaluation protocols; empty: those of each dataset.
            progress: show progress bars.
            on_start: called without arguments before the first step, once everything is checked and restored.
        Returns:
            {"primary": "NAME/PROTOCOL", "datasets": {...}, "untrained": {...}}, the results of the shape of
            results.json; "datasets" and "untrained" are {name: {protocol: {metric: value in [0, 1]}}}.
        Raises:
            TrainingInterrupted: asked to stop; everything is saved.
            NonFiniteLossError: a loss became NaN; the last good checkpoint is untouched.
            CheckpointError, ValueError: with one sentence.
        """
        if start_epoch:
            raise ValueError(f"start_epoch is {start_epoch}, expected 0: a run goes on from a checkpoint with resume")
        tests = dict(
            dist_metric=dist_metric,
            normalize_feature=normalize_feature,
            visrank=visrank,
            visrank_topk=visrank_topk,
            use_metric_cuhk03=use_metric_cuhk03,
            ranks=ranks,
            rerank=rerank,
            save_dir=save_dir,
            protocols=protocols,
            progress=progress and self.world.is_main,
        )
        self.max_epoch = max_epoch
        check_protocols(protocols)
        if not test_only:
            if self.constant_epochs is None:
                self.constant_epochs = schedule.default_constant_epochs(max_epoch)
            check_training(self, visrank, open_layers if fixbase_epoch else None)
            self.epochs.lookalikes = lookalikes_for(self.schemes, self.train_loader.dataset)
        self._restore(resume, start_from)
        if test_only:
            self.results = self.test(**tests)
            return self._summary()
        self._start(save_dir, on_start)
        if test_untrained and not self.global_step:
            log.info("testing the network before training")
            self.untrained = self.test(**tests)
        self.monitor = Monitor(save_dir, max_epoch, print_freq, self.global_step, progress, self.world.is_main)
        self.observer = Observer(self, save_dir, sample_every, diagnose_every) if self.world.is_main else None
        learn = dict(
            print_freq=print_freq,
            fixbase_epoch=fixbase_epoch,
            open_layers=open_layers,
            save_dir=save_dir,
            checkpoint_every=checkpoint_every,
        )
        self._train_to_the_end(learn, tests, start_eval, eval_freq)
        if not self.results:  # resumed behind its last epoch, and never tested
            self.results = self.test(**tests)
        return self._summary()

    def _restore(self, resume, start_from):
        """Take over a checkpoint, if one is named; then every process has the networks of the main one."""
        if resume:
            state.restore(self, checkpoint.find(resume))
        elif start_from:
            state.restore_warmup(self, checkpoint.find(start_from))
        self.world.copy_from_main(
            [
                *self.model.state_dict().values(),
                *(value for scheme in self.schemes for value in scheme.state_dict().values()),
            ]
        )

    def _start(self, save_dir, on_start):
        """What comes before the first step, once everything is checked and restored."""
        make_folder(save_dir)
        if self.device.type == "cpu":
            acceleration.keep_freed_memory()
        if not self.global_step:
            seed_everything(derived_seed(self.seed, "run"))
        if on_start is not None:
            self.world.on_main(on_start)

    def _train_to_the_end(self, learn, tests, start_eval, eval_freq):
        """The epochs that are left; ``learn`` and ``tests`` are the arguments of ``train`` and ``test``."""
        try:
            with stop_on_signals() as stop:
                while self.epoch < self.max_epoch:
                    self.train(stop=stop, **learn)
                    self._end_epoch(learn["save_dir"], tests, start_eval, eval_freq, stop)
                    self.epoch += 1
        finally:
            self.epochs.close()
            self.monitor.close()

    def train(self, print_freq=10, fixbase_epoch=0, open_layers=None, *, save_dir="", checkpoint_every=0, stop=False):
        """One epoch, from batch ``self.position`` on; called by ``run``."""
        self.stage = schedule.stage_of(self.epoch, *self.warmup)
        self.embedding.train()
        with toolkit.prints_to_log():
            self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        for scheme in self.schemes:
            scheme.train()
            scheme.begin_epoch(self.epoch - sum(self.warmup), self.max_epoch - sum(self.warmup))
        self._set_adversarial_rates()
        loader, self.num_batches = self.epochs.epoch(self.epoch, self.position)
        if not self.stage.embedding and not self.adversaries:
            loader, self.position = (), self.num_batches  # nothing learns in this epoch
        self.monitor.begin_epoch(self.epoch, self.stage.name, self.num_batches, self.position, self.global_step)
        for data in loader:
            values = self.forward_backward(data)
            self.position += 1
            self.global_step += 1
            self.monitor.step(values)
            if self.world.any(stop):
                self._save_and_stop(save_dir, self.epoch, self.position)
            if checkpoint_every and self.global_step % checkpoint_every == 0 and self.position < self.num_batches:
                self.monitor.read()
                self._save(save_dir, self.epoch, self.position)
        self.monitor.end_epoch(self._rates())

    def _end_epoch(self, save_dir, tests, start_eval, eval_freq, stop):
        """Pictures, diagnostics, test and checkpoints, as often as asked for and always after the last epoch."""
        done = self.epoch + 1
        last = done == self.max_epoch
        if self.world.is_main:
            self.observer.end_epoch()
        is_best = False
        if last or (eval_freq > 0 and done >= start_eval and done % eval_freq == 0):
            self._save(save_dir, self.epoch, self.position)  # a test that fails costs no training
            self.results = self.test(**tests)
            for name, by_protocol in self.results.items():
                for protocol, metrics in by_protocol.items():
                    self.monitor.scalars(f"test/{name}/{protocol}", metrics, self.global_step)
            is_best = self._update_best()
        with warnings.catch_warnings():  # in a stage without embedding phase the optimiser rightly has not stepped
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self.update_lr()
        self.position = 0
        if self.world.is_main:
            state.save_epoch(self, save_dir, is_best)
        if not last and self.world.any(stop):
            self._save_and_stop(save_dir, done, 0)

    def _save_and_stop(self, save_dir, epoch, position):
        self.monitor.read()
        self.world.on_main(state.save, self, save_dir, epoch, position)  # nobody leaves before it is saved
        raise TrainingInterrupted(
            f"stopped after step {self.global_step}, everything is saved; go on with model.resume {save_dir}"
        )

    def _save(self, save_dir, epoch, position):
        if self.world.is_main:
            state.save(self, save_dir, epoch, position)

    # ------------------------------------------------------------------------------------------ small pieces
    def _paired_order(self):
        loader = self.train_loader
        items = loader.dataset.train
        groups = APPEARANCE.lookup([item[0] for item in items]).tolist()
        instances = getattr(loader.sampler, "num_instances", 1)
        return PairedIdentitySampler(items, groups, loader.batch_size, instances)

    def _optimizers(self):
        return [optimizer for optimizer in (self.optimizer, *self.adversaries.values()) if optimizer is not None]

    def _set_adversarial_rates(self):
        rate = self.gan_lr * schedule.linear_factor(self.epoch, self.max_epoch, self.constant_epochs)
        for optimizer in self.adversaries.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _rates(self):
        rates = {"embedding": self.get_current_lr()}
        rates.update({name: optimizer.param_groups[0]["lr"] for name, optimizer in self.adversaries.items()})
        return rates
