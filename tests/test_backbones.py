"""Four families of timm's models trained, resumed, exported and drawn; schemes on the bag of tricks."""

import shutil

import pytest
import torch

from ealn_plugin import FeatureExtractor, export
from ealn_plugin.engine import ealn
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.export.metadata import metadata_of
from ealn_plugin.models.timm_backbone import timm_input
from ealn_plugin.runs import loading
from ealn_plugin.visualization.responses import last_response
from tests.helpers.run_contents import flattened
from tests.helpers.standins import train_run

FAMILIES = {
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 32,
    "vit_small_patch14_reg4_dinov2": 28,
    "tf_efficientnet_lite0": 32,
}
TRICKS = [
    "ealn.neck",
    "after",
    "ealn.lr_warmup_epochs",
    1,
    "train.lr_scheduler",
    "cosine",
    "ealn.triplets",
    "batch_hard",
]
TRICKS += ["loss.softmax.label_smooth", True, "data.transforms", ["random_flip", "random_erase"]]


def keep_first_epoch(patch, copy):
    """Have the engine leave a copy of the run's folder as it is after its first epoch."""
    save = ealn.state.save_epoch

    def saving(engine, folder, is_best):
        save(engine, folder, is_best)
        if engine.epoch == 0:
            shutil.copytree(folder, copy)

    patch.setattr(ealn.state, "save_epoch", saving)


def train_and_go_on(folder, root, options, scheme="hard_view"):
    """A run of two epochs, and one that goes on from its first epoch: the same to the last bit."""
    options = ["train.max_epoch", 2, *options]
    with pytest.MonkeyPatch.context() as patch:
        keep_first_epoch(patch, folder / "first")
        run = train_run(folder / "run", root, scheme, options)
    train_run(folder / "first", root, scheme, [*options, "model.resume", str(folder / "first")])
    whole, again = (flattened(checkpoint.load(str(place / checkpoint.LAST))) for place in (run, folder / "first"))
    assert whole["epoch"] == 2 and whole == again
    assert (run / "results.json").read_bytes() == (folder / "first" / "results.json").read_bytes()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_trained_resumed_exported_and_drawn(name, veri_root, tmp_path):
    pytest.importorskip("timm")
    size = FAMILIES[name]
    options = ["model.name", f"timm:{name}", "data.height", size, "data.width", size]
    run = loading.load_run(train_and_go_on(tmp_path, veri_root, options))
    own = timm_input(f"timm:{name}")
    assert run.normalization == (own["mean"], own["std"]) and run.size == (size, size)
    images = torch.randn(2, 3, size, size)
    maps = last_response(run.embedding.backbone, images)
    assert maps.shape == (2, *([2, 2] if "vit" in name else [1, 1])) and maps.min() > 0
    assert FeatureExtractor(run)(torch.rand(3, 3, size, size)).shape == (3, 2 * run.dim)  # fused
    pytest.importorskip("onnxruntime")
    graph = export.graphs_of(run, metadata_of(run))[0]
    assert all(file.difference < 1e-4 for file in export.export_graph(graph, str(tmp_path), ("onnx",)))


@pytest.mark.slow
@pytest.mark.parametrize("more", [["ealn.amp", True], ["ealn.compile", True], ["ealn.channels_last", False]])
def test_what_makes_steps_faster_takes_them(more, veri_root, tmp_path):
    pytest.importorskip("timm")
    if "ealn.compile" in more and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    options = ["model.name", "timm:convnext_atto", "ealn.test_untrained", False, *more]
    assert (train_run(tmp_path / "run", veri_root, "hard", options) / "results.json").exists()


def test_schemes_work_on_the_bag_of_tricks(veri_root, tmp_path):
    options = ["model.name", "resnet_small", "ealn.last_stride", 1, *TRICKS]
    run = loading.load_run(train_and_go_on(tmp_path, veri_root, options, "hard"))
    backbone, images = run.embedding.backbone, torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone(images), backbone.neck(backbone.backbone(images)))
    assert last_response(backbone, images).shape == (2, 4, 4)
    rates = [
        group["lr"] for group in checkpoint.load(str(tmp_path / "run" / checkpoint.LAST))["optimizer"]["param_groups"]
    ]
    assert rates == [0.0]  # behind the cosine
