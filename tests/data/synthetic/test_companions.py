"""ealn_plugin/data/synthetic/companions.py: which pictures, which bytes, and what is left of a run that was stopped."""

import csv
import dataclasses
import errno
import multiprocessing
import os
import signal
import time

import cv2
import numpy as np
import pytest

from ealn_plugin.data.synthetic import add_companions, companions, population, presets, renderer, writer
from ealn_plugin.data.synthetic.lookalikes import KINDS, draw_lookalike, without_marks

PRESET = presets.Preset(
    train_vehicles=6,
    train_images=30,
    train_tracks=14,
    test_vehicles=4,
    test_images=16,
    test_tracks=9,
    cameras=4,
    models=7,
    image_size=40,
)


def render(root, layout="veri776", seed=1):
    return writer.render_dataset(root, layout, PRESET, seed, processes=1, progress=False)


def add(folder, lookalikes=3, processes=1):
    add_companions(folder, lookalikes, processes, progress=False)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["veri776", "vehicleid"])
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def before_and_after(layout, tmp_path_factory):
    folder = render(tmp_path_factory.mktemp(layout), layout)
    before = contents(folder)
    add(folder)
    return folder, before


def test_the_data_set_keeps_its_bytes(before_and_after):
    folder, before = before_and_after
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert new == {"image_lookalike", "image_twin_unmarked", "lookalikes.csv", "unmarked_twins.csv", "companions.json"}


def test_same_bytes_with_any_number_of_processes_and_others_with_another_seed(before_and_after, layout, tmp_path):
    again, other = render(tmp_path / "again", layout), render(tmp_path / "other", layout, seed=2)
    add(again, processes=3)
    add(other)
    assert contents(again) == contents(before_and_after[0])
    assert contents(other)["lookalikes.csv"] != contents(again)["lookalikes.csv"]


def test_lists_match_the_folders(before_and_after):
    folder, before = before_and_after
    listed = rows(folder / "lookalikes.csv")
    images = [row["image"] for row in listed]
    twins = {row["image"]: row["twin"] for row in rows(folder / "twins.csv")}
    train = {row["image"] for row in rows(folder / "viewpoints.csv")} - twins.keys()
    assert set(images) == train and len(train) == 30 and images == sorted(images) and len(images) == 90
    files = {f"image_lookalike/{name}" for name in os.listdir(folder / "image_lookalike")}
    assert {row["lookalike"] for row in listed} == files and len(files) == 90
    for image in train:
        assert [row["kind"] for row in listed if row["image"] == image] == [*KINDS, KINDS[0]]
        pictures = [before[image]] + [
            (folder / row["lookalike"]).read_bytes() for row in listed if row["image"] == image
        ]
        assert len(set(pictures)) == 4, "no two lookalikes of a shot are one picture"
    unmarked = {row["image"]: row["twin"] for row in rows(folder / "unmarked_twins.csv")}
    assert unmarked == {image: twin.replace("image_twin/", "image_twin_unmarked/") for image, twin in twins.items()}
    assert {f"image_twin_unmarked/{name}" for name in os.listdir(folder / "image_twin_unmarked")} == set(
        unmarked.values()
    )


def test_unmarked_twins_are_the_twins_without_marks(tmp_path):
    folder = render(tmp_path)
    add(folder, 1)
    drawn = population.draw_population(PRESET, 1)
    studio = renderer.Renderer(1, drawn.cameras, 40)
    identity = next(one for one in drawn.identities if one.split == "test")
    marked, size = population.build_mesh(identity)
    bare, _ = population.build_mesh(without_marks(identity))
    names = sorted(path.name for path in (folder / "image_test").glob(f"{identity.number:04d}_*"))
    written = [cv2.imread(str(folder / "image_twin_unmarked" / name)).astype(int) for name in names]
    for picture in drawn.pictures[identity.number - 1]:
        turned = picture.shot.turned()
        expected = studio.render(bare, size, picture.camera, turned, framed=marked).image
        assert min(abs(expected - image).mean() for image in written) < 8  # all that JPEG changes


def test_a_lookalike_differs_from_its_shot_where_marks_are_and_nowhere_else():
    drawn = population.draw_population(PRESET, 1)
    clear = [dataclasses.replace(camera, blur=0.0) for camera in drawn.cameras]
    studio = renderer.Renderer(1, clear, 96)
    for identity in drawn.identities[:5]:
        for kind in KINDS:
            other = draw_lookalike(identity, kind, 0, 1)
            mesh, size, own = population.build_marked_mesh(identity)
            changed_mesh, _, others = population.build_marked_mesh(other)
            for picture in drawn.pictures[identity.number - 1][:3]:
                shot = (size, picture.camera, picture.shot, mesh)
                real, fake = studio.render(mesh, *shot), studio.render(changed_mesh, *shot)
                outside = np.ones((96, 96), dtype=bool)
                for one, rendering, ranges in ((mesh, real, own), (changed_mesh, fake, others)):
                    for number in (number for numbers in ranges for number in numbers):
                        spots = rendering.pixels(one.points[slice(*one.bounds[number])])
                        left, top = np.maximum(spots.min(axis=0) - 2, 0).astype(int)
                        right, bottom = np.maximum(spots.max(axis=0) + 3, 0).astype(int)
                        outside[top:bottom, left:right] = False
                assert outside.mean() > 0.3
                assert np.array_equal(real.image[outside], fake.image[outside])
                assert companions.changed(real.image, fake.image) > 0


def test_lookalikes_without_a_visible_change_are_passed_over():
    @dataclasses.dataclass
    class Shot:
        image: np.ndarray

    def shot(vehicle):
        image = np.zeros((50, 50, 3), dtype=np.uint8)
        image[0, :vehicle, 1] = 200  # so many pixels of 2,500 change; 5 are enough
        return Shot(image)

    worker = companions._Worker("", 1, [], 50, 6)
    seen = {(KINDS[0], n): value for n, value in enumerate((0, 5, 0, 7))}
    seen |= {(KINDS[1], n): value for n, value in enumerate((2, 1, 0, 4))}
    for seed in range(10):
        chosen = list(worker._chosen(shot, 0, seen, np.random.default_rng(seed)))
        assert [kind for kind, _ in chosen] == [*KINDS] * 3
        pixels = [int((image > 0).sum()) for _, image in chosen]
        assert set(pixels[0:4:2]) == {5, 7} and pixels[4] == 0
        assert pixels[1::2] == [4, 2, 1], "where nothing shows, what changes most"


def test_changed_counts_pixels_with_a_channel_that_changes_visibly():
    one = np.full((4, 5, 3), 100, dtype=np.uint8)
    other = one.copy()
    other[0, 0] = (100, 124, 100)
    other[1, 1] = (76, 76, 76)
    other[2, 2] = (123, 77, 100)
    assert companions.changed(one, other) == companions.changed(other, one) == 2 / 20


def test_finished_companions_are_kept_and_another_number_is_refused(tmp_path):
    folder = render(tmp_path)
    add(folder, 1)
    stamp = (folder / "lookalikes.csv").stat().st_mtime_ns
    add(folder, 1)
    assert (folder / "lookalikes.csv").stat().st_mtime_ns == stamp
    with pytest.raises(FileExistsError, match="has 1 lookalikes of every training image .* not 2 .* or delete"):
        add(folder, 2)
    (folder / "companions.json").unlink()
    add(folder, 2)
    assert len(rows(folder / "lookalikes.csv")) == 60 == len(os.listdir(folder / "image_lookalike"))


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(lookalikes=0), "lookalikes is 0"),
        (dict(lookalikes=True), "lookalikes is True"),
        (dict(processes=0), "processes is 0"),
        (dict(), "is no finished rendered data set"),
    ],
)
def test_wrong_arguments_give_one_sentence(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        add(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_data_set_of_another_version_is_left_alone(tmp_path, monkeypatch):
    folder = render(tmp_path)
    monkeypatch.setattr(writer, "FORMAT", writer.FORMAT + 1)
    with pytest.raises(ValueError, match="rendered by another version"):
        add(folder)


def test_full_disk_is_one_sentence_and_leaves_the_data_set_as_it_was(tmp_path, monkeypatch):
    folder = render(tmp_path)
    before = contents(folder)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "save_jpeg", full)
    with pytest.raises(RuntimeError, match="No space left on device.*run again"):
        add(folder)
    assert contents(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".VeRi.lock", "VeRi"]


def add_slowly(folder, where):
    """Add companions, but wait for the end while they are 'rendered' or 'moved'."""

    put, save = companions.put, writer.save_jpeg

    def wait():
        (folder / "reached").touch()
        time.sleep(60)

    def slow_put(source, target):
        put(source, target)
        if source.name == "image_lookalike":
            wait()

    def slow_save(*arguments):
        save(*arguments)
        wait()

    if where == "moved":
        companions.put = slow_put
    else:
        writer.save_jpeg = slow_save
    add(folder, 2)


@pytest.mark.parametrize("where", ["rendered", "moved"])
def test_a_killed_run_is_begun_anew(tmp_path, where):
    folder, whole = render(tmp_path / "a"), render(tmp_path / "b")
    add(whole, 2)
    process = multiprocessing.get_context("fork").Process(target=add_slowly, args=(folder, where))
    process.start()
    deadline = time.monotonic() + 30
    while not (folder / "reached").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (folder / "reached").unlink()
    assert not (folder / "companions.json").exists() and not (folder / "lookalikes.csv").exists()
    add(folder, 2)
    assert contents(folder) == contents(whole)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".VeRi.lock", "VeRi"]
