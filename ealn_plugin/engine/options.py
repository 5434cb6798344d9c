"""The options of an engine and of a run, in groups; every one is documented here and nowhere else.

A field is also a keyword argument of ``EALNEngine`` or ``EALNEngine.run``, and has the name of its configuration key
under ``ealn``, or is listed with its key in runs/build.py.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ealn_plugin.engine import schedule
from ealn_plugin.losses.checks import check_choice, check_margins


@dataclass(frozen=True)
class LossOptions:
    """The loss of EN, which D_emb minimises on real images (section III-A).

    Attributes:
        margin: alpha of the triplets of EN, in units of d.
        weight_t, weight_x: weights of triplet loss and cross-entropy.
        label_smooth: smooth the labels by 0.1 as torchreid does (the paper does not).
        distance: d of Eq. 2, 'squared' or 'euclidean'.
        triplets: those of EN, 'random', 'batch_hard' or 'all_active'.
        paired_groups: draw the vehicles of a batch in pairs of one colour and type, see ``PairedIdentitySampler``.
    Raises:
        ValueError: an option out of its range.
    """

    margin: float = 0.6
    weight_t: float = 1.0
    weight_x: float = 1.0
    label_smooth: bool = False
    distance: str = "squared"
    triplets: str = "random"
    paired_groups: bool = False

    def __post_init__(self) -> None:
        check_choice("triplets", self.triplets, ("random", "batch_hard", "all_active"))
        check_margins(self.distance, margin=self.margin)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``embedding_network_loss``."""
        return dict(
            weight_t=self.weight_t,
            weight_x=self.weight_x,
            margin=self.margin,
            distance=self.distance,
            triplets=self.triplets,
            label_smoothing=0.1 if self.label_smooth else 0.0,
        )


@dataclass(frozen=True)
class AdversaryOptions:
    """How generators and discriminators learn, and how D_emb takes what they make.

    Attributes:
        gan_optim: optimiser of the adversarial networks, 'adam' or 'sgd'.
        gan_lr, gan_betas: its learning rate, and Adam's betas.
        discriminator_steps, refresh_fakes, fake_statistics: see ``AdversarialStep``.
        degrade: strength of the ``Degradation`` of all that D_emb learns from, in [0, 1]; 0, the paper's, is none.
    Raises:
        ValueError: an option out of its range.
    """

    gan_optim: str = "adam"
    gan_lr: float = 0.0002
    gan_betas: tuple = (0.5, 0.999)
    discriminator_steps: int = 1
    refresh_fakes: bool = False
    fake_statistics: str = "batch"
    degrade: float = 0.0

    def __post_init__(self) -> None:
        check_choice("fake_statistics", self.fake_statistics, ("batch", "running"))


@dataclass(frozen=True)
class ScheduleOptions:
    """Which networks learn in which epochs.

    Attributes:
        constant_epochs: epochs at full rate before the linear decay of ``gan_lr``; None: 40% of the run.
        warmup_epochs, warmup_generator_epochs: first epochs with D_emb alone, then with the adversarial networks
            alone; None for the latter: a quarter of the former. EN skips the epochs of the latter, so that all
            schemes update D_emb equally often and at equal rates.
    """

    constant_epochs: int | None = None
    warmup_epochs: int = 0
    warmup_generator_epochs: int | None = None

    @property
    def warmup(self) -> tuple[int, int]:
        """(epochs of D_emb alone, epochs of the adversarial networks alone)."""
        if self.warmup_generator_epochs is None:
            return self.warmup_epochs, schedule.default_generator_epochs(self.warmup_epochs)
        return self.warmup_epochs, self.warmup_generator_epochs


@dataclass(frozen=True)
class AccelerationOptions:
    """What makes steps faster or runs them on several devices; none of it changes the method.

    Attributes:
        amp: networks in bfloat16 while training (mixed precision); distances, losses and weights stay float32. 'auto':
            where a step measured at the start of the run is clearly faster, see ``Precision``.
        compile: torch.compile every network, with inductor if True, or with the backend of this name.
        channels_last: memory layout of the backbone in which its convolutions are fastest, where it can be used.
        sync_norm: normalize with the statistics of all processes' images, as one process would; False: each with
            those of its own images.
    Raises:
        ValueError: an option out of its range.
    """

    amp: bool | str = False
    compile: bool | str = False
    channels_last: bool = True
    sync_norm: bool = True

    def __post_init__(self) -> None:
        if self.amp not in (False, True, "auto"):
            raise ValueError(f"amp is {self.amp!r}, expected True, False or 'auto'; correct the option")


@dataclass(frozen=True)
class EvaluationOptions:
    """How the networks are tested; the names are those of torchreid's ``Engine.run``.

    Attributes:
        dist_metric: 'euclidean' (squared) or 'cosine'; normalize_feature: scale features to length 1 first.
        visrank, visrank_topk: draw the nearest gallery images of every query, with ``test_only``; how many.
        use_metric_cuhk03: CMC over galleries of one image per identity, for the protocol 'image'.
        ranks: CMC ranks to report, counted from 1. rerank: k-reciprocal re-ranking.
        query_expansion: nearest gallery images that are added to each query; 0: none. expansion_alpha: power of the
            similarity that weighs them; 0: their average.
        protocols: names of evaluation protocols; empty: those of each dataset.
    """

    dist_metric: str = "euclidean"
    normalize_feature: bool = False
    visrank: bool = False
    visrank_topk: int = 10
    use_metric_cuhk03: bool = False
    ranks: tuple = (1, 5, 10, 20)
    rerank: bool = False
    query_expansion: int = 0
    expansion_alpha: float = 0.0
    protocols: tuple = ()


@dataclass(frozen=True)
class MonitoringOptions:
    """What a run tests, saves and draws on its way, and how often.

    Attributes:
        print_freq: steps between lines of the log.
        start_eval, eval_freq: first epoch that is tested, and epochs between tests; -1: after the last epoch only.
        test_untrained: evaluate before the first step too.
        checkpoint_every: steps between checkpoints inside an epoch; 0: at the end of each epoch only.
        sample_every: epochs between pictures of generated images in ``save_dir/samples``; 0: none.
        diagnose_every: epochs between lines of ``save_dir/diagnostics.csv``, once generators learn; 0: none.
        loggers: where numbers and pictures go, some of 'tensorboard', 'wandb' and 'mlflow'.
    """

    print_freq: int = 10
    start_eval: int = 0
    eval_freq: int = -1
    test_untrained: bool = True
    checkpoint_every: int = 0
    sample_every: int = 1
    diagnose_every: int = 1
    loggers: tuple[str, ...] = ("tensorboard",)


ENGINE_OPTIONS = {
    "losses": LossOptions,
    "adversaries": AdversaryOptions,
    "schedule": ScheduleOptions,
    "acceleration": AccelerationOptions,
}
RUN_OPTIONS = {"evaluation": EvaluationOptions, "monitoring": MonitoringOptions}


def gather(
    function: Callable[..., Any], kinds: Mapping[str, type], groups: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Any]:
    """The groups of options of a call that may also have named single options.

    Args:
        function: the one that was called; its name and its other arguments are for the message.
        kinds: {argument: dataclass}, ``ENGINE_OPTIONS`` or ``RUN_OPTIONS``.
        groups: {argument: instance of its dataclass, or None for the defaults}.
        options: {name of a field: value}; they take the place of what the groups say.
    Returns:
        list of instances, in the order of ``kinds``.
    Raises:
        TypeError: an option that does not exist, or a group of another type; one sentence.
    """
    owner = {field.name: argument for argument, kind in kinds.items() for field in fields(kind)}
    own = [name for name, value in inspect.signature(function).parameters.items() if value.kind != value.VAR_KEYWORD]
    name = function.__qualname__.removesuffix(".__init__")
    for option in options:
        if option not in owner:
            near = difflib.get_close_matches(option, [*owner, *own], n=1, cutoff=0.0)[0]
            raise TypeError(f"{name} has no option {option!r}; did you mean {near!r}?")
    gathered = []
    for argument, kind in kinds.items():
        group = kind() if groups[argument] is None else groups[argument]
        if not isinstance(group, kind):
            raise TypeError(f"{argument} is {group!r}, expected {kind.__name__}, or its options by name")
        named = {option: value for option, value in options.items() if owner[option] == argument}
        gathered.append(replace(group, **named) if named else group)
    return gathered
