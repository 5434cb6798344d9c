"""ealn_plugin/engine/monitoring/observer.py: fixed images, diagnostics that can be recomputed and change nothing."""

import csv

import numpy as np
import pytest
import torch

from ealn_plugin.data.viewpoints import View
from ealn_plugin.engine.monitoring import observer
from ealn_plugin.engine.monitoring.monitor import Monitor
from ealn_plugin.evaluation import fixed_images
from ealn_plugin.evaluation.diagnostics import recompute
from tests.helpers.standins import build_engine

QUIET = dict(progress=False, print_freq=2, test_untrained=False)


def run(engine, save_dir, max_epoch=3, **options):
    return engine.run(save_dir=str(save_dir), max_epoch=max_epoch, **{**QUIET, **options})


def table(folder):
    with open(folder / "diagnostics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_comes_out_again_from_the_saved_embeddings(datamanager, tmp_path):
    run(build_engine(datamanager, warmup_epochs=1), tmp_path, max_epoch=4, diagnose_every=2)
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == ["2", "4"]  # none before the generators learn
    for row in rows:
        path = tmp_path / "diagnostics" / f"epoch_{int(row['epoch']):03d}.npz"
        found = recompute(path)
        assert {name: float(row[name]) for name in found} == found
        assert set(row) == {"epoch", "step", *found}
        assert {"hard/eq4_lower", "hard/eq4_upper", "hard/eq5", "other_view/eq9", "other_view/eq10"} < set(found)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["images"][0].startswith("image_test/") and len(arrays["real"]) == 4 * 4
        assert np.linalg.norm(arrays["real"], axis=1) == pytest.approx(1, abs=1e-5)
        assert arrays["hard/margins"].tolist() == [0.6, 0.6, 0.3]


def test_the_embeddings_are_those_of_the_networks_after_the_epoch(datamanager, tmp_path):
    engine = build_engine(datamanager, ("hard",))
    run(engine, tmp_path, max_epoch=1)
    fixed = fixed_images.fixed_images(next(iter(engine.test_loader.values())), engine.views_of)
    engine.model.eval()
    with torch.no_grad(), np.load(tmp_path / "diagnostics" / "epoch_001.npz") as arrays:
        expected = engine.embedding.eval()(fixed.images)
        images = engine.schemes[0].eval().generators["hard"](engine.pixels.to_generator(fixed.images))
        fake = engine.embedding(engine.pixels.to_embedding(images))
        np.testing.assert_allclose(arrays["real"], expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(arrays["hard/embeddings"], fake.numpy(), atol=1e-6)
        change = (images - engine.pixels.to_generator(fixed.images)).abs().mean(dim=(1, 2, 3))
        np.testing.assert_allclose(arrays["hard/change"], change.numpy(), atol=1e-6)


def test_observing_changes_nothing(datamanager, tmp_path):
    watched, unwatched = build_engine(datamanager), build_engine(datamanager)
    run(watched, tmp_path / "a")
    run(unwatched, tmp_path / "b", sample_every=0, diagnose_every=0)
    for a, b in zip(watched.model.state_dict().values(), unwatched.model.state_dict().values()):
        assert torch.equal(a, b)
    assert not (tmp_path / "b" / "diagnostics.csv").exists() and not (tmp_path / "b" / "samples").exists()


def test_a_new_run_in_an_old_folder_keeps_nothing_of_it(datamanager, tmp_path):
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=3)
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=1)
    assert [row["epoch"] for row in table(tmp_path)] == ["1"]
    assert [path.name for path in (tmp_path / "diagnostics").iterdir()] == ["epoch_001.npz"]


def test_numbers_go_to_tensorboard_and_the_log(datamanager, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    sent = {}
    monkeypatch.setattr(Monitor, "scalars", lambda self, prefix, values, step: sent.setdefault(prefix, values))
    run(build_engine(datamanager, ("view",)), tmp_path, max_epoch=1)
    assert 0 <= sent["diagnostics"]["other_view/probe_auc"] <= 1
    assert "epoch 1/1 diagnostics of other_view: probe_auc" in caplog.text


def test_fixed_images_alternate_views_and_skip_copies():
    items = [(f"gallery/{pid}_{number}.jpg", pid, number) for pid in range(6) for number in range(5)]
    items += [(f"query/{pid}_0.jpg", pid, 0) for pid in range(6)] + [("query/alone.jpg", 99, 0)]
    views = torch.tensor(
        [[View.FRONT, View.FRONT, View.REAR, View.SIDE, View.REAR][number] for _, pid, number in items]
    )
    rows = fixed_images.choose_rows(items, views, vehicles=3, per_vehicle=4)
    assert [items[row][1] for row in rows] == [0] * 4 + [2] * 4 + [4] * 4
    assert views[rows[:4]].tolist() == [View.FRONT, View.REAR] * 2
    assert len({items[row][0] for row in rows}) == 12 and not any("query" in items[row][0] for row in rows)
    unknown = fixed_images.choose_rows(items, torch.full((len(items),), -1), vehicles=16, per_vehicle=2)
    assert len(unknown) == 12 and 99 not in {items[row][1] for row in unknown}
    assert fixed_images.choose_rows(items[-1:], views[-1:], 16, 4) == []


def test_without_a_vehicle_with_two_images_there_is_a_warning(datamanager, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(observer, "choose_rows", lambda *arguments: [])
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=2)
    assert caplog.text.count("no test vehicle has two images") == 1


def test_a_full_disk_costs_a_line_and_not_the_run(datamanager, tmp_path, caplog, monkeypatch):
    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(observer.np, "savez", full)
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=1)
    assert (tmp_path / "checkpoint_last.pth.tar").exists() and not (tmp_path / "diagnostics.csv").exists()
    assert "the diagnostics of epoch 1 could not be written" in caplog.text
    assert list((tmp_path / "diagnostics").iterdir()) == []
