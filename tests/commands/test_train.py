"""commands/train.py: the real command line, from files to results.json, killed, resumed, and fed with nonsense."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from ealn_plugin import config
from ealn_plugin.data.synthetic import presets
from ealn_plugin.engine.checkpoints import file as checkpoint
from tests.helpers.standins import make_veri_folder
from tests.helpers.tool_modules import load_tool

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, "tools", "train_ealn.py")
SMALL = [
    "use_gpu",
    "False",
    "data.height",
    "32",
    "data.width",
    "32",
    "data.workers",
    "0",
    "model.name",
    "osnet_x0_25",
    "model.pretrained",
    "False",
    "train.batch_size",
    "8",
    "sampler.num_instances",
    "2",
    "train.max_epoch",
    "2",
    "train.optim",
    "adam",
    "ealn.generator.filters",
    "4",
    "ealn.generator.blocks",
    "1",
    "ealn.generator.residual",
    "True",
    "ealn.discriminator.filters",
    "4",
    "ealn.discriminator.layers",
    "1",
]


def train(root, save_dir, *options):
    return load_tool("train_ealn").main(
        ["--root", str(root), *SMALL, "data.save_dir", str(save_dir), *map(str, options)]
    )


def results_of(save_dir):
    return json.loads((save_dir / "results.json").read_text())


# hard_truth needs lookalikes and view_truth twins, which a stand-in dataset has not:
# tests/engine/test_true_negatives.py, tests/schemes/test_other_views.py
# the other systems need networks of their own: tests/runs/test_compared.py
OWN = [scheme for scheme in config.SCHEMES if not scheme.endswith("_truth") and scheme not in config.COMPARED]


@pytest.mark.parametrize("scheme", OWN)
def test_every_scheme_from_the_command_line(veri_root, tmp_path, capsys, scheme):
    assert train(veri_root, tmp_path, "ealn.scheme", scheme) == 0
    results = results_of(tmp_path)
    assert set(results) == {"config", "primary", "datasets", "untrained"}
    assert results["primary"] == "veri776/veri_image" and results["config"]["ealn"]["scheme"] == scheme
    for part in ("datasets", "untrained"):
        assert set(results[part]["veri776"]) == {"veri_image", "veri_track", "same_view", "cross_view", "all_views"}
        assert all(0 <= v <= 1 for metrics in results[part]["veri776"].values() for v in metrics.values())
    assert str(tmp_path) not in (tmp_path / "results.json").read_text()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["ealn"]["scheme"] == scheme
    assert "epoch 2/2 (joint)" in (tmp_path / "train.log").read_text()
    assert any(name.startswith("events") for name in os.listdir(tmp_path))
    out = capsys.readouterr().out
    assert (
        "trained" in out
        and "untrained" in out
        and ("without fusion" in out) == (scheme.split("_")[-1] in config.OTHER_VIEW_PARTS)
    )


def test_an_image_cache_changes_nothing(veri_root, tmp_path):
    """A whole run fills it, a second one reads it: results, weights and random states are those without one."""
    options = [
        "data.transforms",
        "['random_flip', 'color_jitter']",
        "data.workers",
        "1",
        "ealn.scheme",
        "en",
        "ealn.test_untrained",
        "False",
    ]
    cache = ["ealn.cache_dir", tmp_path / "cache"]
    for name, more in (("without", []), ("filling", cache), ("reading", cache)):
        assert train(veri_root, tmp_path / name, *options, *more) == 0
    files = [
        (
            (tmp_path / name / "results.json").read_bytes(),
            leaves(checkpoint.load(str(tmp_path / name / checkpoint.LAST))),
        )
        for name in ("without", "filling", "reading")
    ]
    assert files[0] == files[1] == files[2]
    logs = [(tmp_path / name / "train.log").read_text() for name in ("without", "filling", "reading")]
    assert ["decoding 36 images of veri776_train" in log for log in logs] == [False, True, False]
    assert ["36 images of veri776_train from" in log for log in logs] == [False, True, True]


def leaves(tree, path=""):
    """{path: value} of everything in nested dicts and lists; tensors as lists."""
    if isinstance(tree, (dict, list, tuple)):
        named = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, part in named for name, leaf in leaves(part, f"{path}/{key}").items()}
    return {path: tree.tolist() if isinstance(tree, torch.Tensor) else tree}


def test_every_remedy_from_the_command_line(veri_root, tmp_path):
    """A killed run of them goes on bit for bit: tests/engine/test_ealn.py."""
    assert (
        train(
            veri_root,
            tmp_path,
            "ealn.degrade",
            "0.5",
            "ealn.reconstructions",
            "True",
            "ealn.adaptive_weight",
            "0.1",
            "ealn.negatives",
            "semi_hard",
            "ealn.generator.residual",
            "False",
        )
        == 0
    )
    log = (tmp_path / "train.log").read_text()
    for name in ("loss/E_reconstruction", "loss/G_hard_reconstruction", "weight/hard", "weight/view"):
        assert name in log


def test_equal_runs_write_equal_files(veri_root, tmp_path):
    for name in ("a", "b"):
        assert train(veri_root, tmp_path / name) == 0
    assert (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()


def test_testing_alone(veri_root, tmp_path):
    assert train(veri_root, tmp_path / "run") == 0
    assert train(veri_root, tmp_path / "test", "test.evaluate", "True", "model.resume", tmp_path / "run") == 0
    for key in ("datasets", "untrained", "primary"):
        assert results_of(tmp_path / "test")[key] == results_of(tmp_path / "run")[key]
    network = tmp_path / "run" / "model" / "model-last.pth.tar"
    assert (
        train(veri_root, tmp_path / "en", "test.evaluate", "True", "ealn.scheme", "en", "model.load_weights", network)
        == 0
    )
    assert results_of(tmp_path / "en")["untrained"] == {}


def start(root, save_dir, *options):
    command = [sys.executable, TOOL, "--root", str(root), *SMALL, "data.save_dir", str(save_dir), *map(str, options)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.mark.slow  # tests/faults/test_kills_of_runs.py kills at every stage
def test_killed_at_a_random_step_and_resumed(veri_root, tmp_path):
    """SIGKILL, data workers, random augmentation: the same weights and the same results.json, bit for bit."""
    options = [
        "train.max_epoch",
        "6",
        "data.workers",
        "2",
        "ealn.checkpoint_every",
        "1",
        "ealn.warmup_epochs",
        "1",
        "data.transforms",
        "['random_flip', 'color_jitter', 'random_erase']",
        "test.eval_freq",
        "1",
    ]
    whole = start(veri_root, tmp_path / "whole", *options)
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output[-3000:]

    broken = tmp_path / "broken"
    process = start(veri_root, broken, *options)
    deadline = time.monotonic() + 120
    while not (broken / checkpoint.LAST).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0.0, 1.0))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    stopped_at = checkpoint.load(str(broken / checkpoint.LAST))["global_step"]
    again = start(veri_root, broken, *options, "model.resume", broken)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output[-3000:]

    states = [checkpoint.load(str(folder / checkpoint.LAST)) for folder in (tmp_path / "whole", broken)]
    assert 0 < stopped_at <= states[0]["global_step"] == states[1]["global_step"]
    for name, weight in states[0]["model"].items():
        assert torch.equal(weight, states[1]["model"][name]), f"{name} differs after a kill at step {stopped_at}"
    for scheme, weights in states[0]["schemes"].items():
        assert all(torch.equal(weight, states[1]["schemes"][scheme][name]) for name, weight in weights.items())
    assert (tmp_path / "whole" / "results.json").read_bytes() == (broken / "results.json").read_bytes()
    assert not [name for name in os.listdir(broken) if name.startswith(".writing-")]


def test_ctrl_c_saves_and_says_how_to_go_on(veri_root, tmp_path):
    process = start(veri_root, tmp_path / "run", "train.max_epoch", "200", "data.workers", "2")
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / checkpoint.LAST).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: python {TOOL} model.resume {tmp_path / 'run'}" in output and "Traceback" not in output
    assert checkpoint.load(str(tmp_path / "run" / checkpoint.LAST))["global_step"] > 0


def sentence_of(capsys, code=1):
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


def test_a_missing_dataset(tmp_path, capsys):
    assert train(tmp_path / "nowhere", tmp_path / "run") == 1
    sentence = sentence_of(capsys)
    assert str(tmp_path / "nowhere") in sentence and "VeRi" in sentence and "datasets.md" in sentence


@pytest.mark.parametrize(
    "options, expected",
    [
        (["ealn.alhpa", "1"], "did you mean ealn.alpha"),
        (["ealn.alpha", "9"], "ealn.alpha is 9"),
        (["train.batch_size", "9"], "sampler.num_instances 2 does not divide"),
        (["data.height", "34"], "multiple of 4"),
        (["model.name", "resnet5"], "model.name is 'resnet5'"),
        (["model.name", "pcb_p4", "data.height", "64"], "several branches"),
        (["model.resume", "nowhere"], "no such file or folder"),
        (["model.load_weights", "nowhere"], "no such file"),
        (["ealn.discriminator.layers", "5"], "leave no logits"),
        (["data.sources", "veri77"], "veri77"),
        (["ealn.warmup_epochs", "2"], "leave no joint epoch"),
        (["train.batch_size", "64"], "use train.batch_size 12 or less"),
        (["ealn.protocols", "['same_views']", "ealn.test_untrained", "False"], "same_views"),
        (["ealn.view_embedding_off_epochs", "2"], "never learn from the cross views"),
        (["train.fixbase_epoch", "1", "train.open_layers", "['nolayer']"], "open_layers holds 'nolayer'"),
        (["ealn.constant_epochs", "9"], "constant_epochs is 9"),
        (["ealn.protocols", "['veri_images']"], "veri_images"),
    ],
)
def test_nonsense_gets_one_sentence(veri_root, tmp_path, capsys, options, expected):
    assert train(veri_root, tmp_path, *options) == 1
    assert expected in sentence_of(capsys)


def test_a_missing_config_file(tmp_path, capsys):
    assert load_tool("train_ealn").main(["--config-file", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml' does not exist" in sentence_of(capsys)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_named_and_costs_nothing(tmp_path, capsys, workers):
    root = make_veri_folder(tmp_path / "data")
    assert train(root, tmp_path / "run", "train.max_epoch", "1") == 0
    saved = (tmp_path / "run" / checkpoint.LAST).read_bytes()
    capsys.readouterr()
    bad = next((root / "VeRi" / "image_train").iterdir())
    bad.write_bytes(b"not an image")
    assert (
        train(root, tmp_path / "run", "train.max_epoch", "3", "model.resume", tmp_path / "run", "data.workers", workers)
        == 1
    )
    sentence = sentence_of(capsys)
    assert bad.name in sentence and "cannot be decoded" in sentence
    assert (tmp_path / "run" / checkpoint.LAST).read_bytes() == saved


def test_a_truncated_checkpoint(veri_root, tmp_path, capsys):
    assert train(veri_root, tmp_path, "train.max_epoch", "1") == 0
    capsys.readouterr()
    path = tmp_path / checkpoint.LAST
    path.write_bytes(path.read_bytes()[:-1000])
    assert train(veri_root, tmp_path, "train.max_epoch", "1", "model.resume", tmp_path) == 1
    assert "truncated or not a checkpoint; use another one of the run" in sentence_of(capsys)


def test_a_command_that_fails_leaves_a_finished_run_alone(veri_root, tmp_path, capsys):
    assert train(veri_root, tmp_path, "ealn.scheme", "en", "train.max_epoch", "1") == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".log"}
    capsys.readouterr()
    assert train(veri_root, tmp_path, "ealn.scheme", "hard", "model.resume", tmp_path) == 1
    assert train(tmp_path / "nowhere", tmp_path) == 1
    assert train(veri_root, tmp_path, "ealn.scheme", "en", "train.optim", "sgd", "model.resume", tmp_path) == 1
    assert "train.optim is 'sgd', but the run that model.resume names has 'adam'" in capsys.readouterr().err
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".log"}
    assert before == after


def test_a_new_run_in_the_folder_of_another_keeps_it(veri_root, tmp_path):
    for _ in range(2):
        assert train(veri_root, tmp_path, "ealn.scheme", "en", "train.max_epoch", "1") == 0
    assert (tmp_path / "earlier_1" / "results.json").read_bytes() == (tmp_path / "results.json").read_bytes()
    assert (tmp_path / "earlier_1" / checkpoint.LAST).exists() and (tmp_path / checkpoint.LAST).exists()
    assert train(veri_root, tmp_path, "ealn.scheme", "en", "train.max_epoch", "2", "model.resume", tmp_path) == 0
    assert not (tmp_path / "earlier_2").exists()


def test_a_test_that_fails_costs_no_training(tmp_path, capsys):
    root = make_veri_folder(tmp_path / "data")
    bad = next((root / "VeRi" / "image_test").iterdir())
    bad.write_bytes(b"not an image")
    options = ["ealn.scheme", "en", "train.max_epoch", "1", "ealn.test_untrained", "False"]
    assert train(root, tmp_path / "run", *options) == 1
    assert bad.name in sentence_of(capsys)
    saved = checkpoint.load(str(tmp_path / "run" / checkpoint.LAST))
    assert saved["epoch"] == 0 and saved["position"] == saved["global_step"] > 0
    shutil.copy(root / "VeRi" / "image_train" / next(iter(os.listdir(root / "VeRi" / "image_train"))), bad)
    assert train(root, tmp_path / "run", *options, "model.resume", tmp_path / "run") == 0
    assert results_of(tmp_path / "run")["datasets"]


def test_protocols_that_the_data_do_not_support(tmp_path, capsys):
    root = make_veri_folder(tmp_path / "data")
    (root / "VeRi" / "viewpoints.csv").unlink()
    options = ["ealn.scheme", "en", "ealn.protocols", "['same_view']", "test.evaluate", "True"]
    assert train(root, tmp_path / "run", *options) == 1
    assert "none of the protocols same_view can be run on veri776" in sentence_of(capsys)


def test_other_ranks_keep_those_of_the_results_file(veri_root, tmp_path):
    assert train(veri_root, tmp_path, "ealn.scheme", "en", "test.ranks", "[3]", "train.max_epoch", "1") == 0
    metrics = results_of(tmp_path)["datasets"]["veri776"]["veri_image"]
    assert {"mAP", "rank1", "rank3", "rank5", "rank10"} <= set(metrics)


def test_schemes_share_a_warm_up(veri_root, tmp_path):
    """Behind EN's warm-up another scheme is the run that does the warm-up itself, bit for bit."""
    options = ["train.max_epoch", "4", "ealn.warmup_epochs", "2", "ealn.warmup_generator_epochs", "1"]
    assert train(veri_root, tmp_path / "en", *options, "ealn.scheme", "en") == 0
    assert train(veri_root, tmp_path / "whole", *options) == 0
    assert train(veri_root, tmp_path / "behind", *options, "ealn.start_from", tmp_path / "en" / checkpoint.WARMUP) == 0
    whole, behind, en = (checkpoint.load(str(tmp_path / name / checkpoint.LAST)) for name in ("whole", "behind", "en"))
    assert all(torch.equal(value, behind["model"][name]) for name, value in whole["model"].items())
    assert results_of(tmp_path / "whole")["datasets"] == results_of(tmp_path / "behind")["datasets"]
    # two epochs of warm-up and a joint one, but none in which only generators learn
    assert en["global_step"] == pytest.approx(3 / 4 * whole["global_step"], abs=1)


def test_a_warm_up_of_another_length(veri_root, tmp_path, capsys):
    assert (
        train(veri_root, tmp_path / "en", "ealn.scheme", "en", "train.max_epoch", "3", "ealn.warmup_epochs", "1") == 0
    )
    assert (
        train(
            veri_root,
            tmp_path / "run",
            "train.max_epoch",
            "5",
            "ealn.warmup_epochs",
            "2",
            "ealn.start_from",
            tmp_path / "en" / checkpoint.WARMUP,
        )
        == 1
    )
    assert "expected the end of a warm-up of 2 epochs" in sentence_of(capsys)


def test_a_cross_view_scheme_without_labels(tmp_path, capsys):
    root = make_veri_folder(tmp_path / "data")
    (root / "VeRi" / "viewpoints.csv").unlink()
    assert train(root, tmp_path / "run") == 1
    assert "0 are front and 0 are rear" in sentence_of(capsys)
    assert train(root, tmp_path / "run", "ealn.scheme", "hard") == 0


def test_a_malformed_viewpoint_line(tmp_path, capsys):
    root = make_veri_folder(tmp_path / "data")
    path = root / "VeRi" / "viewpoints.csv"
    path.write_text(path.read_text().replace("rear", "behind", 1))
    assert train(root, tmp_path / "run") == 1
    sentence = sentence_of(capsys)
    assert "behind" in sentence and "viewpoints.csv" in sentence and any(c.isdigit() for c in sentence)


def test_an_output_folder_that_cannot_be_used(veri_root, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert train(veri_root, tmp_path / "file" / "run") == 1
    assert "cannot be used" in sentence_of(capsys)


def test_a_disk_that_fills_up(veri_root, tmp_path):
    """Files may not grow beyond 64 KiB: the first checkpoint cannot be written."""
    code = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    options = [*SMALL, "ealn.sample_every", "0", "ealn.test_untrained", "False", "data.save_dir", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, TOOL, "--root", str(veri_root), *options],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "could not be written" in done.stderr and "free some space" in done.stderr
    assert not [name for name in os.listdir(tmp_path / "run") if "checkpoint" in name or name.startswith(".writing")]


@pytest.mark.slow  # CI's main job does that
def test_the_demo_renders_what_is_missing(tmp_path, monkeypatch, capsys):
    """configs/ealn_synthetic.yaml with a preset of a few vehicles, and EN beside it."""
    small = dataclasses.replace(
        presets.PRESETS["tiny"],
        train_vehicles=8,
        train_images=64,
        train_tracks=32,
        test_vehicles=6,
        test_images=36,
        test_tracks=18,
        image_size=48,
    )
    monkeypatch.setitem(presets.PRESETS, "tiny", small)
    arguments = [
        "--config-file",
        os.path.join(ROOT, "configs", "ealn_synthetic.yaml"),
        "--root",
        str(tmp_path / "data"),
        "ealn.render.preset",
        "tiny",
        *SMALL,
        "ealn.cache_dir",
        str(tmp_path / "cache"),
        "train.max_epoch",
        "3",
        "ealn.warmup_epochs",
        "1",
        "data.save_dir",
        str(tmp_path / "run"),
    ]
    assert load_tool("train_ealn").main(arguments) == 0
    assert (tmp_path / "data" / "VeRi" / "synthetic.json").exists()
    assert (tmp_path / "run" / "samples" / "epoch_003.png").exists()
    out = capsys.readouterr().out
    assert "beside: en" in out and "above en from the same warm-up: mAP" in out
    assert results_of(tmp_path / "run" / "en")["config"]["ealn"]["scheme"] == "en"
    before = (tmp_path / "data" / "VeRi" / "synthetic.json").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "run")
    assert load_tool("train_ealn").main(arguments) == 0
    assert (tmp_path / "data" / "VeRi" / "synthetic.json").stat().st_mtime_ns == before
