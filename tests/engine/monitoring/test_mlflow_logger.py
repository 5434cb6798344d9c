"""ealn_plugin/engine/monitoring/mlflow_logger.py with a store in a local folder."""

import pytest
import torch

from ealn_plugin.engine.monitoring.loggers import Loggers

mlflow = pytest.importorskip("mlflow", reason="pip install -c constraints.txt mlflow: too heavy for CI")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    uri = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)


def test_a_run_that_goes_on(tmp_path, caplog):
    settings = {
        "train.lr": 0.1,
        "data.transforms": ["random_flip"],
        **{f"key{number}": number for number in range(120)},
    }
    for first_step in (0, 2):
        every = Loggers(["mlflow"], str(tmp_path / "run"), first_step, settings)
        run_id = every._open["mlflow"].run_id
        assert mlflow.MlflowClient().get_run(run_id).info.status == "RUNNING"
        for step in (first_step + 1, first_step + 2):
            every.add_scalar("train/loss/E", 0.5 * step, step)
        every.add_image("samples", torch.rand(3, 8, 9), first_step + 2)
        every.close()
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("ealn_plugin").experiment_id])
    assert run.info.run_id == run_id and run.info.status == "FINISHED" and run.info.run_name == "run"
    assert len(run.data.params) == 122 and run.data.params["data.transforms"] == "['random_flip']"
    history = client.get_metric_history(run_id, "train/loss/E")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]
    assert sorted(file.path for file in client.list_artifacts(run_id, "samples")) == [
        f"samples/step_{step:07d}.png" for step in (2, 4)
    ]
    client.delete_run(run_id)
    (tmp_path / "run" / "loggers.json").write_text('{"mlflow": "unknown"}')
    every = Loggers(["mlflow"], str(tmp_path / "run"), 4, settings)
    every.close()
    assert "does not know the run unknown any more" in caplog.text
