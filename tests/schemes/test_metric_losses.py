"""schemes/metric_losses.py: each is the sum of its losses on what the network returns; what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from ealn_plugin.losses.cascade import cascaded_contrastive_loss
from ealn_plugin.losses.coupled_clusters import coupled_clusters_loss
from ealn_plugin.losses.group_sensitive import group_images, mean_valued_triplets
from ealn_plugin.schemes import CascadeScheme, CoupledClustersScheme, GroupSensitiveScheme
from ealn_plugin.schemes.base import Batch
from tests.helpers.naive import unit_rows
from tests.helpers.standins import build_datamanager, build_engine

PIDS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])


def make_batch(models=(4, 4, 4, 7, 7, 7, -1, -1), outputs=()):
    nothing = torch.full((8,), -1)
    codes = None if models is None else torch.tensor(models)
    return Batch(torch.zeros(8, 3, 16, 16), PIDS, nothing, nothing, models=codes, outputs=dict(outputs))


def test_coupled_clusters_and_the_models_that_are_known():
    real, logits = unit_rows(8, 4, torch.float32), torch.randn(8, 1000, requires_grad=True)
    scheme = CoupledClustersScheme(alpha=0.7, lambda_ed=0.5, model_weight=2.0)
    loss, parts = scheme.embedding_loss(make_batch(outputs={"models": logits}), real, {})
    clusters = coupled_clusters_loss(real, PIDS, 0.7)
    models = F.cross_entropy(logits[:6], torch.tensor([4, 4, 4, 7, 7, 7]))
    torch.testing.assert_close(loss, 0.5 * (clusters + 2.0 * models))
    torch.testing.assert_close(parts["loss/E_models"], models.detach())
    unknown, _ = scheme.embedding_loss(make_batch(None, {"models": logits}), real, {})
    torch.testing.assert_close(unknown, 0.5 * clusters)


def test_the_cascade_adds_up_its_levels():
    levels = unit_rows(24, 4).view(8, 3, 4)
    scheme = CascadeScheme(shares=(1.0, 0.4, 0.1), margin=1.1, lambda_ed=0.5)
    loss, parts = scheme.embedding_loss(make_batch(outputs={"levels": levels}), levels[:, 0], {})
    expected = cascaded_contrastive_loss(levels, PIDS, (1.0, 0.4, 0.1), 1.1)
    torch.testing.assert_close(loss, 0.5 * expected.sum())
    assert [float(parts[f"loss/E_level{n}"]) for n in (1, 2, 3)] == pytest.approx(expected.tolist())


def test_group_sensitive_triplets_of_the_groups_of_the_batch():
    real = unit_rows(8, 4)
    scheme = GroupSensitiveScheme(groups=2, alpha=1.3, intra=3.0, lambda_ed=0.5)
    loss, parts = scheme.embedding_loss(make_batch(), real, {})
    inter, intra = mean_valued_triplets(real, PIDS, group_images(real.detach(), PIDS, 2), 1.3, 3.0)
    torch.testing.assert_close(loss, 0.5 * (inter + intra))
    assert intra > 0 and parts["loss/E_intra"] == intra and not parts["loss/E_intra"].requires_grad


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CascadeScheme(shares=(0.2, 0.5)), "expected values in"),
        (lambda: CascadeScheme(margin=3.0), "margin is 3.0"),
        (lambda: CoupledClustersScheme(model_weight=-1.0), "model_weight is -1.0"),
        (lambda: GroupSensitiveScheme(groups=0), "groups is 0"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_network_that_does_not_go_with_it_is_refused(veri_root):
    with pytest.raises(ValueError, match="needs a network that returns levels in training, but TinyBackbone returns"):
        build_engine(build_datamanager(veri_root), ("hdc",))


def test_it_acts_in_the_warm_up_too(veri_root, tmp_path):
    engine, seen = build_engine(build_datamanager(veri_root), ("gste",), warmup_epochs=1, warmup_generator_epochs=0), []
    train = engine.step
    engine.step = lambda images, batch, stage: seen.append((stage.name, train(images, batch, stage))) or seen[-1][1]
    engine.run(save_dir=str(tmp_path), max_epoch=2, progress=False, test_untrained=False)
    assert {stage for stage, _ in seen} == {"embedding", "joint"}
    assert all("loss/E_inter" in values for _, values in seen)
