"""ealn_plugin/config/backbones.py: images of a timm model's own size and normalization, unless set."""

import pytest
import torch  # noqa: F401 - before anything that imports timm

from ealn_plugin import config as configuration
from ealn_plugin.config import backbones
from ealn_plugin.models import timm_backbone

EN = ["ealn.scheme", "en"]
VIT = ["model.name", "timm:vit_tiny_patch16_224"]
DINO = ["model.name", "timm:vit_small_patch14_reg4_dinov2"]


def load(*options, **flags):
    return configuration.load_config(options=list(options), **flags)


def images(config):
    return config.data.height, config.data.width, config.data.norm_mean[0], config.data.norm_std[0]


def test_the_prefix_is_that_of_the_models():
    assert backbones.TIMM == timm_backbone.PREFIX


def test_what_nobody_sets_is_the_models_own(tmp_path):
    pytest.importorskip("timm")
    assert images(load(*EN)) == (224, 224, 0.485, 0.229)
    assert images(load(*EN, *VIT)) == (224, 224, 0.5, 0.5)
    assert images(load(*EN, *DINO)) == (518, 518, 0.485, 0.229)
    assert images(load(*EN, *VIT, "data.height", 32, "data.norm_std", [0.2, 0.2, 0.2])) == (32, 224, 0.5, 0.2)
    (tmp_path / "mine.yaml").write_text("data: {width: 48}\nmodel: {name: 'timm:vit_tiny_patch16_224'}\n")
    config = configuration.load_config(str(tmp_path / "mine.yaml"), EN)
    assert images(config) == (224, 48, 0.5, 0.5)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(load(*EN, *VIT, "data.norm_mean", [0.1, 0.2, 0.3]).dump())
    assert images(load("model.resume", str(run), training=True)) == (224, 224, 0.1, 0.5)
    assert images(configuration.load_config(str(run / "config.yaml"))) == (224, 224, 0.1, 0.5)


def test_sizes_that_patches_and_generators_cannot_fill():
    pytest.importorskip("timm")
    with pytest.raises(
        ValueError,
        match="data.height is 518, expected a multiple of 28: the generator halves it twice and patches of "
        "timm:vit_small_patch14_reg4_dinov2 have to fill it; use 504",
    ):
        load("ealn.scheme", "hard", *DINO)
    with pytest.raises(ValueError, match="data.width is 50, expected a multiple of 14: patches of .*; use 42"):
        load(*EN, *DINO, "data.width", 50)
    assert load("ealn.scheme", "hard", *VIT, "data.height", 32).data.height == 32


def test_without_timm_other_models_are_as_before_and_a_run_can_be_read(monkeypatch):
    monkeypatch.setattr(timm_backbone, "PACKAGES", ("no_such_package",))
    monkeypatch.setattr(backbones.importlib.util, "find_spec", lambda name: None)
    timm_backbone.timm_input.cache_clear()
    assert images(load(*EN, "model.name", "resnet18")) == (224, 224, 0.485, 0.229)
    given = [item for key in backbones.INPUT for item in (key, [0.5] * 3 if "norm" in key else 50)]
    assert load(*EN, *VIT, *given).data.height == 50
    with pytest.raises(RuntimeError, match=r"no_such_package is not installed, but models called timm:NAME need it"):
        load(*EN, *VIT)
