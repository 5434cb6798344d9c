"""Every process ends, whatever is raised in it while worker processes live: its real command lines and programs."""

import os
import signal
import sys
import time

import pytest
from PIL import Image

from ealn_plugin.engine.checkpoints import file as checkpoint
from tests.helpers.real_commands import SMALL, ended, sentence_in, started, tool, train
from tests.helpers.standins import make_veri_folder

slow = pytest.mark.slow

PROGRAM = """
import multiprocessing, os, signal, sys

class Failed(Exception):
    pass

def main(root, fault):
    from tests.helpers.standins import build_datamanager, build_engine
    engine = build_engine(build_datamanager(root, workers=2), ())
    first = sorted(os.listdir(f"{root}/VeRi/image_train"))[0]
    if fault == "deleted":
        os.unlink(f"{root}/VeRi/image_train/{first}")
    own = engine.forward_backward
    def step(data):
        if fault == "error":
            raise Failed("raised by the program")
        if fault == "interrupt" and engine.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        if fault == "exit":
            sys.exit(7)
        return own(data)
    engine.forward_backward = step
    if fault == "abandoned":
        global batch
        batches, _ = engine.epochs.epoch(0)
        batch = iter(batches)
        next(batch)
        print("one batch was read")
        return
    engine.run(save_dir=f"{root}/run", max_epoch=2, test_untrained=False, progress=False)

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[3])
    import ealn_plugin
    main(sys.argv[1], sys.argv[2])
"""

TORCHREID = """
import sys

if __name__ == "__main__":
    import multiprocessing
    multiprocessing.set_start_method(sys.argv[3])
    import ealn_plugin
    from ealn_plugin.toolkit import torchreid
    data = torchreid.data.datasets.init_image_dataset("market1501", root=sys.argv[1])
    manager = torchreid.data.ImageDataManager(
        root=sys.argv[1], sources="market1501", height=32, width=32, batch_size_train=4, batch_size_test=4, workers=1,
        use_gpu=False, train_sampler="RandomSampler"
    )
    loader = manager.train_loader if sys.argv[2] == "train" else manager.test_loader["market1501"]["gallery"]
    print("images:", sum(len(batch["img"]) for batch in loader))
"""

ABANDONED = """
import sys
import ealn_plugin
from ealn_plugin import FeatureExtractor
images = sys.argv[2:] * 8
batches = FeatureExtractor(sys.argv[1], device="cpu", batch_size=1, workers=2).batches(images)
print(len(next(batches).rows), "image was read")
"""


@pytest.fixture
def root(tmp_path):
    return make_veri_folder(tmp_path / "data")


def spoil(root, kind, split="image_train"):
    path = sorted((root / "VeRi" / split).iterdir())[0]
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    else:
        path.write_bytes({"empty": b"", "text": b"not an image"}[kind])
    return path.name


@pytest.mark.parametrize(
    "workers, kind, options",
    [
        (2, "truncated", ()),
        pytest.param(0, "truncated", (), marks=slow),
        pytest.param(1, "empty", (), marks=slow),
        pytest.param(4, "text", (), marks=slow),
        pytest.param(2, "truncated", ("data.transforms", "random_patch"), marks=slow),
    ],
)
def test_an_image_that_cannot_be_read_ends_the_command(root, tmp_path, workers, kind, options):
    name = spoil(root, kind)
    code, output = train(root, tmp_path / "run", "ealn.scheme", "en", "data.workers", workers, *options)
    assert code == 1 and name in sentence_in(output)


@slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_test_image_that_cannot_be_read_ends_the_command(root, tmp_path, workers):
    name = spoil(root, "truncated", "image_query")
    code, output = train(
        root, tmp_path / "run", "ealn.scheme", "en", "data.workers", workers, "ealn.test_untrained", "True"
    )
    assert code == 1 and name in sentence_in(output)


@pytest.mark.parametrize(
    "fault, said",
    [
        ("error", "Failed: raised by the program"),
        pytest.param("deleted", "does not exist", marks=slow),
        pytest.param("interrupt", "KeyboardInterrupt", marks=slow),
        pytest.param("exit", "", marks=slow),
        pytest.param("abandoned", "one batch was read", marks=slow),
    ],
)
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=slow), pytest.param("forkserver", marks=slow)])
def test_a_program_of_the_users_own_ends(root, tmp_path, fault, said, method):
    (tmp_path / "program.py").write_text(PROGRAM)
    code, output = ended(started(sys.executable, tmp_path / "program.py", root, fault, method))
    assert said in output and code == {"exit": 7, "abandoned": 0, "interrupt": -signal.SIGINT}.get(fault, 1), output


@slow
def test_a_program_that_stops_extracting_ends(run_folder, root, tmp_path):
    (tmp_path / "program.py").write_text(ABANDONED)
    images = sorted((root / "VeRi" / "image_query").iterdir())
    code, output = ended(started(sys.executable, tmp_path / "program.py", run_folder, *images))
    assert code == 0 and "1 image was read" in output


@slow
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_two_requests_to_stop_end_the_command_at_once(root, tmp_path, seconds):
    options = [*SMALL, "train.max_epoch", "500", "data.workers", "2", "ealn.scheme", "en"]
    process = tool("train_ealn", "--root", root, *options, "data.save_dir", tmp_path / "run")
    deadline = time.monotonic() + 120
    while not os.path.exists(tmp_path / "run" / checkpoint.LAST) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(seconds)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    code, output = ended(process)
    assert code == 130 and "model.resume" in output and "Traceback" not in output, output[-2000:]


@pytest.mark.parametrize(
    "method, part",
    [
        ("spawn", "train"),
        pytest.param("spawn", "test", marks=slow),
        pytest.param("forkserver", "train", marks=slow),
        pytest.param("fork", "train", marks=slow),
    ],
)
def test_workers_started_anew_can_have_datasets_of_torchreid(tmp_path, method, part):
    """Beside a CPU-only torch, torchreid cannot be imported before the plugin; a worker is handed the dataset first."""
    for folder, pids in (("bounding_box_train", (1, 2)), ("query", (3, 4)), ("bounding_box_test", (3, 4))):
        (tmp_path / "market1501" / "Market-1501-v15.09.15" / folder).mkdir(parents=True)
        for pid in pids:
            for camera in (1, 2):
                name = f"{pid:04d}_c{camera}s1_000001_00.jpg"
                Image.new("RGB", (8, 8)).save(tmp_path / "market1501" / "Market-1501-v15.09.15" / folder / name)
    (tmp_path / "program.py").write_text(TORCHREID)
    code, output = ended(started(sys.executable, tmp_path / "program.py", tmp_path, part, method))
    assert code == 0 and "images: 4" in output, output[-3000:]
