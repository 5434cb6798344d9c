"""ealn_plugin/benchmark/train_step.py: what is counted and timed, on the smallest networks."""

import mmap

import pytest
import torch

from ealn_plugin.benchmark import train_step
from ealn_plugin.benchmark.workload import RandomImages
from ealn_plugin.config import load_config
from ealn_plugin.engine import precision

SMALL = [
    "use_gpu",
    "False",
    "model.name",
    "osnet_x0_25",
    "model.pretrained",
    "False",
    "data.height",
    "32",
    "data.width",
    "32",
    "train.batch_size",
    "4",
    "sampler.num_instances",
    "2",
    "ealn.generator.filters",
    "2",
    "ealn.generator.blocks",
    "0",
    "ealn.discriminator.filters",
    "2",
    "ealn.discriminator.layers",
    "1",
]


class Bar:
    """A progress bar that draws nothing."""

    def update(self, count=1):
        pass

    refresh = update


def test_phases_are_told_apart():
    config = load_config("", [*SMALL, "ealn.scheme", "hard"])
    engine = train_step.joint_engine(config, RandomImages(32, 32, 4, 2, 6))
    batches = [{"img": torch.randn(4, 3, 32, 32), "pid": torch.tensor([0, 0, 1, 1]), "impath": list("abcd")}]
    before = engine.step.watch
    phases = train_step.seconds_by_phase(engine, batches, 2, torch.device("cpu"))
    assert list(phases) == ["generators", "discriminators", "embedding", "rest"]
    assert all(seconds > 0 for seconds in phases.values()) and engine.step.watch is before


@pytest.mark.parametrize("chosen", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_precision_left_open_is_chosen_before_anything_is_measured(monkeypatch, chosen):
    seconds = (1.0, 0.5) if chosen else (0.5, 1.0)
    monkeypatch.setattr(precision, "measure", lambda engine, batch_size: precision.Measured(*seconds, batch_size))
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    rates, rate = [], train_step.matrix_rate
    monkeypatch.setattr(train_step, "matrix_rate", lambda device, dtype: rates.append(dtype) or rate(device, dtype, 1))
    result = train_step.measure_training(load_config("", [*SMALL, "ealn.amp", "auto"]), 6, rounds=1, warmup=0)
    assert result["precision"] == ("bfloat16" if chosen else "float32")
    assert rates == [torch.bfloat16 if chosen else torch.float32]
    assert f"TFLOP/s in {result['precision']}" in train_step.training_table(result)[-1]


def test_operations_are_counted_forward_and_backward():
    class Engine:
        linear = torch.nn.Linear(5, 7)

        def forward_backward(self, data):
            self.linear(data).sum().backward()

    # [3, 5] x [5, 7] forward and [7, 3] x [3, 5] for the weights; the input wants no gradient
    assert train_step.flops_of(Engine(), torch.ones(3, 5)) == 2 * 2 * 3 * 5 * 7


def test_matrix_rate_is_that_of_the_fastest_product(monkeypatch):
    monkeypatch.setitem(train_step.MATRIX_SIDE, "cpu", 4)
    clock = iter([0.0, 5.0, 10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr(train_step.time, "perf_counter", lambda: next(clock))
    assert train_step.matrix_rate(torch.device("cpu"), torch.float32, repeats=2) == 2 * 4**3 / 2.0


def test_batches_are_taken_round_and_round():
    seen = []
    seconds = train_step.run(seen.append, "abc", 4, torch.device("cpu"), first=2)
    assert seen == ["c", "a", "b", "c"] and seconds >= 0


def test_memory_is_that_taken_inside():
    with train_step.peak_memory(torch.device("cpu"), Bar()) as memory:
        block = mmap.mmap(-1, 2**25)  # not from malloc, which may have kept as much
        block.write(bytes(2**25))
        train_step.time.sleep(0.05)
        del block
    assert memory["bytes"] is None or memory["bytes"] > 2**24
