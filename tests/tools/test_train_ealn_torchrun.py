"""tools/train_ealn.py under torchrun: two processes, killed, stopped, fed with nonsense, and gone on with by one."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ealn_plugin.engine.checkpoints import file as checkpoint
from tests.helpers.standins import make_veri_folder
from tests.tools.test_train_ealn import SMALL, TOOL, results_of, train

pytestmark = pytest.mark.slow  # starting torchrun and two processes takes longer than all they do
PATIENCE = 300


def start(root, save_dir, *options):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        TOOL,
        "--root",
        str(root),
        *SMALL,
        "data.save_dir",
        str(save_dir),
        *map(str, options),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def run(root, save_dir, *options):
    """(exit code, output) of a run in two processes."""
    process = start(root, save_dir, *options)
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def wait_for(path, process):
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert path.exists(), process.communicate(timeout=PATIENCE)[0]


def sentences(output):
    return [line for line in output.splitlines() if line.startswith("error: ")]


def curves(folder):
    """{name: [value of every step]} of a run's training, from its one file of events."""
    events = EventAccumulator(str(folder)).Reload()
    assert len([name for name in os.listdir(folder) if name.startswith("events")]) == 1
    return {
        name: [event.value for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if name.startswith("train/")
    }


def slopes(state):
    """{network: its gradients in one vector}, summed up over the steps as the momentum of SGD does."""
    found = {"model": state["optimizer"], **state["adversaries"]}
    return {
        name: torch.cat([state["state"][key]["momentum_buffer"].flatten() for key in sorted(state["state"])])
        for name, state in found.items()
    }


def test_the_command_of_the_readme(veri_root, tmp_path):
    """At rates that leave the weights where they are: a fresh OSNet magnifies every difference of float32's rounding.

    So the losses of all steps tell that images, choices and normalization are those of one process, and the momentum
    tells the same of the gradients. tests/distributed/test_two_processes.py compares weights, in double precision.
    """
    rates = ["train.optim", "sgd", "train.lr", "1e-9", "ealn.optim", "sgd", "ealn.lr", "1e-9"]
    options = ["train.print_freq", "1", *rates]
    code, output = run(veri_root, tmp_path / "two", *options)
    assert code == 0, output
    assert output.count("results: ") == 1 and output.count("epoch 2/2 (joint): ") == 1
    assert train(veri_root, tmp_path / "one", *options) == 0
    one, two = (results_of(tmp_path / name) for name in ("one", "two"))
    assert one["config"] == two["config"]  # of eight test images a rounding can swap two, so metrics may differ
    assert {name: list(found) for name, found in one["datasets"].items()} == {
        name: list(found) for name, found in two["datasets"].items()
    }
    losses, expected = curves(tmp_path / "two"), curves(tmp_path / "one")
    assert len(losses["train/loss/E"]) == len(losses["train/loss/G"]) == 7
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)
    first, second = (checkpoint.load(str(tmp_path / name / checkpoint.LAST)) for name in ("one", "two"))
    assert torch.equal(second["choices"], first["choices"]) and second["global_step"] == first["global_step"]
    for part in ("model", "schemes"):  # above all the running statistics
        torch.testing.assert_close(second[part], first[part], rtol=1e-4, atol=1e-4)
    found = slopes(second)
    for name, slope in slopes(first).items():
        tolerance = 0.1 if name == "model" else 1e-4  # OSNet's own gradients are good to a few percent in float32
        assert float((found[name] - slope).norm()) < tolerance * float(slope.norm()), name
    code, output = run(veri_root, tmp_path / "test", *rates, "test.evaluate", "True", "model.resume", tmp_path / "two")
    assert code == 0, output
    assert results_of(tmp_path / "test")["datasets"] == results_of(tmp_path / "two")["datasets"]


def test_a_killed_worker_ends_the_other_and_the_run_goes_on(veri_root, tmp_path):
    options = ["train.max_epoch", "200", "ealn.checkpoint_every", "1", "ealn.test_untrained", "False"]
    process = start(veri_root, tmp_path, *options)
    wait_for(tmp_path / checkpoint.LAST, process)
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        workers = [int(pid) for pid in file.read().split()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert sentences(output) == [
        "error: one of the 2 processes ended without a word (killed, or out of memory?); what "
        "was saved before is usable, go on with model.resume"
    ]
    saved = checkpoint.load(str(tmp_path / checkpoint.LAST))
    assert saved["global_step"] > 0
    assert train(veri_root, tmp_path, "train.max_epoch", saved["epoch"] + 1, "model.resume", tmp_path) == 0
    assert checkpoint.load(str(tmp_path / checkpoint.LAST))["epoch"] == saved["epoch"] + 1


def test_torchrun_is_stopped_and_one_process_goes_on(veri_root, tmp_path):
    process = start(veri_root, tmp_path, "train.max_epoch", "200", "data.workers", "1")
    wait_for(tmp_path / checkpoint.LAST, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and sentences(output) == []
    assert output.count(f"everything is saved; go on with model.resume {tmp_path}") == 1
    saved = checkpoint.load(str(tmp_path / checkpoint.LAST))
    assert f"stopped after step {saved['global_step']}, " in output
    assert train(veri_root, tmp_path, "train.max_epoch", saved["epoch"] + 1, "model.resume", tmp_path) == 0


def test_an_error_of_one_process_is_the_error_of_the_run(tmp_path):
    root = make_veri_folder(tmp_path / "data")
    options = ["ealn.scheme", "en", "ealn.test_untrained", "False", "train.max_epoch", "1"]
    assert train(root, tmp_path / "run", *options) == 0
    for path in (root / "VeRi" / "image_train").iterdir():
        if path.name.startswith("0001"):
            path.write_bytes(b"not an image")
    code, output = run(root, tmp_path / "run", *options, "model.resume", tmp_path / "run", "train.max_epoch", "3")
    assert code == 1 and any("cannot be decoded" in line for line in sentences(output)), output
    assert checkpoint.load(str(tmp_path / "run" / checkpoint.LAST))["epoch"] == 1
    shutil.rmtree(tmp_path / "data")


@pytest.mark.parametrize(
    "options, expected",
    [
        (["ealn.alpha", "9"], "ealn.alpha is 9"),
        (
            ["train.batch_size", "6"],
            "train.batch_size is 6, which 2 processes cannot share equally in whole identities",
        ),
    ],
)
def test_nonsense_gets_one_sentence(veri_root, tmp_path, options, expected):
    code, output = run(veri_root, tmp_path, *options)
    assert code == 1 and len(sentences(output)) == 1 and expected in sentences(output)[0], output
