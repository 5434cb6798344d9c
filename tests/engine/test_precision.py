"""ealn_plugin/engine/precision.py: what is chosen, what the measurement leaves behind, how a run keeps the choice."""

import copy
import itertools
import json
import logging
import random

import numpy as np
import pytest
import torch

from ealn_plugin.engine import precision
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.precision import Measured, Precision, has_bfloat16, measure
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.standins import build_datamanager, build_engine, train_run

QUIET = dict(progress=False, print_freq=2, sample_every=0, diagnose_every=0, test_untrained=False)
ALL = [
    (),
    ("hard",),
    ("view",),
    ("hard", "view"),
    ("hard", "stargan"),
    ("cyclegan",),
    ("edit",),
    ("truth",),
    ("paste",),
    ("xvgan",),
    ("vami",),
]


@pytest.fixture(autouse=True)
def able(monkeypatch):
    """A processor with instructions for bfloat16, whatever this one has."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)


def faster(monkeypatch, *seconds):
    """Have the measurements find these (float32, bfloat16) seconds, one after the other; returns what is left of it."""
    left = list(seconds)
    monkeypatch.setattr(precision, "measure", lambda engine, batch_size: Measured(*left.pop(0), batch_size))
    return left


def ticking(seconds):
    """A clock that goes on by so many seconds whenever it is looked at."""
    return (seconds * look for look in itertools.count()).__next__


def contents(engine):
    """Copies of all that training changes: tensors of networks, buffers that no state dict has, and gradients."""
    networks = {"E": engine.embedding, **{scheme.name: scheme for scheme in engine.schemes}}
    found = {}
    for name, network in networks.items():
        found.update({f"{name}.{key}": value.clone() for key, value in network.state_dict().items()})
        found.update({f"{name}.{key}": value.clone() for key, value in network.named_buffers()})
        found.update({f"{name}.{key}.grad": copy.copy(value.grad) for key, value in network.named_parameters()})
        found.update({f"{name}.{key}.mode": layer.training for key, layer in network.named_modules()})
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        same = torch.equal(found[name], value) if torch.is_tensor(value) else found[name] is value
        assert same, name


@pytest.mark.parametrize(
    "float32, bfloat16, chosen", [(1.0, 0.6, True), (1.0, 0.949, True), (1.0, 0.951, False), (1.0, 1.2, False)]
)
def test_bfloat16_has_to_be_clearly_faster(datamanager, monkeypatch, caplog, float32, bfloat16, chosen):
    faster(monkeypatch, (float32, bfloat16))
    engine = build_engine(datamanager, ("hard",), amp="auto")
    assert engine.precision.bfloat16 is None and engine.step.amp is False
    with caplog.at_level(logging.INFO):
        engine.precision.settle(engine, 8)
    assert engine.step.amp is engine.precision.bfloat16 is chosen
    assert engine.precision.name == ("bfloat16" if chosen else "float32")
    (line,) = [record.message for record in caplog.records if "ealn.amp auto" in record.message]
    assert f"auto: {engine.precision.name}, since a step on 8 images takes {1000 * bfloat16:.0f} ms in bf" in line
    assert "1000 ms in float32" in line and ("less than 95%" in line) is not chosen


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_asked_for_is_not_measured(datamanager, monkeypatch, asked):
    monkeypatch.setattr(precision, "measure", None)
    engine = build_engine(datamanager, (), amp=asked)
    assert engine.step.amp is asked
    engine.precision.settle(engine, 8)
    assert engine.step.amp is engine.precision.bfloat16 is asked


@pytest.mark.parametrize("names", ALL)
def test_measuring_leaves_nothing_behind(datamanager, names):
    options = {} if {"stargan", "edit", "truth", "paste", "xvgan", "vami"} & set(names) else dict(residual=False)
    engine = build_engine(datamanager, names, scheme_options=options, amp="auto", degrade=0.5)
    for parameter in engine.model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before, steps = contents(engine), engine.step
    states = [random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state(), engine.random.get_state()]
    optimizers = copy.deepcopy(
        [optimizer.state_dict() for optimizer in (engine.optimizer, *engine.adversaries.values())]
    )
    measured = measure(engine, 8, ticking(0.001))
    assert measured.images == 8 and measured.float32 > 0 and measured.bfloat16 > 0
    assert_same(contents(engine), before)
    assert random.getstate() == states[0] and (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2]) and torch.equal(engine.random.get_state(), states[3])
    now = [optimizer.state_dict() for optimizer in (engine.optimizer, *engine.adversaries.values())]
    assert repr(now) == repr(optimizers)
    assert engine.step is steps and steps.amp is False and steps.optimizer is engine.optimizer


def test_measuring_runs_every_phase_in_both_precisions_in_turns(datamanager):
    engine, seen = build_engine(datamanager, ("hard",), scheme_options=dict(residual=False)), []
    networks = dict(E=engine.model.conv, G=engine.schemes[0].generators, D=engine.schemes[0].discriminators)
    for name, network in networks.items():
        layer = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
        layer.register_forward_hook(lambda _, inputs, out, name=name: seen.append((name, out.dtype, len(inputs[0]))))
        layer.weight.register_hook(lambda gradient, name=name: seen.append(name))
    measure(engine, 8, ticking(0.001))
    whole = [entry for entry in seen if isinstance(entry, tuple) and entry[0] == "G" and entry[2] == 8]
    assert [dtype for _, dtype, _ in whole] == [torch.float32, torch.bfloat16] * (len(whole) // 2) and len(whole) >= 4
    assert {"E", "G", "D"} <= set(entry for entry in seen if isinstance(entry, str))


@pytest.mark.parametrize("seconds, images", [(0.0001, 64), (0.048, 41), (0.38, 5), (30.0, 4)])
def test_a_slow_step_is_measured_on_fewer_images(datamanager, seconds, images):
    """Every pass takes so long by the clock; half a second is there for one of them."""
    engine = build_engine(datamanager, ())
    measured = measure(engine, 64, ticking(seconds))
    assert measured == Measured(pytest.approx(seconds), pytest.approx(seconds), images)


def test_a_processor_that_imitates_bfloat16_is_not_measured_for_long(datamanager):
    """The clock is looked at before and after each step; the second step, the first in bfloat16, takes 3 s."""
    engine, looks = build_engine(datamanager, ()), iter([0.0, 1.0, 1.0, 4.0])
    measured = measure(engine, 64, looks.__next__)
    assert measured == Measured(1.0, 3.0, 4) and not measured.chosen and not list(looks)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("flags\t\t: fpu sse avx512f avx512bw\n", False),
        ("flags\t\t: fpu sse avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: avx2 avx_ne_convert\n", True),
        ("Features\t: fp asimd\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("model\t: one that lists nothing\n", True),
    ],
)
def test_instructions_of_the_processor(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(str(tmp_path / "cpuinfo")) is expected
    assert has_bfloat16(str(tmp_path / "nowhere")) is True


def test_nothing_is_measured_without_them(datamanager, monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "measure", None)
    engine = build_engine(datamanager, (), amp="auto")
    with caplog.at_level(logging.INFO):
        engine.precision.settle(engine, 8)
    assert engine.step.amp is engine.precision.bfloat16 is False
    assert "ealn.amp auto: float32, since this processor has no instructions for bfloat16" in caplog.text


# ---------------------------------------------------------------------------------------------- a run
@pytest.mark.parametrize("chosen", [True, False])
def test_the_run_is_that_of_the_chosen_value(veri_root, tmp_path, monkeypatch, chosen):
    """With the true measurement before it, only its outcome is given."""
    monkeypatch.setattr(Measured, "chosen", chosen)
    found = []
    for name, amp in (("plain", chosen), ("auto", "auto")):
        engine = build_engine(build_datamanager(veri_root), amp=amp)
        results = engine.run(save_dir=str(tmp_path / name), max_epoch=2, **QUIET)
        found.append((results, {key: value for key, value in contents(engine).items() if torch.is_tensor(value)}))
    assert found[0][0] == found[1][0]
    assert_same(found[1][1], found[0][1])


@pytest.mark.parametrize("chosen", [True, False])
def test_a_run_that_goes_on_keeps_the_choice(veri_root, tmp_path, monkeypatch, chosen):
    seconds = [(1.0, 0.5), (0.5, 1.0)]
    left = faster(monkeypatch, *(seconds if chosen else reversed(seconds)))
    whole = build_engine(build_datamanager(veri_root), amp=chosen)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=2, **QUIET)
    stopped = build_engine(build_datamanager(veri_root), amp="auto")
    step = stopped.forward_backward

    def interrupted(data):
        if stopped.global_step == 4:
            raise TrainingInterrupted("enough")
        return step(data)

    stopped.forward_backward = interrupted
    with pytest.raises(TrainingInterrupted):
        stopped.run(save_dir=str(tmp_path / "run"), max_epoch=2, **QUIET, checkpoint_every=1)
    resumed = build_engine(build_datamanager(veri_root), amp="auto")
    resumed.run(save_dir=str(tmp_path / "run"), max_epoch=2, resume=str(tmp_path / "run"), **QUIET)
    assert len(left) == 1  # the second measurement, which would have said the opposite, was never made
    assert resumed.step.amp is resumed.precision.bfloat16 is chosen
    expected = {key: value for key, value in contents(whole).items() if torch.is_tensor(value)}
    assert_same({key: value for key, value in contents(resumed).items() if torch.is_tensor(value)}, expected)


def test_a_shared_warm_up_brings_its_choice(veri_root, tmp_path, monkeypatch):
    left = faster(monkeypatch, (1.0, 0.5), (0.5, 1.0))
    first = build_engine(build_datamanager(veri_root), (), amp="auto", warmup_epochs=1)
    first.run(save_dir=str(tmp_path / "en"), max_epoch=3, **QUIET)
    second = build_engine(build_datamanager(veri_root), ("hard",), amp="auto", warmup_epochs=1)
    start = str(tmp_path / "en" / checkpoint.WARMUP)
    second.run(save_dir=str(tmp_path / "hard"), max_epoch=3, start_from=start, **QUIET)
    assert second.step.amp is True and len(left) == 1


@pytest.mark.parametrize(
    "asked, entry, expected",
    [
        ("auto", {}, None),  # a checkpoint of an earlier version
        ("auto", {"asked": "auto", "bfloat16": True}, True),
        ("auto", {"asked": False, "bfloat16": False}, None),  # left open only now
        (False, {"asked": "auto", "bfloat16": True}, False),  # no longer left open
        (True, {"asked": "auto", "bfloat16": False}, True),
    ],
)
def test_only_a_choice_that_both_leave_open_is_kept(asked, entry, expected):
    own = Precision(asked)
    own.take_over(entry)
    assert own.bfloat16 is expected


@pytest.mark.parametrize("entry", [[], {"asked": "auto", "bfloat16": "yes"}, "auto"])
def test_a_checkpoint_with_another_entry_is_refused(datamanager, tmp_path, entry):
    engine = build_engine(datamanager, ())
    content = state.capture(engine, 0, 0)
    path = str(tmp_path / "checkpoint_last.pth.tar")
    checkpoint.save_atomically({**content, "precision": entry}, path)
    with pytest.raises(checkpoint.CheckpointError, match="its precision is"):
        state.read(path)


def test_results_say_what_was_used(veri_root, tmp_path):
    """A real run, measured on this machine."""
    train_run(tmp_path / "auto", veri_root, "hard", ["ealn.amp", "auto"])
    results = json.loads((tmp_path / "auto" / "results.json").read_text())
    assert results["precision"] in ("float32", "bfloat16") and results["config"]["ealn"]["amp"] == "auto"
    train_run(tmp_path / "plain", veri_root, "hard", ["ealn.amp", results["precision"] == "bfloat16"])
    plain = json.loads((tmp_path / "plain" / "results.json").read_text())
    assert "precision" not in plain and plain["datasets"] == results["datasets"]


def test_the_option_of_an_engine_is_checked(datamanager):
    with pytest.raises(ValueError, match="amp is 'fast', expected True, False or 'auto'"):
        build_engine(datamanager, (), amp="fast")
