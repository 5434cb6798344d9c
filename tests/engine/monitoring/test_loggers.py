"""ealn_plugin/engine/monitoring/loggers.py: several as one, each of which may fail alone."""

import importlib.util
import json

import pytest
import torch

from ealn_plugin.config import defaults
from ealn_plugin.engine.monitoring import loggers
from ealn_plugin.engine.monitoring.loggers import KNOWN_RUNS, LOGGERS, Loggers, check_loggers


class Recorded:
    """A logger that writes down what it is told; 'broken' in a tag makes it fail."""

    def __init__(self, folder, first_step, run_id, settings):
        self.run_id = run_id or "first run"
        self.told = [(first_step, run_id, dict(settings))]

    def add_scalar(self, tag, value, step):
        if "broken" in tag:
            raise ConnectionError("the server went away")
        self.told.append((tag, value, step))

    def add_image(self, tag, image, step):
        self.told.append((tag, tuple(image.shape), step))

    def flush(self):
        self.told.append("flush")

    def close(self):
        self.told.append("close")


@pytest.fixture
def made(monkeypatch):
    """All loggers that were opened; 'one' and 'two' are their names."""
    opened = []

    def open_one(*arguments):
        opened.append(Recorded(*arguments))
        return opened[-1]

    monkeypatch.setattr(loggers, "LOGGERS", {"one": open_one, "two": open_one, "none": lambda *_: 1 / 0})
    return opened


def test_the_configuration_names_the_loggers_that_there_are():
    assert tuple(LOGGERS) == defaults.LOGGERS


def test_every_logger_is_told_and_one_that_fails_is_left_out(made, tmp_path, caplog):
    every = Loggers(["one", "two", "none", "one"], str(tmp_path), 0, {"train.lr": 0.1})
    assert len(made) == 2 and "none takes no more records of this run (ZeroDivisionError" in caplog.text
    made[1].add_scalar = lambda *_: (_ for _ in ()).throw(ConnectionError("the server went away"))
    every.add_scalar("train/loss/E", 0.5, 3)
    assert "two takes no more records of this run (ConnectionError: the server went away)" in caplog.text
    every.add_image("samples", torch.zeros(3, 4, 5), 3)
    every.flush()
    every.close()
    every.close()
    begun = (0, "", {"train.lr": 0.1})
    assert made[0].told == [begun, ("train/loss/E", 0.5, 3), ("samples", (3, 4, 5), 3), "flush", "close"]
    assert made[1].told == [begun]


def test_a_resumed_run_goes_on_in_the_runs_of_its_loggers(made, tmp_path, caplog):
    Loggers(["one"], str(tmp_path)).close()
    assert json.loads((tmp_path / KNOWN_RUNS).read_text()) == {"one": "first run"}
    Loggers(["one", "two"], str(tmp_path), first_step=7).close()
    assert [logger.told[0][:2] for logger in made] == [(0, ""), (7, "first run"), (7, "")]
    Loggers(["one"], str(tmp_path)).close()
    assert made[-1].told[0][1] == "", "a run that begins anew is another one"
    for broken in (b"\xff", b"[1]"):
        (tmp_path / KNOWN_RUNS).write_bytes(broken)
        Loggers(["one"], str(tmp_path), first_step=7)
        assert made[-1].told[0][1] == "" and "cannot be used" in caplog.text


def test_what_is_missing_is_said_before_anything_else(monkeypatch):
    check_loggers([])
    check_loggers(["tensorboard"])
    with pytest.raises(ValueError, match="ealn.loggers holds 'x', expected some of tensorboard, wandb, mlflow"):
        check_loggers(["x"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RuntimeError, match=r"^wandb is not installed, but runs with ealn.loggers wandb need it;.*\[wandb\]"
    ):
        check_loggers(["tensorboard", "wandb"])
