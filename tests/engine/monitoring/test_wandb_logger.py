"""ealn_plugin/engine/monitoring/wandb_logger.py in the package's offline mode."""

import pytest
import torch

from ealn_plugin.engine.monitoring.loggers import Loggers

wandb = pytest.importorskip("wandb", reason="pip install -c constraints.txt wandb: too heavy for CI")


def test_a_run_offline_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    names = []
    for first_step in (0, 2):
        every = Loggers(["wandb"], str(tmp_path / "run"), first_step, {"train.lr": 0.1})
        logger = every._open["wandb"]
        names.append(logger.run_id)
        for step in (first_step + 1, first_step + 2):
            every.add_scalar("train/loss/E", 0.5 * step, step)
        every.add_image("samples", torch.rand(3, 8, 9), first_step + 2)
        every.flush()
        run = logger._run
        assert run.summary["train/loss/E"] == 0.5 * (first_step + 2) and run.summary["global_step"] == first_step + 2
        assert run.config["train.lr"] == 0.1 and run.name == "run"
        every.close()
    assert names[0] == names[1]
    folders = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert folders and all(folder.name.endswith(names[0]) for folder in folders)
    assert list((tmp_path / "run" / "wandb").rglob("*.png"))
