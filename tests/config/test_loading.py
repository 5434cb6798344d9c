"""ealn_plugin/config/loading.py: files, flags and pairs merge in order; every slip is one sentence."""

import glob
import itertools
import os

import pytest
import yaml

from ealn_plugin import config

CONFIGS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "configs")


def test_order_of_precedence(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("data: {root: from-file, sources: [vehicleid]}\ntrain: {lr: 1}\nealn: {alpha: 0.5}\n")
    cfg = config.load_config(
        str(path),
        ["ealn.alpha", "0.25", "data.targets", "['a', 'b']", "data.workers", "0"],
        root="from-flag",
        transforms=["random_crop"],
    )
    assert cfg.data.root == "from-flag" and cfg.data.sources == ["vehicleid"] and cfg.data.targets == ["a", "b"]
    assert cfg.train.lr == 1.0 and type(cfg.train.lr) is float
    assert cfg.ealn.alpha == 0.25 and cfg.data.transforms == ["random_crop"] and cfg.data.workers == 0


def test_old_names_still_work_with_one_warning_for_each_source(tmp_path, caplog):
    path = tmp_path / "old.yaml"
    path.write_text("ealn: {optim: sgd, lr: 0.5, beta_1: 0.25, beta1: 0.75}\n")
    for _ in range(2):
        cfg = config.load_config(str(path), ["ealn.beta_2", "0.125", "ealn.lr", 0.25])
    assert (cfg.ealn.gan_optim, cfg.ealn.gan_lr, cfg.ealn.gan_beta1, cfg.ealn.gan_beta2) == ("sgd", 0.25, 0.25, 0.125)
    assert cfg.ealn.beta1 == 0.75 and "lr" not in cfg.ealn
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2 and warnings[0].startswith(f"{path}: ealn.optim is now called ealn.gan_optim, ealn.lr is")
    assert warnings[1].startswith("the command line: ealn.beta_2 is now called ealn.gan_beta2, ealn.lr is now called")


@pytest.mark.parametrize(
    "text, key, value",
    [
        ("1e-4", "train.lr", 1e-4),
        ("1", "ealn.lambda_ed", 1.0),
        ("true", "ealn.refresh_fakes", True),
        ("False", "use_gpu", False),
        ("veri776", "data.sources", ["veri776"]),
        ("2024", "data.save_dir", "2024"),
        ("[1, 2]", "test.ranks", [1, 2]),
        ("log/a b", "data.save_dir", "log/a b"),
    ],
)
def test_values_from_the_command_line(text, key, value):
    found = config.flat(config.load_config(options=[key, text]))[key]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "options, message",
    [
        (["ealn.aplha", "1"], "unknown config key 'ealn.aplha' in the command line; did you mean ealn.alpha"),
        (["nothing.like.it", "1"], "unknown config key 'nothing.like.it'"),
        (["train.lr", "fast"], "train.lr is 'fast' in the command line, expected float"),
        (["train.max_epoch", "2.5"], "train.max_epoch is 2.5 .* expected int"),
        (["use_gpu", "1"], "use_gpu is 1 .* expected bool"),
        (["train.max_epoch"], "not pairs of KEY VALUE: the last one, 'train.max_epoch'"),
        (["ealn.alpha", "4.5"], "ealn.alpha is 4.5, expected a value from 0 to 4"),
        (["ealn.beta1", "-0.1"], "ealn.beta1 is -0.1"),
        (["ealn.beta2", "nan"], "ealn.beta2 is nan"),
        (["train.batch_size", "10"], "train.batch_size is 10, which sampler.num_instances 4 does not divide; use 8"),
        (["train.batch_size", "4"], "holds a single identity"),
        (["data.height", "62"], "data.height is 62, expected a multiple of 4.*use 60"),
        (["data.width", "8"], "data.width is 8, expected at least 16"),
        (["ealn.scheme", "both"], "ealn.scheme is 'both', expected one of 'en', 'hard', 'view', 'hard_view'"),
        (["ealn.negatives", "easy"], "ealn.negatives is 'easy'"),
        (["ealn.gan_loss", "wgan"], "ealn.gan_loss is 'wgan'"),
        (["loss.triplet.weight_t", "0", "loss.triplet.weight_x", "0"], "both 0"),
        (["data.sources", "[]"], "data.sources is empty"),
        (["train.seed", "-1"], "train.seed is -1"),
        (["train.seed", "9" * 23], "train.seed is 9+, expected a value from 0"),
        (["ealn.gan_beta1", "1.0"], "gan_beta1 is 1.0"),
        (["train.stepsize", "[]"], "train.stepsize is .*expected a list of int"),
        (["test.ranks", "['a']"], "test.ranks is"),
        (["train.stepsize", "['a']"], "train.stepsize is"),
        (["data.transforms", "random_flop"], "data.transforms holds 'random_flop'.*did you mean random_flip"),
        (["ealn.view_order", "['front', 'front']"], "ealn.view_order is"),
        (["data.type", "video"], "data.type is 'video'"),
        (["train.start_epoch", "3"], "train.start_epoch is 3"),
        (["data.k_tfm", "2"], "data.k_tfm is 2"),
        (["ealn.generator.blocks", "-1"], "ealn.generator.blocks is -1"),
        (["ealn.degrade", "1.5"], "ealn.degrade is 1.5, expected a value from 0 to 1"),
        (["ealn.stargan.lambda_gp", "-1"], "ealn.stargan.lambda_gp is -1"),
    ],
)
def test_slips_get_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        config.load_config(options=options)


@pytest.mark.parametrize("value", ["fast", "1", "", "AUTO", "[True]"])
def test_precision_is_true_false_or_auto(tmp_path, value):
    message = r"ealn.amp is .*, expected false, true or auto$"
    with pytest.raises(ValueError, match=message):
        config.load_config(options=["ealn.amp", value])
    (tmp_path / "a.yaml").write_text(f"ealn: {{amp: {value or repr('')}}}")
    with pytest.raises(ValueError, match=message):
        config.load_config(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("there, then", list(itertools.product(("true", "false", "auto"), ("true", "False", "auto"))))
def test_precision_in_a_file_and_on_the_command_line(tmp_path, there, then):
    meant = {"true": True, "false": False, "auto": "auto"}
    (tmp_path / "a.yaml").write_text(f"ealn: {{amp: {there}}}")
    assert config.load_config(str(tmp_path / "a.yaml")).ealn.amp == meant[there]
    cfg = config.load_config(str(tmp_path / "a.yaml"), ["ealn.amp", then])
    assert cfg.ealn.amp == meant[then.lower()]
    (tmp_path / "b.yaml").write_text(cfg.dump())  # as a run keeps it
    assert config.load_config(str(tmp_path / "b.yaml")) == cfg


@pytest.mark.parametrize("scheme", config.GENERATOR_FREE)
def test_image_sizes_are_free_without_generators(scheme):
    assert config.load_config(options=["ealn.scheme", scheme, "data.height", "62"]).data.height == 62


def test_batches_of_other_samplers_need_no_instances():
    cfg = config.load_config(options=["sampler.train_sampler", "RandomSampler", "train.batch_size", "10"])
    assert cfg.train.batch_size == 10


@pytest.mark.parametrize(
    "text, message",
    [
        ("train: {lr: 1", r"a.yaml, line \d+: not valid YAML"),
        ("- 1\n- 2", "a.yaml: expected a tree"),
        ("ealn: {alfa: 1}", "unknown config key 'ealn.alfa' in .*a.yaml; did you mean ealn.alpha"),
        ("train: 3", "train is 3 in .*a.yaml"),
        ("data: {height: tall}", "data.height is 'tall' in .*a.yaml"),
    ],
)
def test_files_with_slips(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        config.load_config(str(path))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="--config-file .*nowhere.yaml' does not exist"):
        config.load_config(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        config.load_config(str(tmp_path / "binary"))
    (tmp_path / "empty").touch()
    assert config.load_config(str(tmp_path / "empty")) == config.load_config()


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(CONFIGS, "*.yaml"))), ids=os.path.basename)
def test_the_projects_own_files(path):
    cfg = config.load_config(path)
    assert f"configs/{os.path.basename(path)}" in open(path, encoding="utf-8").read()
    assert cfg.data.save_dir == f"log/{os.path.splitext(os.path.basename(path))[0]}"


@pytest.mark.parametrize(
    "name, backbone, scheme", [("ealn_veri", "vgg_cnn_m_1024", "hard_view"), ("ealn_vehicleid", "resnet50", "hard")]
)
def test_the_papers_settings(name, backbone, scheme):
    """Section III-E of the paper."""
    cfg = config.load_config(os.path.join(CONFIGS, f"{name}.yaml"))
    expected = {
        "model.name": backbone,
        "ealn.scheme": scheme,
        "data.height": 224,
        "data.width": 224,
        "train.batch_size": 4,
        "train.max_epoch": 50,
        "train.lr": 0.001,
        "sgd.momentum": 0.9,
        "train.weight_decay": 0.0002,
        "ealn.gan_lr": 0.0002,
        "loss.triplet.margin": 0.6,
        "ealn.alpha": 0.6,
        "ealn.beta1": 0.6,
        "ealn.beta2": 0.3,
        "ealn.lambda_ed": 1.0,
        "ealn.lambda_cyc": 10.0,
        "ealn.constant_epochs": 20,
        "ealn.view_embedding_off_epochs": 10,
        "ealn.warmup_epochs": 0,
        "ealn.generator.residual": False,
        "ealn.generator.blocks": 9,
        "ealn.degrade": 0.0,
        "ealn.reconstructions": False,
        "ealn.adaptive_weight": 0.0,
        "ealn.discriminator_steps": 1,
        "ealn.generator.filters": 64,
        "train.lr_scheduler": "linear",
        "ealn.gan_loss": "vanilla",
    }
    found = config.flat(cfg)
    assert {key: found[key] for key in expected} == expected


def test_what_is_recorded_does_not_say_where_the_run_lives():
    options = ["data.root", "/somewhere", "data.save_dir", "/else", "model.resume", "/else"]
    tree = config.recorded(config.load_config(options=options))
    assert "somewhere" not in yaml.safe_dump(tree) and "else" not in yaml.safe_dump(tree).replace("false", "")
    assert tree == config.recorded(config.load_config())


def test_pairs_behind_a_flag_with_several_values():
    flags, pairs = config.split_arguments(
        ["--config-file", "configs/ealn.yaml", "-s", "veri776", "market1501", "train.lr", "1", "data.root", "a.b/c"]
    )
    assert flags == ["--config-file", "configs/ealn.yaml", "-s", "veri776", "market1501"]
    assert pairs == ["train.lr", "1", "data.root", "a.b/c"]
    assert config.split_arguments(["--root", "data.v1/x"]) == (["--root", "data.v1/x"], [])
    assert config.split_arguments(["--root", "x", "use_gpu", "False"])[1] == ["use_gpu", "False"]
    assert config.split_arguments(["train", "--json", "train.json", "--rounds", "2", "train.lr", "1"]) == (
        ["train", "--json", "train.json", "--rounds", "2"],
        ["train.lr", "1"],
    )
    assert config.split_arguments(["--config-file", "ealn.yaml", "ealn.alpha", "1"]) == (
        ["--config-file", "ealn.yaml"],
        ["ealn.alpha", "1"],
    )
    assert config.split_arguments(["ealn.alhpa", "1"])[1] == ["ealn.alhpa", "1"]
    flags, pairs = config.split_arguments(
        ["train", "ealn.seed", "-1", "--scales", "1", "2", "use_gpu", "False", "odd", "--json", "f"]
    )
    assert flags == ["train", "--scales", "1", "2", "--json", "f"]
    assert pairs == ["ealn.seed", "-1", "use_gpu", "False", "odd"]
