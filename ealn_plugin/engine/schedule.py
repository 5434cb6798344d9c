"""What is trained in which epoch, and at which rate."""

import math
from collections.abc import Collection
from typing import NamedTuple


class Stage(NamedTuple):
    """One part of a run: which phases its steps have."""

    name: str
    adversarial: bool  # generators and discriminators learn
    embedding: bool  # D_emb learns, from the fakes too when ``adversarial``


WARMUP = Stage("embedding", adversarial=False, embedding=True)
GENERATORS = Stage("generators", adversarial=True, embedding=False)
JOINT = Stage("joint", adversarial=True, embedding=True)


def stage_of(epoch: int, warmup_epochs: int, warmup_generator_epochs: int) -> Stage:
    """The stage of an epoch: D_emb alone, then the adversarial networks alone, then all of them.

    The order is that of DAML (Duan et al., CVPR 2018), whose remedy for an untrained metric this is; with both
    counts 0 every epoch is joint, as in the paper.
    """
    if epoch < warmup_epochs:
        return WARMUP
    return GENERATORS if epoch < warmup_epochs + warmup_generator_epochs else JOINT


def stage_names(epochs: int, warmup: tuple[int, int], adversarial: bool) -> list[str]:
    """Name of the stage of each epoch of a run, '' where nothing learns.

    Args:
        epochs: of the run. warmup: (warmup_epochs, warmup_generator_epochs).
        adversarial: there are networks beside D_emb.
    """
    stages = [stage_of(epoch, *warmup) for epoch in range(epochs)]
    return [stage.name if stage.embedding or adversarial else "" for stage in stages]


def default_generator_epochs(warmup_epochs: int) -> int:
    """A quarter of the embedding network's warm-up, rounded up: a generator has to find its belt, not to converge."""
    return math.ceil(warmup_epochs / 4)


def linear_factor(epoch: int, max_epoch: int, constant_epochs: int) -> float:
    """The paper's schedule (section III-E) for any length: 1, then linearly towards 0 at the end of the run.

    factor(e) = min(1, (E - e) / (E - C)); with E = 50 and C = 20 it is the paper's.

    Args:
        epoch: e, counted from 0.
        max_epoch: E.
        constant_epochs: C, epochs at the full rate.
    Raises:
        ValueError: C is not in [0, E].
    """
    if not 0 <= constant_epochs <= max_epoch:
        raise ValueError(
            f"constant_epochs is {constant_epochs}, expected a value from 0 to the {max_epoch} epochs of the run"
        )
    if epoch >= max_epoch:
        return 0.0
    return min(1.0, (max_epoch - epoch) / max(max_epoch - constant_epochs, 1))


def default_constant_epochs(max_epoch: int) -> int:
    """40% of the run, the paper's 20 of 50."""
    return max_epoch * 2 // 5


def warm_up_factor(epoch: int, warmup_epochs: int) -> float:
    """Factor of a linear warm-up of the learning rate: 1/W, 2/W, ... 1 in the first W epochs, 1 from there on.

    Luo et al., Bag of Tricks, CVPRW 2019, section 3.1: from a tenth of the rate to all of it in ten epochs.

    Args:
        epoch: counted from 0. warmup_epochs: W; 0: none.
    """
    return min(1.0, (epoch + 1) / warmup_epochs) if warmup_epochs else 1.0


def cosine_factor(epoch: int, max_epoch: int, warmup_epochs: int = 0) -> float:
    """Half a cosine from 1 to 0 over the epochs behind the warm-up (Loshchilov and Hutter, ICLR 2017); 1 within it."""
    if epoch < warmup_epochs:
        return 1.0
    passed = (epoch - warmup_epochs) / max(max_epoch - warmup_epochs, 1)
    return 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))


def step_factor(epoch: int, steps: Collection[int], gamma: float) -> float:
    """gamma to the power of how many of the epochs in ``steps`` have come: torch's MultiStepLR in closed form."""
    return gamma ** sum(epoch >= step for step in steps)
