"""ealn_plugin/engine/monitoring/monitor.py: what is averaged, shown and refused."""

import logging

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ealn_plugin.engine.monitoring.monitor import Monitor, NonFiniteLossError


def make(tmp_path, **options):
    monitor = Monitor(str(tmp_path), max_epoch=3, print_freq=2, progress=False, **options)
    monitor.begin_epoch(0, "joint", batches=4, done=0, step=0)
    return monitor


def test_averages_over_the_steps_that_had_a_value(tmp_path, caplog):
    monitor = make(tmp_path)
    for step in range(4):
        values = {"loss/E": torch.tensor(float(step))}
        if step == 3:
            values["loss/G_rear_gan"] = torch.tensor(8.0)
        monitor.step(values)
    with caplog.at_level(logging.INFO):
        means = monitor.end_epoch({"embedding": 0.1})
    monitor.close()
    assert means == {"loss/E": 1.5, "loss/G_rear_gan": 8.0}
    assert "epoch 1/3 (joint): loss/E 1.500, loss/G_rear_gan 8.000" in caplog.text
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss/E")] == [(2, 0.5), (4, 2.5)]
    assert events.Scalars("rate/embedding")[0].value == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named(tmp_path, bad):
    monitor = make(tmp_path)
    monitor.step({"loss/E": torch.tensor(1.0), "loss/G_hard_belt": torch.tensor(bad)})
    with pytest.raises(NonFiniteLossError, match="loss/G_hard_belt became (nan|inf) in step 1 .*model.resume"):
        monitor.step({"loss/E": torch.tensor(bad), "loss/G_hard_belt": torch.tensor(bad)})  # later in time
    monitor.close()


def test_pictures_are_saved_with_their_range(tmp_path):
    monitor = make(tmp_path)
    monitor.pictures([torch.full((2, 3, 8, 8), -1.0), torch.full((2, 3, 8, 8), 1.0)], "epoch_001", 0)
    monitor.close()
    image = Image.open(tmp_path / "samples" / "epoch_001.png")
    assert image.size == (2 * 10 + 2, 2 * 10 + 2)
    assert image.getpixel((5, 5)) == (0, 0, 0) and image.getpixel((5, 15)) == (255, 255, 255)
