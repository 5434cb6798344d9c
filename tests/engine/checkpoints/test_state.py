"""ealn_plugin/engine/checkpoints/state.py: how a run with other rates, moments and schedules goes on."""

import copy

import pytest
import torch

from ealn_plugin import EALNEngine, toolkit
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.schedule import linear_factor
from tests.helpers.standins import TinyBackbone, small_schemes

SCHEDULES = {
    "none": lambda optimizer, epochs: None,
    "single_step": lambda optimizer, epochs: toolkit.build_lr_scheduler(
        optimizer, lr_scheduler="single_step", stepsize=1, gamma=0.5
    ),
    "multi_step": lambda optimizer, epochs: toolkit.build_lr_scheduler(
        optimizer, lr_scheduler="multi_step", stepsize=[1, 2], gamma=0.5
    ),
    "cosine": lambda optimizer, epochs: toolkit.build_lr_scheduler(optimizer, lr_scheduler="cosine", max_epoch=epochs),
    "linear": lambda optimizer, epochs: torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: linear_factor(epoch, epochs, 0)
    ),
}


def engine_of(datamanager, schedule="linear", epochs=2, lr=0.05, momentum=0.9, decay=0.0, **options):
    torch.manual_seed(0)
    model = TinyBackbone(datamanager.num_train_pids)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=decay)
    scheduler = SCHEDULES[schedule](optimizer, epochs)
    return EALNEngine(
        datamanager, model, optimizer, scheduler, schemes=small_schemes(["hard"]), use_gpu=False, **options
    )


def run(engine, folder, epochs=2, **options):
    return engine.run(str(folder), max_epoch=epochs, test_untrained=False, progress=False, **options)


class _Enough(Exception):
    pass


def resumed(engine, folder, epochs=3, **options):
    """The engine as it goes on, before its first step."""

    def stop():
        raise _Enough

    with pytest.raises(_Enough):
        run(engine, folder, epochs, resume=str(folder), on_start=stop, **options)
    return engine


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_other_rates_are_those_of_the_schedule_from_there_on(datamanager, tmp_path, schedule):
    run(engine_of(datamanager, schedule), tmp_path)
    engine = resumed(engine_of(datamanager, schedule, epochs=4, lr=0.02, momentum=0.5, decay=0.001), tmp_path, 4)
    group = engine.optimizer.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.001)
    expected = engine_of(datamanager, schedule, epochs=4, lr=0.02)
    for _ in range(2):
        if expected.scheduler is not None:
            expected.scheduler.step()
    assert group["lr"] == expected.optimizer.param_groups[0]["lr"] > 0
    saved = checkpoint.load(str(tmp_path / checkpoint.LAST))["optimizer"]["state"]
    for number, moments in engine.optimizer.state_dict()["state"].items():
        assert torch.equal(moments["momentum_buffer"], saved[number]["momentum_buffer"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_same_settings_restore_everything_as_it_was(datamanager, tmp_path, schedule):
    run(engine_of(datamanager, schedule), tmp_path)
    engine = resumed(engine_of(datamanager, schedule), tmp_path, 2)
    saved = checkpoint.load(str(tmp_path / checkpoint.LAST))
    assert engine.optimizer.state_dict()["param_groups"] == saved["optimizer"]["param_groups"]
    assert engine.scheduler is None or engine.scheduler.state_dict() == saved["scheduler"]
    assert engine.changes == []


def test_adversarial_optimizers_take_other_betas(datamanager, tmp_path):
    run(engine_of(datamanager), tmp_path)
    engine = resumed(engine_of(datamanager, gan_betas=(0.25, 0.9)), tmp_path, 2)
    assert all(group["betas"] == (0.25, 0.9) for made in engine.adversaries.values() for group in made.param_groups)


def test_changed_settings_are_recorded_and_fixed_ones_refused(datamanager, tmp_path):
    run(engine_of(datamanager), tmp_path, settings={"rate": 1.0, "size": 32})
    engine = engine_of(datamanager)
    options = dict(settings={"rate": 2.0, "size": 32}, fixed={"size"})
    run(engine, tmp_path, 3, resume=str(tmp_path), **options)
    (change,) = engine.changes
    assert 0 < change.pop("step") < engine.global_step and change == {"name": "rate", "from": 1.0, "to": 2.0}
    assert len(resumed(engine_of(datamanager), tmp_path, **options).changes) == 1, "kept in later checkpoints"
    with pytest.raises(checkpoint.CheckpointError, match="size is 64, but checkpoint .* was trained with 32"):
        run(engine_of(datamanager), tmp_path, 3, resume=str(tmp_path), settings={"size": 64}, fixed={"size"})


def test_fewer_epochs_than_are_done(datamanager, tmp_path):
    run(engine_of(datamanager), tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="max_epoch is 1, but checkpoint .* is from epoch 2; give at"):
        run(engine_of(datamanager), tmp_path, 1, resume=str(tmp_path))


def test_a_finished_run_is_tested_anew_under_other_settings(datamanager, tmp_path):
    first = run(engine_of(datamanager), tmp_path)
    assert run(engine_of(datamanager), tmp_path, resume=str(tmp_path)) == first
    again = run(engine_of(datamanager), tmp_path, resume=str(tmp_path), ranks=[3])
    assert all("rank3" in metrics for metrics in again["datasets"]["veri776"].values())


def test_values_that_a_checkpoint_may_not_hold(datamanager, tmp_path):
    run(engine_of(datamanager), tmp_path)
    path = str(tmp_path / checkpoint.LAST)
    saved = checkpoint.load(path)
    for name, value in (
        ("settings", {"a": torch.zeros(1)}),
        ("made_with", []),
        ("changes", {}),
        ("made_with", {"embedding network": [3], "schedule": {}}),
    ):
        broken = copy.copy(saved)
        broken[name] = value
        checkpoint.save_atomically(broken, path)
        with pytest.raises(checkpoint.CheckpointError, match="damaged or was not written by this plugin"):
            run(engine_of(datamanager), tmp_path, 3, resume=path)
