"""SIGKILL, and death in the middle of a write, while single files and small groups of files are written."""

import csv
import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin.data.viewpoints import View, read_viewpoints_csv, write_viewpoints_csv
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.features import Features
from ealn_plugin.labelling import labels
from ealn_plugin.runs.folder import keep_earlier_run, take_back_earlier_run
from ealn_plugin.system import files as writing
from tests.helpers.fault_injection import FAULTS, Shared, forked, generator, inject

SIZE = 20_000


def write_checkpoint(path, number):
    checkpoint.save_atomically({"ealn_format": 1, "number": number, "x": torch.full((SIZE,), number)}, path)


def read_checkpoint(path):
    state = checkpoint.load(path)
    assert (state["x"] == state["number"]).all() and len(state["x"]) == SIZE
    return state["number"]


def features_of(number):
    rows = SIZE // 100
    return Features(np.full((rows, 100), number), np.full(rows, number), [0] * rows, [0] * rows, [True] * rows)


def read_features(path):
    features = Features.load(path)
    assert (features.embeddings == features.pids[0]).all() and len(features) == SIZE // 100
    return int(features.pids[0])


def write_text(path, number):
    writing.write_atomically(path, json.dumps([number] * SIZE))


def read_text(path):
    with open(path, encoding="utf-8") as file:
        numbers = json.load(file)
    assert numbers == numbers[:1] * SIZE
    return numbers[0]


def write_rows(path, number):
    writing.write_csv(path, ["number", "text"], [[number, "a\r\nb"]] * (SIZE // 10))


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows == [[rows[0][0], "a\r\nb"]] * (SIZE // 10)
    return int(rows[0][0])


def write_views(path, number):
    write_viewpoints_csv(path, {f"{number} {image}.jpg": (View.FRONT, 1.0) for image in range(SIZE // 10)})


def read_views(path):
    views = read_viewpoints_csv(path)
    numbers = {int(image.split()[0]) for image in views}
    assert len(views) == SIZE // 10 and len(numbers) == 1
    return numbers.pop()


def write_picture(path, number):
    """As PNG: for JPEG and BMP Pillow does not notice when the system writes less than it was given."""
    with writing.replacing(path) as temporary:
        Image.fromarray(np.full((200, 200, 3), number % 200, dtype=np.uint8)).save(
            temporary, format="PNG", compress_level=0
        )


def read_picture(path):
    values = set(np.asarray(Image.open(path)).reshape(-1).tolist())
    assert len(values) == 1
    return values.pop()


WRITERS = {
    "checkpoint": (write_checkpoint, read_checkpoint),
    "results and configuration": (write_text, read_text),
    "features": (lambda path, number: features_of(number).save(path), read_features),
    "table": (write_rows, read_rows),
    "view labels": (write_views, read_views),
    "picture": (write_picture, read_picture),
}


@pytest.mark.parametrize("faults", [4, pytest.param(FAULTS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_the_old_one_or_the_new_one(tmp_path, kind, faults):
    """Killed while it writes versions 1, 2, 3 ... of a file: what lies there is the last one written or the next."""
    write, read = WRITERS[kind]
    path, written, random = str(tmp_path / "file"), Shared(), generator(kind)

    def endless():
        while written.value < 150:
            write(path, written.value + 1)
            written.value += 1
        signal.pause()

    assert forked(lambda: write(path, 1)).code == 0
    written.value, size = 1, os.path.getsize(path)
    for number in range(faults):
        if number % 2:  # the system ends the process in the middle of a write
            outcome = forked(
                lambda: write(path, written.value + 1), file_size=random.randrange(size - 100), dies_of_size=True
            )
        else:
            outcome = forked(endless, seconds=random.uniform(0, 0.1))
        assert outcome.killed, outcome.text
        assert read(path) in (written.value, written.value + 1)
        assert len(os.listdir(tmp_path)) <= 2, "leftovers accumulate"
        inject(f"SIGKILL while writing: {kind}")
        written.value = read(path) % 100
    assert forked(lambda: write(path, 7)).code == 0
    assert read(path) == 7 and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("faults", [6, pytest.param(FAULTS, marks=pytest.mark.slow)])
def test_stored_features_are_those_of_their_key(tmp_path, faults):
    """The store is killed while it replaces features by those of other weights, again and again."""
    random, folder = generator("store"), tmp_path / "features"

    def fetch(number):
        return FeatureStore(folder).fetch("net", "veri776", {"weights": number}, lambda: features_of(number))

    whole = forked(lambda: fetch(0) and None, folder=folder)
    assert whole.code == 0
    for number in range(1, faults + 1):
        if number % 2:
            outcome = forked(
                lambda: fetch(number) and None,  # noqa: B023
                folder=folder,
                change=random.randrange(whole.changes),
            )
        else:
            outcome = forked(
                lambda: fetch(number) and None,  # noqa: B023
                dies_of_size=True,
                file_size=random.randrange(SIZE * 4),
            )
        assert outcome.killed, outcome.text
        for asked in (number - 1, number):
            found = FeatureStore(folder)._stored(*paths_of(folder), {"weights": asked})
            assert found is None or (found.embeddings == asked).all()
        assert len(os.listdir(folder / "net")) <= 3
        inject("SIGKILL while storing features")
        if number % 5 == 0:
            assert forked(lambda: fetch(number) and None).code == 0  # noqa: B023
            assert sorted(os.listdir(folder / "net")) == ["veri776.json", "veri776.npz"]


def paths_of(folder):
    return str(folder / "net" / "veri776.npz"), str(folder / "net" / "veri776.json")


@pytest.mark.parametrize("then", [keep_earlier_run, take_back_earlier_run])
def test_nothing_of_an_earlier_run_is_lost_when_it_is_moved(tmp_path, then):
    """Killed before every single change: the next new run ends the move, a resumed one undoes it."""
    names = {"checkpoint_last.pth.tar": "a", "results.json": "b", "model/model-last.pth.tar": "c", "config.yaml": "d"}

    def files(folder):
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}

    change = 0
    while True:
        run = tmp_path / str(change)
        for name, text in {**names, "train.log": "log"}.items():
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_text(text)
        outcome = forked(lambda: keep_earlier_run(str(run)), folder=run, change=change)  # noqa: B023
        if not outcome.killed:
            break
        inject("SIGKILL while moving an earlier run")
        then(str(run))
        moved = then is keep_earlier_run
        assert files(run) == {
            "train.log": "log",
            **{f"earlier_1/{name}" if moved else name: text for name, text in names.items()},
        }
        change += 1
    assert change == outcome.changes == 6  # a folder made, four names moved, the folder given its name
    assert set(files(run)) == {"train.log", *(f"earlier_1/{name}" for name in names)}


@pytest.mark.parametrize("by_hand", [False, True])
def test_predicted_views_are_known_as_predicted_after_every_kill(tmp_path, by_hand):
    """Labels that this program made are replaced without being asked, those of a person never, whatever was killed."""
    old, new = {"a.jpg": (View.FRONT, 0.9)}, {"a.jpg": (View.REAR, 0.8)}
    change = 0
    while True:
        folder = tmp_path / str(change)
        folder.mkdir()
        if by_hand:
            write_viewpoints_csv(folder / "viewpoints.csv", old)
        else:
            labels.write_predicted_views(folder, old, {})
        outcome = forked(
            lambda: labels.write_predicted_views(folder, new, {}, force=True) and None,  # noqa: B023
            folder=folder,
            change=change,
        )
        found = read_viewpoints_csv(folder / "viewpoints.csv")
        assert found in (old, new)
        if by_hand and found == old:
            with pytest.raises(FileExistsError, match="was not predicted"):
                labels.check_replaceable(folder)
        else:
            labels.check_replaceable(folder)
        if not outcome.killed:
            break
        inject("SIGKILL while labelling views")
        change += 1
    assert change > 5 and found == new
