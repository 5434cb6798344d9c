"""ealn_plugin/schemes/other_views.py: its loss by hand; a run with the renderer's twins, stopped and resumed."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from ealn_plugin import config
from ealn_plugin.data import synthetic
from ealn_plugin.export.graphs import graphs_of
from ealn_plugin.runs import build
from ealn_plugin.runs.loading import load_run
from ealn_plugin.schemes import TrueOtherViewsScheme
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.scheme_batches import d, embed, make_batch
from tests.helpers.standins import build_datamanager, build_engine, render_small, train_run

VIEWS, PIDS = (0, 1, 0, 1, 2, -1, 1, 0), (0, 0, 1, 1, 0, 1, 2, 2)


def batch_with_twins(views=VIEWS, pids=PIDS):
    batch = make_batch(views, pids)
    twins = torch.rand(batch.images.shape, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return replace(batch, companions={"twin": twins})


def test_the_loss_equals_a_loop():
    batch, scheme = batch_with_twins(), TrueOtherViewsScheme(alpha=0.2, lambda_ed=0.3)
    made = scheme.generate(batch)["twin"]
    assert made.anchor_index.tolist() == [0, 1, 2, 3, 6, 7], "side and unknown images take no part"
    real, other = batch.embedded().clone().requires_grad_(), embed(made.images)
    loss, parts = scheme.embedding_loss(batch, real, {"twin": (other, made.anchor_index)})
    total = 0.0
    for view in (0, 1):
        hinges = []
        for i, anchor in enumerate(PIDS):
            for j, k in enumerate(made.anchor_index.tolist()):
                for n, negative in enumerate(PIDS):
                    if VIEWS[i] == VIEWS[k] == view and VIEWS[n] == 1 - view and PIDS[k] == anchor != negative:
                        hinges.append(d(real[i], other[j]) + 0.2 - d(real[i], real[n]))
        active = [value for value in hinges if value > 0]
        assert 0 < len(active) < len(hinges)
        total += sum(active) / len(active) / 2
    assert float(parts["loss/E_twin"]) == pytest.approx(total, rel=1e-5)
    assert float(loss) == pytest.approx(0.3 * total, rel=1e-5)
    loss.backward()
    assert torch.isfinite(real.grad).all() and real.grad.abs().sum() > 0


@pytest.mark.parametrize("views", [(0, 0, 0), (2, -1, 2), (0, 1, 2)])
def test_batches_without_a_view_or_another_vehicle_teach_nothing(views):
    batch, scheme = batch_with_twins(views, (0, 0, 0)), TrueOtherViewsScheme()
    made = scheme.generate(batch)["twin"]
    real = batch.embedded().clone().requires_grad_()
    loss, parts = scheme.embedding_loss(batch, real, {"twin": (embed(made.images), made.anchor_index)})
    loss.backward()
    assert loss == 0 and not real.grad.abs().any() and all(torch.isfinite(value) for value in parts.values())
    with pytest.raises(ValueError, match="has no twins"):
        scheme.generate(make_batch())


@pytest.fixture(scope="module")
def twins_root(tmp_path_factory):
    root = render_small(tmp_path_factory.mktemp("twins"))
    synthetic.add_training_twins(root / "VeRi", 1, progress=False)
    return root


def test_stopped_and_resumed_is_the_same_run(twins_root, tmp_path):
    def run(folder, stop_at=0, **options):
        manager, seen = build_datamanager(twins_root, transforms=["random_flip", "random_erase"]), [0]
        engine = build_engine(manager, ("true_view",), warmup_epochs=1)
        train = engine.forward_backward

        def stopping(data):
            seen[0] += 1
            if seen[0] == stop_at:
                os.kill(os.getpid(), signal.SIGINT)
            return train(data)

        engine.forward_backward = stopping
        results = engine.run(save_dir=str(folder), max_epoch=4, progress=False, test_untrained=False, **options)
        return results, torch.cat([value.double().flatten() for value in engine.model.state_dict().values()])

    whole, weights = run(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "broken", stop_at=3)
    results, again = run(tmp_path / "broken", resume=str(tmp_path / "broken"))
    assert results == whole and torch.equal(weights, again)


def test_a_configuration_trains_and_exports_the_plain_network(twins_root, tmp_path):
    cache = tmp_path / "cache"
    folder = train_run(tmp_path / "run", twins_root, "view_truth", ["ealn.cache_dir", str(cache)])
    assert any("twins" in name for name in os.listdir(cache))
    run = load_run(folder)
    assert [graph.name for graph in graphs_of(run, lambda *_: {})] == ["embedding"]


def test_a_configuration_renders_twins(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(build, "render_dataset", lambda root, **options: f"{root}/VeRi")
    monkeypatch.setattr(build, "add_training_twins", calls.append)
    options = ["data.root", str(tmp_path), "ealn.render.preset", "tiny"]
    build.render_if_missing(config.load_config(options=options))
    build.render_if_missing(config.load_config(options=[*options, "ealn.render.twins", True]))
    assert calls == [f"{tmp_path}/VeRi"]


def test_photographs_have_no_twins(veri_root, tmp_path):
    engine = build_engine(build_datamanager(veri_root), ("true_view",))
    with pytest.raises(ValueError, match="has no twin in"):
        engine.run(save_dir=str(tmp_path), max_epoch=1, progress=False)
