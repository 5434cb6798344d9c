"""ealn_plugin/evaluation/fusion_weight.py: other views that help, harm and copy; a run that chooses, and its files."""

import numpy as np
import pytest
import torch

from ealn_plugin import config
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.evaluation import fusion_weight
from ealn_plugin.evaluation.extraction import fuse
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.fusion_weight import choose_weight, loader_of
from ealn_plugin.export.graphs import graphs_of
from ealn_plugin.inference.extractor import FeatureExtractor
from ealn_plugin.runs import build
from ealn_plugin.runs.loading import load_run
from tests.helpers.standins import build_engine, train_run


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def vehicles_seen(count=40, cameras=4, seed=0, noise=1.2):
    """(Features of two views in each camera, what is common to all images of their vehicle), camera numbers from 1."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(count), 2 * cameras)
    truth = rng.normal(size=(count, 16))[pids]
    own = unit(truth + noise * rng.normal(size=truth.shape))
    camids = np.tile(np.repeat(np.arange(cameras), 2), count) + 1
    views = np.tile([0, 1], count * cameras)
    return Features(own, pids, camids, views, np.zeros(len(pids), bool)), unit(truth)


def naive_precision(features, pids, camids, views):
    """{vehicle: mean average precision of its queries}, query by query and entry by entry."""
    seen, found = set(), {}
    for query in range(len(pids)):
        if (pids[query], camids[query], views[query]) in seen:
            continue
        seen.add((pids[query], camids[query], views[query]))
        entries = [row for row in range(len(pids)) if (pids[row], camids[row]) != (pids[query], camids[query])]
        entries.sort(key=lambda row: ((features[row] - features[query]) ** 2).sum())
        hits = [place for place, row in enumerate(entries, 1) if pids[row] == pids[query]]
        if hits:
            precision = np.mean([number / place for number, place in enumerate(hits, 1)])
            found.setdefault(pids[query], []).append(precision)
    return {pid: np.mean(values) for pid, values in found.items()}


def test_a_helpful_view_gets_weight_and_the_gain_is_that_of_a_loop():
    own, truth = vehicles_seen(12)
    other = unit(truth + 0.3 * np.random.default_rng(1).normal(size=truth.shape))
    chosen = choose_weight(own, other, seed=3)
    assert chosen.value > 0 and 0 < chosen.low < chosen.gain and chosen.vehicles == 6
    order = np.random.default_rng(3).permutation(12)
    totals = {}
    for start in range(2):
        rows = np.flatnonzero(np.isin(own.pids, order[start::2]))
        labels = own.pids[rows], own.camids[rows], own.views[rows]
        for weight in fusion_weight.WEIGHTS:
            parts = (torch.from_numpy(part[rows]).double() for part in (own.embeddings, other))
            fused = fuse(*parts, torch.from_numpy(own.views[rows]), "by_view", weight).numpy()
            totals[start, weight] = np.array([value for _, value in sorted(naive_precision(fused, *labels).items())])
    best = max(fusion_weight.WEIGHTS, key=lambda weight: totals[0, weight].mean())
    assert chosen.value == best
    assert chosen.gain == pytest.approx((totals[1, best] - totals[1, 0.0]).mean(), abs=1e-6)


@pytest.mark.parametrize("kind", ["noise", "copy", "of other vehicles"])
def test_a_useless_view_gets_none(kind):
    own, truth = vehicles_seen()
    noise = unit(np.random.default_rng(2).normal(size=truth.shape))
    mixed = np.random.default_rng(4).permutation(truth)
    other = {"noise": noise, "copy": own.embeddings, "of other vehicles": mixed}[kind]
    assert choose_weight(own, other).value == 0


def test_a_gain_on_the_first_half_alone_is_not_believed(monkeypatch):
    own, truth = vehicles_seen(6)
    figures = iter([np.zeros(3), np.ones(3), np.array([1.0, -1.0, 0.1]), np.zeros(3)])
    monkeypatch.setattr(fusion_weight, "_precision", lambda *_: next(figures))
    chosen = choose_weight(own, truth, weights=(0.0, 1.0))
    assert chosen.value == 0 and chosen.gain > 0 > chosen.low


def test_unknown_cameras_and_vehicles_of_one_image():
    own, truth = vehicles_seen(12)
    one_camera = Features(own.embeddings, own.pids, np.zeros_like(own.camids), own.views, own.is_query)
    assert choose_weight(one_camera, truth).value > 0
    alone = own.subset(np.unique(own.pids, return_index=True)[1])
    assert choose_weight(alone, truth[: len(alone)]).value == 0


def test_weight_zero_is_the_own_feature():
    own = torch.from_numpy(vehicles_seen(3)[0].embeddings)
    views = torch.tensor([0, 1, 2, -1]).repeat(len(own))[: len(own)]
    both = fuse(own, own.flip(0), views, weight=0.0)
    torch.testing.assert_close(both, torch.cat([own, own], dim=1) * 2**-0.5)
    torch.testing.assert_close(fuse(own, own.flip(0), views, weight=1.0), fuse(own, own.flip(0), views))


def test_the_loader_reads_as_a_test_does_and_no_more_than_it_must(datamanager, monkeypatch):
    monkeypatch.setattr(fusion_weight, "VEHICLES", 4)
    monkeypatch.setattr(fusion_weight, "IMAGES", 2)
    items = datamanager.train_loader.dataset.train
    like = datamanager.test_loader["veri776"]["gallery"]
    data = [sample for batch in loader_of(items, like) for sample in zip(batch["impath"], batch["pid"].tolist())]
    assert len(data) == 8 and len({pid for _, pid in data}) == 4
    assert set(data) <= {(item[0], item[1]) for item in items}
    assert len(like.dataset.data) == len(datamanager.test_loader["veri776"]["gallery"].dataset.data) > 8


def run(engine, folder, **options):
    return engine.run(save_dir=str(folder), progress=False, test_untrained=False, **options)


def test_a_run_chooses_keeps_and_uses_the_weight(datamanager, tmp_path, monkeypatch):
    def engine():
        made = build_engine(datamanager, ("view",), scheme_options=dict(residual=False))
        made.schemes[0].weigh(None)
        return made

    first, chosen = engine(), iter([0.25, 0.0])
    monkeypatch.setattr(
        "ealn_plugin.engine.evaluating.choose_weight",
        lambda own, other, fusion, seed: fusion_weight.Weight(next(chosen), 0.1, 0.05, len(own)),
    )
    fused = run(first, tmp_path, max_epoch=2)["datasets"]
    assert first.schemes[0].fusion_weight == 0.25 and first.own_results and first.own_results != fused
    again = engine()
    assert run(again, tmp_path, max_epoch=2, test_only=True, resume=str(tmp_path))["datasets"] == fused
    assert again.schemes[0].fusion_weight == 0.25
    last = engine()
    plain = run(last, tmp_path, max_epoch=3, resume=str(tmp_path))["datasets"]
    assert last.schemes[0].fusion_weight == 0 and last.own_results == {}
    last.schemes[0].weigh(1.0)
    assert last.test(progress=False) != plain and last.own_results == plain, "the own feature comes out exactly"


def test_checkpoints_of_earlier_versions_have_no_weight(datamanager, tmp_path):
    engine = build_engine(datamanager, ("view",))
    run(engine, tmp_path, max_epoch=1)
    path = str(tmp_path / checkpoint.LAST)
    content = checkpoint.load(path)
    del content["schemes"]["view"]["chosen_weight"]
    torch.save(content, path)
    restored = build_engine(datamanager, ("view",))
    state.restore(restored, path)
    assert restored.epoch == 1 and restored.schemes[0].fusion_weight == 1.0


def test_the_key_of_the_configuration():
    for given, expected, chooses in ((1.0, 1.0, False), (0.5, 0.5, False), (-1, 1.0, True)):
        options = ["ealn.scheme", "hard_view", "ealn.fusion_weight", given, "ealn.generator.filters", 4]
        hard, view = build.build_schemes(config.load_config(options=options))
        assert (view.fusion_weight, view.chooses_weight, hard.chooses_weight) == (expected, chooses, False)
    with pytest.raises(ValueError, match="weight of the other view is 2"):
        view.weigh(2)


def test_what_is_made_of_a_run_has_its_weight(veri_root, tmp_path):
    options = ["ealn.fusion_weight", -1, "ealn.view_embedding_off_epochs", 0]
    run = load_run(train_run(tmp_path, veri_root, "view", options))
    images, views = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, -1])
    for weight in (0.5, 0.0):
        run.schemes[0].chosen_weight.fill_(weight)
        graphs = {graph.name: graph for graph in graphs_of(run, lambda *_: {})}
        extractor = FeatureExtractor(run)
        with torch.no_grad():
            own, fused = run.extraction().batch(images, views)
            found = extractor(images, views.tolist())
            if weight:
                torch.testing.assert_close(graphs["fused"].module(images, views), fused)
        assert extractor.identity["fusion"] == ("by_view, weight 0.5" if weight else "")
        assert list(graphs) == (["embedding", "fused"] if weight else ["embedding"])
        assert found.shape == ((4, 2 * run.dim) if weight else (4, run.dim)) and (fused is None) == (not weight)
        whole = run.extraction()
        whole.weight = 1.0
        assert not weight or not torch.allclose(whole.batch(images, views)[1], fused)
