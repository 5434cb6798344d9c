"""Going on with a run: the commands that are printed work when pasted, and what results.json records was used."""

import json
import os
import re
import shutil
import signal
import time

import pytest

from ealn_plugin.engine.checkpoints import file as checkpoint
from tests.helpers.real_commands import PATIENCE, ROOT, SMALL, ended, sentence_in, started, tool, train
from tests.helpers.standins import make_veri_folder

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(data root, folder) of a run of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    root = make_veri_folder(folder / "data")
    code, output = train(root, folder / "run", "ealn.scheme", "hard", "ealn.warmup_epochs", "0")
    assert code == 0, output[-3000:]
    return root, folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """The folder of that run, moved to another place."""
    return shutil.copytree(finished[1], tmp_path / "moved")


def go_on(*options, **environment):
    return ended(tool("train_ealn", *options, **environment))


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def printed_command(output):
    """The command behind 'go on with: ', as it would be pasted."""
    (command,) = re.findall(r"go on with(?: that)?: (.*)", output)
    return command.strip()


def pasted(command):
    return started("bash", "-c", command)


def test_a_folder_is_enough_and_keys_beside_it_are_used_or_named(run):
    """The folder lies elsewhere by now, and its data where they were."""
    earlier = results_of(run)
    options = ["train.max_epoch", "3", "train.lr", "0.02", "train.weight_decay", "0.1", "model.pretrained", "True"]
    options += ["ealn.gan_lr", "0.01", "loss.triplet.margin", "0.9"]
    code, output = go_on("model.resume", run, *options)
    assert code == 0, output[-3000:]
    assert "model.pretrained False (not True)" in output
    for name in ("train.lr 0.001 -> 0.02", "train.max_epoch 2 -> 3", "loss.triplet.margin 0.6 -> 0.9"):
        assert name in output
    results, saved = results_of(run), checkpoint.load(str(run / checkpoint.LAST))
    changed = {(change["name"], change["to"]) for change in results["changes"]}
    assert changed == {
        ("train.max_epoch", 3),
        ("train.lr", 0.02),
        ("train.weight_decay", 0.1),
        ("ealn.gan_lr", 0.01),
        ("loss.triplet.margin", 0.9),
    }
    expected = json.loads(json.dumps(earlier["config"]))
    expected["train"].update(max_epoch=3, lr=0.02, weight_decay=0.1)
    expected["loss"]["triplet"]["margin"], expected["ealn"]["gan_lr"] = 0.9, 0.01
    assert results["config"] == expected and saved["epoch"] == 3
    (group,) = saved["optimizer"]["param_groups"]
    assert (group["initial_lr"], group["weight_decay"]) == (0.02, 0.1)


@pytest.mark.parametrize(
    "options, expected",
    [
        (["data.height", "64"], "data.height is 64, but the run that model.resume names has 32"),
        pytest.param(["ealn.scheme", "en"], "ealn.scheme is 'en'", marks=slow),
        pytest.param(["model.name", "resnet18"], "model.name is 'resnet18'", marks=slow),
        pytest.param(["train.max_epoch", "1"], "train.max_epoch is 1, but checkpoint", marks=slow),
        pytest.param(["train.lr", "fast"], "train.lr is 'fast'", marks=slow),
    ],
)
def test_what_cannot_change_is_refused_and_costs_nothing(run, options, expected):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.suffix != ".log"}
    code, output = go_on("model.resume", run, *options)
    assert code == 1 and expected in sentence_in(output)
    assert before == {
        path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.suffix != ".log"
    }


@slow
def test_a_checkpoint_alone_knows_what_cannot_change(finished, run, tmp_path):
    shutil.copy(run / checkpoint.LAST, tmp_path / "alone.pth.tar")
    options = ["model.resume", str(tmp_path / "alone.pth.tar"), "ealn.scheme", "hard"]
    code, output = train(finished[0], tmp_path / "other", *options, "ealn.beta1", "0.5", "ealn.distance", "euclidean")
    assert code == 1 and "ealn.distance is 'euclidean', but checkpoint" in sentence_in(output)


@slow
def test_a_finished_run_is_tested_as_asked(run):
    before = results_of(run)
    code, output = go_on("model.resume", run, "test.dist_metric", "cosine", "test.ranks", "[3]")
    after = results_of(run)
    assert code == 0 and after["config"]["test"]["dist_metric"] == "cosine", output[-2000:]
    assert "rank3" in after["datasets"]["veri776"]["veri_image"]
    assert "rank3" not in before["datasets"]["veri776"]["veri_image"]


@slow
def test_only_testing_records_the_training_that_there_was(run, tmp_path):
    options = ["test.evaluate", "True", "train.lr", "0.5", "data.save_dir", tmp_path / "test"]
    code, output = go_on("model.resume", run, *options)
    assert code == 0 and "train.lr 0.001 (not 0.5)" in output
    assert results_of(tmp_path / "test")["config"]["train"]["lr"] == 0.001


@slow
def test_a_run_that_goes_on_in_the_folder_of_another_keeps_that(run, finished, tmp_path):
    other = shutil.copytree(finished[1], tmp_path / "other")
    code, output = go_on("model.resume", run, "train.max_epoch", "3", "data.save_dir", other)
    assert code == 0 and (other / "earlier_1" / "results.json").exists(), output[-2000:]
    code, output = ended(pasted(printed_command(output)))
    assert code == 0 and f"results: {other / 'earlier_1' / 'results.json'}" in output, output[-2000:]


def wait_for(path, process):
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def test_the_command_printed_by_ctrl_c_goes_on(finished, tmp_path):
    """Pasted, from a folder with spaces in its name, and stopped again."""
    folder = tmp_path / "a run's folder"
    options = [*SMALL, "train.max_epoch", "500", "data.workers", "1", "ealn.scheme", "en", "data.save_dir", folder]
    process = tool("train_ealn", "--root", finished[0], *options)
    wait_for(folder / checkpoint.LAST, process)
    process.send_signal(signal.SIGINT)
    code, output = ended(process)
    assert code == 130, output[-2000:]
    reached = checkpoint.load(str(folder / checkpoint.LAST))["global_step"]
    again = pasted("exec " + printed_command(output))
    while checkpoint.load(str(folder / checkpoint.LAST))["global_step"] == reached and again.poll() is None:
        time.sleep(0.2)
    again.send_signal(signal.SIGINT)
    code, later = ended(again)
    assert code == 130 and printed_command(later) == printed_command(output), later[-2000:]
    assert checkpoint.load(str(folder / checkpoint.LAST))["global_step"] > reached


@slow
def test_the_command_printed_after_a_loss_that_is_not_finite_goes_on(run):
    code, output = go_on("model.resume", run, "train.max_epoch", "3", "train.lr", "1e30", "train.print_freq", "1")
    sentence = sentence_in(output)
    assert code == 1 and "became" in sentence and "train.lr 5e+29" in printed_command(output)
    code, output = ended(pasted(f"{printed_command(output)} train.lr 0.001"))
    assert code == 0 and results_of(run)["config"]["train"]["lr"] == 0.001, output[-2000:]


@slow
def test_before_anything_is_saved_no_command_is_printed(finished, tmp_path):
    code, output = train(finished[0], tmp_path / "run", "train.lr", "1e30", "train.print_freq", "1")
    assert code == 1 and "became" in sentence_in(output) and "go on" not in output


@slow
def test_the_command_printed_about_an_image_goes_on(tmp_path):
    """The images went bad after the run's first epoch: all of them, since an epoch does not draw every one."""
    root = make_veri_folder(tmp_path / "data")
    code, _ = train(root, tmp_path / "run", "ealn.scheme", "en", "train.max_epoch", "1", "data.workers", "2")
    good = {path: path.read_bytes() for path in (root / "VeRi" / "image_train").iterdir()}
    for path in good:
        path.write_bytes(b"")
    code, output = go_on("model.resume", tmp_path / "run", "train.max_epoch", "2")
    assert code == 1 and any(path.name in sentence_in(output) for path in good)
    for path, content in good.items():
        path.write_bytes(content)
    code, output = ended(pasted(printed_command(output)))
    assert code == 0 and len(results_of(tmp_path / "run")["changes"]) == 1, output[-2000:]


def rendered(*arguments):
    config = os.path.join(ROOT, "configs", "ealn_synthetic.yaml")
    options = [*SMALL, "train.max_epoch", "1", "ealn.warmup_epochs", "0", "ealn.scheme", "en"]
    options += ["ealn.warmup_generator_epochs", "0", "ealn.render.image_size", "32"]
    return tool("train_ealn", "--config-file", config, *options, *arguments)


@pytest.mark.parametrize("named", ["--root", "data.root"])
def test_nothing_is_rendered_into_a_folder_with_a_typo(tmp_path, named):
    for root in (tmp_path / "typo", tmp_path):
        (tmp_path / "something").touch()
        code, output = ended(rendered(named, root, "data.save_dir", tmp_path / "run"))
        sentence = sentence_in(output)
        assert code == 1 and f"data.root '{root}'" in sentence and "ealn.render.preset small" in sentence
        assert not (root / "VeRi").exists() and not (tmp_path / "typo").exists()


@slow
def test_a_benchmark_is_rendered_where_it_was_asked_for(tmp_path):
    process = rendered("--root", tmp_path / "new", "data.save_dir", tmp_path / "run", "ealn.render.preset", "tiny")
    process.communicate(timeout=600)
    assert process.returncode == 0 and (tmp_path / "new" / "VeRi").exists()
    code, _ = ended(rendered("--root", tmp_path / "new", "data.save_dir", tmp_path / "run"))
    assert code == 0, "it is there by now, so nothing is rendered"
