"""ealn_plugin/runs/loading.py: a run's networks come back as the engine had them, with nothing but the run folder."""

import os
import shutil

import numpy as np
import pytest
import torch

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.engine.checkpoints.file import BEST, LAST, CheckpointError
from ealn_plugin.evaluation.feature_store import fingerprint_of_networks
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.runs import hub, loading, references


@pytest.fixture
def alone(run_folder, tmp_path):
    """The run folder where its dataset does not exist."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(run_folder, folder)
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    root = configuration.load_config(str(folder / "config.yaml")).data.root
    (folder / "config.yaml").write_text(config.replace(root, str(tmp_path / "no data")), encoding="utf-8")
    return folder


def test_the_networks_are_the_engines(run_folder, alone):
    engine = RunSubject(str(run_folder), "run").engine()
    run = loading.load_run(alone)
    assert fingerprint_of_networks(run.embedding.backbone, *run.schemes) == fingerprint_of_networks(
        engine.model, *engine.schemes
    )
    assert [scheme.name for scheme in run.schemes] == ["hard", "view"] and run.fusing is run.schemes[1]
    assert run.source == str(alone / LAST) and run.size == (32, 32) and run.device == torch.device("cpu")
    for network in (run.embedding, *run.schemes):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_images_are_prepared_as_the_data_manager_does(run_folder, veri_root):
    engine = RunSubject(str(run_folder), "run").engine()
    loader = engine.test_loader["veri776"]["query"]
    item = loader.dataset[3]
    run = loading.load_run(run_folder)
    assert torch.equal(run.transform(toolkit.read_image(item["impath"])), item["img"])
    assert run.normalization == toolkit.normalization_of(engine.datamanager)
    with torch.no_grad():
        views = engine.views_of([item["impath"]])
        own, fused = run.extraction().batch(item["img"][None], views)
    assert own.shape == (1, 512) and fused.shape == (1, 1024)
    engine.embedding.eval()
    with torch.no_grad():
        own_there, fused_there = engine.extraction.batch(item["img"][None], views)
    torch.testing.assert_close(own, own_there, rtol=0, atol=1e-6)
    torch.testing.assert_close(fused, fused_there, rtol=0, atol=1e-6)


def test_a_checkpoint_of_the_run_may_be_named(run_folder):
    run = loading.load_run(os.path.join(run_folder, BEST))
    assert run.source == os.path.join(run_folder, BEST)


def test_global_randomness_stays_as_it_was(run_folder):
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    loading.load_run(run_folder)
    assert (torch.rand(1), np.random.rand()) == expected


def test_what_is_no_run_gets_a_sentence(alone, tmp_path):
    with pytest.raises(FileNotFoundError, match="the run '/no' has no config.yaml; give the data.save_dir"):
        loading.load_run("/no")
    (tmp_path / "config.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="has no checkpoint_last.pth.tar"):
        loading.load_run(tmp_path)
    (alone / LAST).write_bytes((alone / LAST).read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated or not a checkpoint"):
        loading.load_run(alone)


def test_a_config_that_does_not_fit_the_checkpoint_gets_a_sentence(alone):
    text = (alone / "config.yaml").read_text(encoding="utf-8")
    for old, new, sentence in (
        ("scheme: hard_view", "scheme: hard", r"trained with the schemes \['hard', 'view'\]"),
        ("squeezenet1_1", "squeezenet1_0", "of another architecture"),
    ):
        assert old in text
        (alone / "config.yaml").write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(CheckpointError, match=sentence):
            loading.load_run(alone)


def test_the_number_of_classes():
    assert loading.number_of_classes({"classifier.weight": torch.zeros(7, 3)}) == 7
    assert loading.number_of_classes({"fc.weight": torch.zeros(7, 3)}) == 1


def test_a_model_of_its_own_size_is_loaded_without_a_gpu(tmp_path):
    """HACNN makes tensors on the device that it was built for, and takes no other images than its own."""
    weights = str(tmp_path / "hacnn.pth")
    torch.save(toolkit.build_model("hacnn", 2, use_gpu=False).state_dict(), weights)
    assert loading.load_model("hacnn", weights, 160, 64).dim == 1024
    with pytest.raises(ValueError, match=r"HACNN cannot process images of 64 x 64 pixels \(.*expected \(160, 64\)"):
        loading.load_model("hacnn", weights, 64, 64).dim  # noqa: B018


def test_a_model_is_the_same_in_every_process_also_where_its_classifier_is_not_in_the_file(tmp_path):
    """Else an index that one process has built could not be asked by another."""
    torch.save(toolkit.build_model("resnet_small", 7).state_dict(), tmp_path / "weights.pth")
    loaded = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded.append(loading.load_model("resnet_small", tmp_path / "weights.pth", 32, 32).embedding)
    assert fingerprint_of_networks(loaded[0]) == fingerprint_of_networks(loaded[1])


def test_without_a_run_it_is_the_shipped_network_and_says_what_that_is(caplog):
    run = loading.load_run(None)
    assert "rendered vehicles and never on photographs of vehicles; real scenes will be worse" in caplog.text
    assert run.config.model.name == "mobilenetv2_x1_0" and run.size == (128, 128) and run.dim == 1280
    assert run.source == str(references.SHIPPED_FILE) and run.schemes == []
    named = loading.load_run("shipped")
    assert fingerprint_of_networks(named.embedding.backbone) == fingerprint_of_networks(run.embedding.backbone)


def test_a_repository_of_weights_is_a_run(monkeypatch):
    monkeypatch.setattr(hub, "download", lambda name, flag: str(references.SHIPPED_FILE))
    assert loading.load_run("hf:someone/cars").dim == 1280
