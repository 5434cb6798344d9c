"""float32 or bfloat16: where a run leaves the choice open, a step of its own is measured in both as it starts.

Which of them is faster depends on the processor and on the width of the networks. Nothing else reads a clock to decide
anything; the checkpoints therefore hold what was chosen, and a run that goes on keeps it.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

from ealn_plugin.engine.schedule import JOINT
from ealn_plugin.schemes.base import Batch
from ealn_plugin.system.randomness import random_states, restore_random_states

log = logging.getLogger(__name__)

AUTO = "auto"
CHOICES = (False, True, AUTO)
"""Values of ``AccelerationOptions.amp``."""
CLEARLY = 0.95
"""bfloat16 is taken where it takes less than this share of float32's time."""
_PASS_SECONDS = 0.5  # of a measured step at most: four of them take some two seconds
_FEWEST, _MOST_ROUNDS = 4, 5
_HOPELESS = 2.0  # times float32's first step, the slowest of all: a processor that imitates bfloat16 takes 15


class Measured(NamedTuple):
    """Seconds that a step on so many images takes: the fastest of a few."""

    float32: float
    bfloat16: float
    images: int

    @property
    def chosen(self) -> bool:
        """Whether bfloat16 is clearly faster."""
        return self.bfloat16 < CLEARLY * self.float32


class Precision:
    """Whether the networks of an engine train in bfloat16.

    Args:
        asked: ``AccelerationOptions.amp``: True, False or 'auto'.
    Attributes:
        asked: the same. bfloat16: whether they do; None as long as that is open.
    """

    def __init__(self, asked: bool | str) -> None:
        self.asked = asked
        self.bfloat16 = None if asked == AUTO else bool(asked)

    @property
    def name(self) -> str:
        """'bfloat16' or 'float32'."""
        return "bfloat16" if self.bfloat16 else "float32"

    def settle(self, engine: Any, batch_size: int) -> None:
        """Measure and choose, where that is still open, and set ``engine.step`` to it; the main process decides.

        Args:
            engine: EALNEngine, everything of a checkpoint restored. batch_size: images of a step, of all processes.
        """
        if self.bfloat16 is None and engine.world.on_main(lambda: engine.device.type == "cpu" and not has_bfloat16()):
            self.bfloat16 = False
            if engine.world.is_main:
                log.info("ealn.amp auto: float32, since this processor has no instructions for bfloat16")
        elif self.bfloat16 is None:
            measured = measure(engine, batch_size)
            self.bfloat16 = engine.world.on_main(lambda: measured.chosen)
            if engine.world.is_main:
                log.info(
                    "ealn.amp auto: %s, since a step on %d images takes %.0f ms in bfloat16 and %.0f ms in float32%s",
                    self.name,
                    measured.images,
                    1000 * measured.bfloat16,
                    1000 * measured.float32,
                    "" if measured.chosen else f" (bfloat16 has to take less than {CLEARLY:.0%} of it)",
                )
        elif self.asked == AUTO and engine.world.is_main:
            log.info("ealn.amp auto: %s, as chosen before", self.name)
        engine.step.amp = self.bfloat16

    def entry(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"asked": self.asked, "bfloat16": self.bfloat16}

    def take_over(self, entry: Mapping[str, Any]) -> None:
        """Keep what the run that wrote an ``entry`` had chosen, where both leave it open; {}: it had no choice."""
        if self.asked == AUTO == entry.get("asked"):
            self.bfloat16 = entry.get("bfloat16")


def has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor may have instructions for bfloat16; also true where the system does not say.

    One without them imitates bfloat16: a step takes 4 to 15 times as long, which would be long to measure.

    Args:
        cpuinfo: file in which Linux lists them: avx512_bf16, amx_bf16, bf16 on ARM; avx_ne_convert converts.
    """
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            words = file.read().split()
    except OSError:
        return True
    known = {"flags", "Features"} & set(words)
    return not known or any("bf16" in word or word == "avx_ne_convert" for word in words)


def measure(engine: Any, batch_size: int, clock: Callable[[], float] = time.perf_counter) -> Measured:
    """How long a joint step of an engine takes in float32 and in bfloat16, in turns, on random images.

    All networks go forward and backward as in training, and no optimiser steps. Weights, running statistics,
    gradients, modes and random states are afterwards what they were. Takes about two seconds; where that is too short
    for a few steps on a whole batch they are measured on a part of it, and where the first step in bfloat16 takes far
    longer than that in float32 there are no others. All processes have to call it together.

    Args:
        batch_size: images of a step. clock: seconds.
    """
    with _unchanged(engine), torch.compiler.set_stance("force_eager"):
        for network in (engine.embedding, *engine.schemes):
            network.train()
        step = _idle(engine.step)

        def seconds(bfloat16: bool, count: int) -> float:
            images, batch = _random_batch(engine, count)
            step.amp = bfloat16
            _synchronise(engine.device)
            start = clock()
            with engine.sharing:
                step(images, batch, JOINT)
            _synchronise(engine.device)
            return clock() - start

        fewest = min(_FEWEST, batch_size)
        first = Measured(seconds(False, fewest), seconds(True, fewest), fewest)
        if engine.world.on_main(lambda: first.bfloat16 > _HOPELESS * first.float32):
            return first
        count = engine.world.on_main(_images_within, seconds(False, fewest) / fewest, fewest, batch_size)
        return _in_turns(engine, seconds, count, clock)


def _images_within(seconds, fewest, batch_size):
    """How many images a measured step has, at so many seconds for each."""
    return batch_size if batch_size * seconds <= _PASS_SECONDS else max(fewest, int(_PASS_SECONDS / seconds))


def _in_turns(engine, seconds, count, clock):
    times = {False: [], True: []}
    for bfloat16 in times:
        seconds(bfloat16, count)  # takes its memory
    start = clock()
    for _ in range(_MOST_ROUNDS):
        for bfloat16, found in times.items():
            found.append(seconds(bfloat16, count))
        if engine.world.on_main(lambda: clock() - start >= 2 * _PASS_SECONDS):
            break
    return Measured(min(times[False]), min(times[True]), count)


def _random_batch(engine, count):
    """Normalized images and the batch that schemes see of them: pairs of an identity, front and rear in turns."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, engine.datamanager.height, engine.datamanager.width, generator=random)
    images = images.to(engine.device)
    seen = engine.pixels.to_generator(images)
    numbers = torch.arange(count)
    return images, Batch(
        images=seen,
        pids=(numbers // 2 % max(2, engine.datamanager.num_train_pids)).to(engine.device),
        views=numbers % 2,
        groups=torch.zeros(count, dtype=torch.long, device=engine.device),
        random=random,
        companions={kind: seen.flip(0) for scheme in engine.schemes for kind in scheme.companions},
    )


class _Idle:
    """In the place of an optimiser: forgets gradients as it does, and takes no step."""

    def __init__(self, optimizer):
        self.zero_grad = optimizer.zero_grad

    def step(self):
        """Nothing is learnt."""


def _idle(step):
    """The same step of the same networks, which never learn by it."""
    step = copy.copy(step)
    step.watch = contextlib.nullcontext
    step.optimizer = _Idle(step.optimizer)
    step.adversaries = {name: _Idle(optimizer) for name, optimizer in step.adversaries.items()}
    return step


@contextlib.contextmanager
def _unchanged(engine: Any) -> Iterator[None]:
    """Afterwards running statistics, gradients, modes and random states are what they were."""
    layers = [layer for network in (engine.embedding, *engine.schemes) for layer in network.modules()]
    modes = [(layer, layer.training) for layer in layers]
    gradients = [(value, value.grad) for layer in layers for value in layer.parameters(recurse=False)]
    buffers = [
        (layer, name, buffer, buffer.clone()) for layer in layers for name, buffer in layer.named_buffers(recurse=False)
    ]
    random = random_states(engine.device)
    for value, _ in gradients:
        value.grad = None
    try:
        yield
    finally:
        for value, gradient in gradients:
            value.grad = gradient
        for layer, name, buffer, content in buffers:
            setattr(layer, name, buffer.copy_(content))
        for layer, training in modes:
            layer.training = training
        restore_random_states(random, engine.device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
