"""The EALN engine: a torchreid engine that trains a backbone against the generators of its schemes."""

import logging
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ealn_plugin import toolkit
from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.identities import check_labels
from ealn_plugin.distributed.sharing import share_work
from ealn_plugin.distributed.world import World, check_device
from ealn_plugin.engine import optimizers, schedule
from ealn_plugin.engine.acceleration import accelerate, keep_freed_memory
from ealn_plugin.engine.batches import gather_batch
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.checkpoints.rates import hyperparameters
from ealn_plugin.engine.checks import check_scheduler, check_training, checked_schemes, companions_for, make_folder
from ealn_plugin.engine.epochs import EpochLoader
from ealn_plugin.engine.evaluating import EvaluatingEngine
from ealn_plugin.engine.monitoring.loggers import check_loggers
from ealn_plugin.engine.monitoring.monitor import Monitor
from ealn_plugin.engine.monitoring.observer import Observer
from ealn_plugin.engine.optimizers import adversarial_optimizers
from ealn_plugin.engine.options import ENGINE_OPTIONS, RUN_OPTIONS, gather
from ealn_plugin.engine.pairing import paired_order
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.engine.precision import Precision
from ealn_plugin.engine.schedule import JOINT
from ealn_plugin.engine.step import build_step
from ealn_plugin.evaluation.extraction import FeatureExtraction
from ealn_plugin.evaluation.protocols import check_protocols
from ealn_plugin.losses.checks import check_choice
from ealn_plugin.models.embedding import EmbeddingNetwork, probe_backbone
from ealn_plugin.schemes.base import Scheme
from ealn_plugin.system.interrupts import TrainingInterrupted, stop_on_signals
from ealn_plugin.system.randomness import derived_seed, seed_everything

log = logging.getLogger(__name__)


class EALNEngine(EvaluatingEngine):
    """Embedding adversarial learning (Lou et al., IEEE TIP 2019) on any torchreid data manager and backbone.

    Args:
        datamanager: ``torchreid.data.ImageDataManager``; its train sampler should be RandomIdentitySampler. The labels
            of its datasets are whole numbers, or texts, which are numbered; see ``check_labels``.
        model: single-branch torchreid backbone built with loss='triplet'.
        optimizer, scheduler: of ``model``, as in torchreid's engines; the optimiser may be None to test only.
        schemes: list of ``Scheme``; [] is the paper's EN.
        losses, adversaries, schedule, acceleration: groups of options, see options.py; None: their defaults.
        fusion: order of the fused feature, see ``fuse``.
        norm_mean, norm_std: normalization of the data manager; None: read from its test transform.
        views: {image path: View}; None: the labels that the datasets loaded.
        seed: of everything random in training; a fresh run seeds the global random states with it.
        use_gpu: use CUDA where there is one.
        world: ``World`` of the processes that train together, from ``distributed.joined``; None: this one alone. The
            data manager's train batch is that of all of them together.
        options: single options of those groups by name, such as ``margin=0.5``.

    Raises:
        ValueError: one sentence, for a backbone, an option or training data that cannot work.
        TypeError: one sentence, for an option that does not exist.
    """

    max_epoch: Any  # None until it is run
    constant_epochs: Any
    monitor: Any  # None until it is run, as what it was tested with
    tested_with: dict[str, Any] | None

    def __init__(
        self,
        datamanager: Any,
        model: nn.Module,
        optimizer: Any = None,
        scheduler: Any = None,
        schemes: Sequence[Scheme] = (),
        *,
        losses: Any = None,
        adversaries: Any = None,
        schedule: Any = None,
        acceleration: Any = None,
        fusion: str = "by_view",
        norm_mean: Sequence[float] | None = None,
        norm_std: Sequence[float] | None = None,
        views: Mapping[str, int] | None = None,
        seed: int = 1,
        use_gpu: bool = True,
        world: World | None = None,
        **options: Any,
    ) -> None:
        super().__init__(datamanager, use_gpu)
        groups = dict(losses=losses, adversaries=adversaries, schedule=schedule, acceleration=acceleration)
        losses, adversaries, schedule, acceleration = gather(type(self).__init__, ENGINE_OPTIONS, groups, options)
        check_choice("fusion", fusion, ("by_view", "own_first"))
        probed = probe_backbone(model, datamanager.height, datamanager.width)
        check_labels(datamanager, None if optimizer is None else probed.classes)
        self.schemes, self.world = checked_schemes(schemes, type(model).__name__, probed.outputs), world or World()
        check_device(self.world, self.use_gpu)
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        check_scheduler(scheduler)
        self.model, self.optimizer, self.scheduler = model.to(self.device), optimizer, scheduler
        self.register_model("model", model, optimizer, scheduler)
        self.embedding = EmbeddingNetwork(model)
        for scheme in self.schemes:
            scheme.to(self.device)
        given = norm_mean is not None and norm_std is not None
        mean_and_std = (norm_mean, norm_std) if given else toolkit.normalization_of(datamanager)
        self.pixels = PixelRange(*mean_and_std).to(self.device)
        self._views = None if views is None else {os.path.abspath(path): int(view) for path, view in views.items()}
        self.gan_lr = adversaries.gan_lr
        self.constant_epochs, self.warmup = schedule.constant_epochs, schedule.warmup
        gan = adversaries.gan_optim, adversaries.gan_lr, adversaries.gan_betas
        self.adversaries = adversarial_optimizers(self.schemes, *gan)
        tuned = [optimizer, *self.adversaries.values()]
        accelerate(self.model, self.schemes, tuned, (datamanager.height, datamanager.width), acceleration)
        networks = (self.embedding, optimizer, self.schemes, self.adversaries, self.pixels)
        self.precision = Precision(acceleration.amp)
        self.step = build_step(*networks, losses, adversaries, acceleration.amp is True)
        parts = self.embedding, self.pixels, self.schemes
        self.extraction = FeatureExtraction(*parts, self.views_of, self.device, fusion)
        self.sharing = share_work(self.world, self.embedding, self.schemes, self._optimizers(), acceleration.sync_norm)
        sampler = paired_order(self.train_loader) if losses.paired_groups and optimizer is not None else None
        self.seed, self.epochs = seed, EpochLoader(self.train_loader, seed, self.world, sampler)
        self.random = torch.Generator().manual_seed(derived_seed(seed, "choices"))
        self.settings, self.changes, self.tested_with, self.monitor = {}, [], None, None
        self.made_with = hyperparameters(self)
        self.stage, self.epoch, self.position, self.global_step, self.max_epoch = JOINT, 0, 0, 0, None

    # ------------------------------------------------------------------------------------------ one step
    def views_of(self, paths: Sequence[str]) -> Tensor:
        """[len(paths)] values of ``View``, on the CPU; UNKNOWN where nothing is known."""
        if self._views is None:
            return VIEWPOINTS.lookup(paths)
        return torch.tensor([self._views.get(os.path.abspath(path), -1) for path in paths], dtype=torch.long)

    def forward_backward(self, data: Mapping[str, Any]) -> dict[str, Tensor]:
        """Train on one batch of torchreid's loader, this process's part of it, in the phases of the current stage.

        Returns:
            {name: detached scalar tensor}, losses and mean distances over the batch of all processes.
        """
        images, batch = gather_batch(
            data, self.world, self.device, self.pixels, self.views_of, self.epochs.companions, self.random
        )
        if not self.world.is_main:  # dropout differs between the processes, and comes out again after a resume
            seed_everything(derived_seed(self.seed, "process", self.world.rank, self.global_step))
        with self.sharing:
            return self.step(images, batch, self.stage)

    # ------------------------------------------------------------------------------------------ a run
    def run(
        self,
        save_dir: str = "log",
        max_epoch: int = 0,
        start_epoch: int = 0,
        *,
        fixbase_epoch: int = 0,
        open_layers: str | Sequence[str] | None = None,
        test_only: bool = False,
        resume: str = "",
        start_from: str = "",
        settings: Mapping[str, Any] | None = None,
        fixed: Collection[str] = (),
        evaluation: Any = None,
        monitoring: Any = None,
        progress: bool = True,
        on_start: Callable[[], None] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Train and evaluate, with torchreid's arguments and a few more.

        Args:
            resume: run folder or checkpoint file to go on from, exactly where it stopped.
            start_from: checkpoint_warmup.pth.tar of a run of other schemes with the same settings, to share its
                warm-up; ignored with ``resume``.
            settings: {name: value} of plain values that the results depend on, kept in the checkpoints: a run that goes
                on names those that have changed, and adds them to ``changes``. fixed: names of those that cannot.
            evaluation, monitoring, options: groups of options, see options.py, and single ones by name.
            progress: show progress bars.
            on_start: called without arguments before the first step, once everything is checked and restored.
        Returns:
            {"primary": "NAME/PROTOCOL", "datasets": {...}, "untrained": {...}}, the results of the shape of
            results.json; "datasets" and "untrained" are {name: {protocol: {metric: value in [0, 1]}}}.
        Raises:
            TrainingInterrupted: asked to stop; everything is saved.
            NonFiniteLossError: a loss became NaN; the last good checkpoint is untouched.
            CheckpointError, ValueError: with one sentence. TypeError: an option that does not exist.
        """
        groups = {"evaluation": evaluation, "monitoring": monitoring}
        evaluation, monitoring = gather(type(self).run, RUN_OPTIONS, groups, options)
        if start_epoch:
            raise ValueError(f"start_epoch is {start_epoch}, expected 0: a run goes on from a checkpoint with resume")
        tests: dict[str, Any] = dict(vars(evaluation), save_dir=save_dir, progress=progress and self.world.is_main)
        self.max_epoch, self.settings = max_epoch, dict(settings or {})
        check_protocols(evaluation.protocols)
        check_loggers(() if test_only else monitoring.loggers)
        if not test_only:
            self._prepare_training(evaluation.visrank, open_layers if fixbase_epoch else None, tests["progress"])
        state.take_over(self, resume, start_from, fixed)
        if test_only:
            self.results = self.test(**tests)
            return self._summary()
        self._start(save_dir, on_start, tests if monitoring.test_untrained else None)
        self._watch(save_dir, monitoring, progress)
        learn = dict(fixbase_epoch=fixbase_epoch, open_layers=open_layers, save_dir=save_dir)
        learn["checkpoint_every"] = monitoring.checkpoint_every
        self._train_to_the_end(learn, tests, monitoring.start_eval, monitoring.eval_freq)
        if not self.results or self.tested_with != self._test_settings(tests):  # resumed behind its last epoch
            self._test(tests)
        return self._summary()

    def _prepare_training(self, visrank: bool, open_layers: Any, progress: bool) -> None:
        """Settle what the length of the run decides, refuse what cannot be trained, and find what goes with images."""
        if self.constant_epochs is None:
            self.constant_epochs = schedule.default_constant_epochs(self.max_epoch)
        check_training(self, visrank, open_layers)
        self.epochs.companions = companions_for(self, progress)

    def _start(self, save_dir: str, on_start: Callable[[], None] | None, untrained: Mapping[str, Any] | None) -> None:
        """What comes before the first step, once everything is checked and restored.

        Args:
            untrained: how to test the network before it is trained; None: not at all.
        """
        make_folder(save_dir)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision.settle(self, self.train_loader.batch_size)
        if not self.global_step:
            seed_everything(derived_seed(self.seed, "run"))
        if on_start is not None:
            self.world.on_main(on_start)
        if untrained is not None and not self.global_step:
            log.info("testing the network before training")
            self.untrained = self.test(**untrained)

    def _watch(self, save_dir: str, options, progress: bool) -> None:
        """Begin to record the run, as MonitoringOptions say."""
        is_main = self.world.is_main
        stages = schedule.stage_names(self.max_epoch, self.warmup, bool(self.adversaries))
        seen: Any = dict(progress=progress, shown=is_main, loggers=options.loggers, settings=self.settings)
        self.monitor = Monitor(save_dir, self.max_epoch, options.print_freq, self.global_step, stages=stages, **seen)
        self.observer = Observer(self, save_dir, options.sample_every, options.diagnose_every) if is_main else None

    def _train_to_the_end(
        self, learn: Mapping[str, Any], tests: Mapping[str, Any], start_eval: int, eval_freq: int
    ) -> None:
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

    def train(
        self,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: str | Sequence[str] | None = None,
        *,
        save_dir: str = "",
        checkpoint_every: int = 0,
        stop: Any = False,
    ) -> None:
        """One epoch, from batch ``self.position`` on; called by ``run``."""
        self.stage = schedule.stage_of(self.epoch, *self.warmup)
        self.embedding.train()
        with toolkit.prints_to_log():
            self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        for scheme in self.schemes:
            scheme.train()
            scheme.begin_epoch(self.epoch - sum(self.warmup), self.max_epoch - sum(self.warmup))
        rate = self.gan_lr * schedule.linear_factor(self.epoch, self.max_epoch, self.constant_epochs)
        optimizers.set_rates(self.adversaries, rate)
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
        self.monitor.end_epoch(optimizers.rates_of({"embedding": self.optimizer, **self.adversaries}))

    def _end_epoch(self, save_dir: str, tests: Mapping[str, Any], start_eval: int, eval_freq: int, stop: Any) -> None:
        """Pictures, diagnostics, test and checkpoints, as often as asked for and always after the last epoch."""
        done = self.epoch + 1
        last = done == self.max_epoch
        if self.world.is_main:
            self.observer.end_epoch()
        is_best = False
        if last or (eval_freq > 0 and done >= start_eval and done % eval_freq == 0):
            self._save(save_dir, self.epoch, self.position)  # a test that fails costs no training
            self._test(tests)
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

    def _save_and_stop(self, save_dir: str, epoch: int, position: int) -> NoReturn:
        self.monitor.read()
        self.world.on_main(state.save, self, save_dir, epoch, position)  # nobody leaves before it is saved
        raise TrainingInterrupted(f"stopped after step {self.global_step}, everything is saved in {save_dir}")

    def _save(self, save_dir: str, epoch: int, position: int) -> None:
        if self.world.is_main:
            state.save(self, save_dir, epoch, position)

    # ------------------------------------------------------------------------------------------ small pieces
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [optimizer for optimizer in (self.optimizer, *self.adversaries.values()) if optimizer is not None]
