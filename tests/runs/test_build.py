"""ealn_plugin/runs/build.py: what the config keys become."""

import pytest
import torch

from ealn_plugin import config
from ealn_plugin.engine.schedule import JOINT, linear_factor, stage_of
from ealn_plugin.runs import build
from tests.helpers.pages import ROOT


def load(*options):
    return config.load_config(
        options=[
            "ealn.generator.filters",
            "4",
            "ealn.generator.blocks",
            "1",
            "ealn.discriminator.filters",
            "4",
            *options,
        ]
    )


@pytest.mark.parametrize(
    "name, expected",
    [
        ("en", []),
        ("hard", ["hard"]),
        ("view", ["view"]),
        ("hard_view", ["hard", "view"]),
        ("cyclegan", ["cyclegan"]),
        ("hard_stargan", ["hard", "stargan"]),
        ("en_mix", ["mix"]),
        ("en_perturb", ["perturb"]),
        ("en_paste", ["paste"]),
        ("hard_truth", ["truth"]),
    ],
)
def test_the_ablation_is_composition(name, expected):
    assert [scheme.name for scheme in build.build_schemes(load("ealn.scheme", name))] == expected


def test_options_reach_the_schemes():
    hard, view = build.build_schemes(
        load(
            "ealn.alpha",
            "0.5",
            "ealn.beta1",
            "0.4",
            "ealn.beta2",
            "0.2",
            "ealn.lambda_ed",
            "2",
            "ealn.lambda_cyc",
            "3",
            "ealn.distance",
            "euclidean",
            "ealn.negatives",
            "hardest",
            "ealn.gan_loss",
            "lsgan",
            "ealn.view_embedding_off_epochs",
            "4",
            "ealn.generator.residual",
            "True",
            "ealn.generator.padding",
            "zero",
        )
    )
    assert (hard.beta1, hard.beta2, view.lambda_cyc, view.embedding_off_epochs) == (0.4, 0.2, 3, 4)
    for scheme in (hard, view):
        assert (scheme.alpha, scheme.lambda_ed, scheme.distance) == (0.5, 2, "euclidean")
        assert (scheme.negatives, scheme.gan_loss) == ("hardest", "lsgan")
        assert all(generator.residual for generator in scheme.generators.values())


def test_options_reach_the_comparators_and_controls():
    (star,) = build.build_schemes(
        load(
            "ealn.scheme",
            "stargan",
            "ealn.stargan.lambda_gp",
            "3",
            "data.height",
            "64",
            "data.width",
            "96",
            "ealn.generator.residual",
            "True",
        )
    )
    assert (star.lambda_cls, star.lambda_rec, star.lambda_gp) == (1, 10, 3)
    assert star.generators["any"].residual and star.discriminators["critic"].image_size == (64, 96)
    (cycle,) = build.build_schemes(load("ealn.scheme", "cyclegan", "ealn.gan_loss", "lsgan", "ealn.lambda_cyc", "3"))
    assert (cycle.gan_loss, cycle.lambda_cyc, cycle.lambda_ed) == ("lsgan", 3, 0)
    (mix,) = build.build_schemes(load("ealn.scheme", "en_mix", "ealn.negatives", "hardest", "ealn.alpha", "0.3"))
    assert (mix.negatives, mix.alpha) == ("hardest", 0.3)


def test_options_reach_the_editing_schemes():
    options = (
        "ealn.hard.choose",
        "belt",
        "ealn.hard.candidates",
        "5",
        "ealn.hard.radii",
        "[0.1, 0.2]",
        "ealn.beta1",
        "0.4",
    )
    (edit,) = build.build_schemes(
        load(
            "ealn.scheme",
            "hard",
            "ealn.hard.generator",
            "edit",
            "ealn.hard.learn",
            "False",
            "ealn.lambda_ed",
            "2",
            *options,
        )
    )
    (blend,) = build.build_schemes(
        load(
            "ealn.scheme",
            "hard",
            "ealn.hard.generator",
            "edit",
            "ealn.hard.content",
            "blend",
            "ealn.hard.neutral",
            "own",
        )
    )
    (paste,) = build.build_schemes(load("ealn.scheme", "en_paste", *options))
    assert type(edit).__name__ == "EditingScheme" and (edit.learn, edit.content, edit.lambda_ed) == (
        False,
        "repaint",
        2,
    )
    for scheme in (edit, paste):
        assert (scheme.choose, scheme.candidates, scheme.radii, scheme.beta1) == ("belt", 5, (0.1, 0.2), 0.4)
    assert blend.pastes and blend.neutral == "own" and not len(paste.generators)


def test_remedies_are_off_unless_asked_for():
    for scheme in build.build_schemes(load()):
        assert scheme.adaptive_weight == 0 and not getattr(scheme, "reconstructions", False)
    hard, view = build.build_schemes(
        load("ealn.adaptive_weight", "0.2", "ealn.reconstructions", "True", "ealn.lambda_rec", "5")
    )
    assert hard.adaptive_weight == view.adaptive_weight == 0.2
    assert hard.reconstructions and hard.lambda_rec == 5 and hasattr(hard.generators["hard"], "both")


def test_the_papers_schedule_for_the_embedding_network():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    scheduler = build.build_scheduler(load("train.max_epoch", "5"), optimizer)
    for epoch in range(5):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * linear_factor(epoch, 5, 2))
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    "name, kind", [("single_step", "StepLR"), ("multi_step", "MultiStepLR"), ("cosine", "CosineAnnealingLR")]
)
def test_torchreids_schedules(name, kind):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = build.build_scheduler(load("train.lr_scheduler", name, "train.stepsize", "[1, 2]"), optimizer)
    assert type(scheduler).__name__ == kind


def test_the_grids_configuration_trains_the_whole_method():
    """In at least one epoch of configs/ealn_synthetic_grid.yaml everything learns, Eq. 10 included."""
    cfg = config.load_config(str(ROOT / "configs" / "ealn_synthetic_grid.yaml"))
    warmup = (cfg.ealn.warmup_epochs, cfg.ealn.warmup_generator_epochs)
    view, whole = build.build_schemes(cfg)[1], 0
    for epoch in range(cfg.train.max_epoch):
        view.begin_epoch(epoch - sum(warmup), cfg.train.max_epoch - sum(warmup))
        whole += stage_of(epoch, *warmup) == JOINT and view.embedding_active
    assert whole >= 1


def test_vggm_is_built_for_the_image_size():
    with torch.device("meta"):
        model = build.build_embedding_backbone(
            load(
                "model.name",
                "vgg_cnn_m_1024",
                "data.height",
                "64",
                "data.width",
                "96",
                "model.pretrained",
                "False",
                "ealn.vggm_feature",
                "before_relu",
            ),
            7,
        )
        logits, features = model.train()(torch.rand(2, 3, 64, 96))
    assert features.shape == (2, 1024) and logits.shape == (2, 7)


@pytest.mark.parametrize("kind", ["linear", "cosine", "single_step", "multi_step"])
def test_every_schedule_can_warm_up(kind):
    options = ["train.lr_scheduler", kind, "train.max_epoch", 9, "train.stepsize", [4, 6], "train.lr", 0.5]

    def rates(*more):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        scheduler, found = build.build_scheduler(load(*options, *more), optimizer), []
        for _ in range(9):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    plain, warmed = rates(), rates("ealn.lr_warmup_epochs", 3)
    assert warmed[:3] == pytest.approx([0.5 / 3, 1 / 3, 0.5])
    assert warmed[3:] == sorted(warmed[3:], reverse=True)
    if kind != "cosine":  # which falls over the epochs that are left
        assert warmed[3:] == pytest.approx(plain[3:])
    with pytest.raises(ValueError, match="ealn.lr_warmup_epochs is 9, but the run has 9 epochs"):
        rates("ealn.lr_warmup_epochs", 9)


def test_a_timm_model_is_built_for_the_images_and_says_which(caplog):
    pytest.importorskip("timm")
    with caplog.at_level("INFO"):
        model = build.build_embedding_backbone(
            load(
                "model.name",
                "timm:vit_tiny_patch16_224",
                "model.pretrained",
                False,
                "data.height",
                32,
                "ealn.scheme",
                "en",
            ),
            7,
        )
    logits, features = model.train()(torch.rand(2, 3, 32, 224))
    assert logits.shape == (2, 7) and features.shape == (2, 192)
    assert "images of 32 x 224 pixels, norm_mean [0.5, 0.5, 0.5]" in caplog.text
    assert "as set; its own pretrained config has height 224" in caplog.text
