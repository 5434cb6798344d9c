"""ealn_plugin/runs/foreign_weights.py: checkpoints in others' layouts give the features that their networks give."""

import copy
import logging

import pytest
import torch

from ealn_plugin import config as configuration
from ealn_plugin import export, toolkit
from ealn_plugin.evaluation.features import Features
from ealn_plugin.export.metadata import metadata_of
from ealn_plugin.models import NeckedBackbone, l2_normalize
from ealn_plugin.runs import build, loading
from ealn_plugin.runs.foreign_weights import recognised
from ealn_plugin.runs.weights import load_weights
from tests.helpers import foreign_networks as theirs
from tests.helpers.standins import TinyBackbone
from tests.helpers.tool_modules import load_tool

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
SIZE = dict(height=64, width=64)


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


def fastreid(path, depth="18x", neck="bottleneck.0", power=None, short=0, classes=5, **kinds):
    """Write a FastReID checkpoint; returns its state dict."""
    weights, dim = theirs.resnet_weights(depth, **kinds)
    if power:
        weights["heads.pool_layer.p"] = torch.tensor([power])
    if short:
        weights.conv("heads.bottleneck.0", short, dim, 1)
        dim = short
    if neck:
        weights.norm(f"heads.{neck}", dim)
    weights["heads.weight"] = torch.randn(classes, dim)
    torch.save({"model": dict(weights), "iteration": 7}, path)
    return weights


def feature_of(run):
    with torch.no_grad():
        return run.embedding.backbone(IMAGES)


def test_fastreids_bag_of_tricks(tmp_path, caplog):
    weights = fastreid(tmp_path / "veri.pth")
    with caplog.at_level(logging.INFO):
        run = loading.load_model("resnet18", str(tmp_path / "veri.pth"), **SIZE)
    expected = theirs.normalized(weights, "heads.bottleneck.0", theirs.resnet_maps(weights, IMAGES).mean((2, 3)))
    torch.testing.assert_close(feature_of(run), expected, rtol=1e-4, atol=1e-4)
    assert "checkpoint of FastReID: the last stride taken out, the feature behind its neck" in caplog.text


def test_fastreids_strong_baseline_with_ibn_non_local_blocks_and_generalized_mean(tmp_path):
    non_local = (0, 2, 3, 0)
    weights = fastreid(
        tmp_path / "sbs.pth", "50x", ibn=True, non_local=non_local, power=2.5, short=32, neck="bottleneck.1"
    )
    run = loading.load_model("resnet50_ibn_a", str(tmp_path / "sbs.pth"), **SIZE)
    maps = theirs.resnet_maps(weights, IMAGES, "50x", non_local)
    pooled = maps.clamp(min=1e-6).pow(2.5).mean((2, 3)).pow(1 / 2.5)
    pooled = pooled @ weights["heads.bottleneck.0.weight"].flatten(1).T
    expected = theirs.normalized(weights, "heads.bottleneck.1", pooled)
    torch.testing.assert_close(feature_of(run), expected, rtol=1e-3, atol=1e-3)
    assert run.dim == 32


def test_older_files_and_a_power_that_is_in_no_file(tmp_path):
    weights = fastreid(tmp_path / "older.pth", neck="bnneck", classes=13164)
    run = loading.load_model("resnet18", str(tmp_path / "older.pth"), **SIZE)
    maps = theirs.resnet_maps(weights, IMAGES, ceiled=False)
    expected = theirs.normalized(weights, "heads.bnneck", maps.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3))
    torch.testing.assert_close(feature_of(run), expected, rtol=1e-4, atol=1e-4)


def test_the_baseline_without_a_first_relu_and_testing_through_a_configuration(tmp_path):
    weights, dim = theirs.resnet_weights(prefix="base.")
    weights.norm("bottleneck", dim)
    weights["classifier.weight"] = torch.randn(4, dim)
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "baseline.pth")
    maps = theirs.resnet_maps(weights, IMAGES, prefix="base.", ceiled=False, first_relu=False)
    expected = theirs.normalized(weights, "bottleneck", maps.mean((2, 3)))
    options = [
        "model.name",
        "resnet18",
        "model.pretrained",
        False,
        "model.load_weights",
        str(tmp_path / "baseline.pth"),
    ]
    options += ["data.height", 64, "data.width", 64, "ealn.scheme", "en"]
    tested = build.build_embedding_backbone(configuration.load_config("", [*options, "test.evaluate", True]), 4)
    torch.testing.assert_close(tested.eval()(IMAGES), expected, rtol=1e-4, atol=1e-4)
    begun = build.build_embedding_backbone(configuration.load_config("", options), 4)  # a training keeps its network
    assert torch.equal(begun.layer4[1].conv2.weight, weights["base.layer4.1.conv2.weight"])
    assert begun.layer4[0].conv1.stride == (2, 2) and begun.classifier.out_features == 4


@pytest.mark.parametrize("stride, local", [(16, False), (12, True)])
def test_transreids_global_feature(stride, local, tmp_path, caplog):
    pytest.importorskip("timm")
    weights = theirs.transformer_weights(patches=16 if stride == 16 else 25, local=local)
    torch.save(dict(weights), tmp_path / "transformer_120.pth")
    run = loading.load_model("timm:vit_tiny_patch16_224", str(tmp_path / "transformer_120.pth"), **SIZE)
    expected = theirs.transformer_feature(weights, IMAGES, stride=stride, local=local)
    torch.testing.assert_close(feature_of(run), expected, rtol=1e-3, atol=1e-3)
    assert run.normalization[0] == [0.5, 0.5, 0.5]
    assert ("its global feature alone, b2.0.norm1.weight" in caplog.text) == local
    maps = run.embedding.backbone.feature_maps(IMAGES)
    assert maps.shape == (3, 192, *([4, 4] if stride == 16 else [5, 5]))


def test_what_fits_no_network_is_refused_by_name(tmp_path):
    pytest.importorskip("timm")
    path = str(tmp_path / "weights.pth")

    def refusal(weights, model, **size):
        torch.save(dict(weights), path)
        with pytest.raises(ValueError) as error:
            loading.load_model(model, path, **(size or SIZE))
        return str(error.value)

    text = refusal(theirs.transformer_weights(patches=16, cameras=20), "timm:vit_tiny_patch16_224")
    assert "base.sie_embed has no place in a network here and would change every feature by the camera" in text
    text = refusal(theirs.transformer_weights(patches=256, depth=1), "timm:vit_tiny_patch16_224")
    assert "positions for 256 patches, but images of 64 x 64 pixels have 16" in text
    assert "--height 256 --width 256" in text
    small = theirs.transformer_weights(patches=16, depth=1, local=False)
    assert "body.blocks.1.norm1.weight" in refusal(small, "timm:vit_tiny_patch16_224")
    assert "use it with a vision transformer" in refusal(small, "resnet18")
    plain = fastreid(path)
    assert "use it with a model such as resnet50" in refusal(plain, "osnet_x0_25")
    ibn = fastreid(path, "50x", ibn=True)
    assert "it is resnet50_ibn_a" in refusal(ibn, "resnet50")
    squeezing = {**plain, "backbone.layer1.0.se.fc.0.weight": torch.zeros(4, 64)}
    assert "layer1.0.se.fc.0.weight of the file have no place" in refusal(squeezing, "resnet18")
    assert "heads.attention.weight has no place" in refusal(
        {**plain, "heads.attention.weight": torch.zeros(1)}, "resnet18"
    )


def test_other_files_are_no_foreign_ones_and_timms_own_fit(tmp_path):
    pytest.importorskip("timm")
    model = toolkit.build_model("timm:convnext_atto", 3, use_gpu=False)
    assert recognised(model.state_dict()) is None
    assert recognised(toolkit.build_model("resnet18", 3, use_gpu=False).state_dict()) is None
    body = {name.removeprefix("body."): value + 1 for name, value in model.state_dict().items() if "body." in name}
    torch.save(body, tmp_path / "timm.pth")
    load_weights(model, str(tmp_path / "timm.pth"))
    assert all(torch.equal(model.body.state_dict()[name], value) for name, value in body.items())


def test_the_network_of_a_run_with_a_neck_is_taken_before_it_and_that_is_said(tmp_path, caplog):
    model = TinyBackbone(4)
    torch.save({"state_dict": NeckedBackbone(copy.deepcopy(model), 8, 4).state_dict()}, tmp_path / "model.pth.tar")
    load_weights(TinyBackbone(4), str(tmp_path / "model.pth.tar"))
    assert "is of a run with ealn.neck: its feature before the neck is taken" in caplog.text


def test_commands(veri_root, tmp_path):
    """evaluate and search take such a file; what is exported is the feature that the original gives."""
    weights = fastreid(tmp_path / "veri.pth")
    model = ["--model", "resnet18", "--weights", str(tmp_path / "veri.pth"), "--height", "64", "--width", "64"]
    shared = ["--root", str(veri_root), "--device", "cpu", "--workers", "0"]
    out = ["-t", "veri776", "--out", str(tmp_path / "out"), "--no-figures"]
    assert load_tool("evaluate").main([*model, *shared, *out]) == 0
    stored = Features.load(next((tmp_path / "out").rglob("*.npz")))
    assert stored.embeddings.shape[1] == 512
    pytest.importorskip("faiss")
    index = ["index", "veri776", "--index", str(tmp_path / "index")]
    assert load_tool("search").main([*index, *model, *shared]) == 0
    run = loading.load_model("resnet18", str(tmp_path / "veri.pth"), **SIZE)
    (graph,) = export.graphs_of(run, metadata_of(run))
    maps = theirs.resnet_maps(weights, IMAGES).mean((2, 3))
    expected = l2_normalize(theirs.normalized(weights, "heads.bottleneck.0", maps))
    torch.testing.assert_close(graph.module(IMAGES), expected, rtol=1e-4, atol=1e-4)
