"""ealn_plugin/data/cache.py: what it holds is what decoding gives, whatever happened to images, file, disk, process."""

import logging
import multiprocessing
import os
import resource
import shutil
import signal

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torchvision.transforms import Resize

from ealn_plugin import toolkit
from ealn_plugin.data.cache import open_cache
from ealn_plugin.system import locks

RESIZE = Resize((12, 20))
COUNT = 6
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def paths(tmp_path):
    """Six images in two folders of one dataset, of different sizes and kinds."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(COUNT):
        folder = tmp_path / "dataset" / ("train" if number < 4 else "test")
        folder.mkdir(parents=True, exist_ok=True)
        shape = (15 + number, 30, 3) if number else (15, 30)
        path = folder / f"{number}.{'png' if number == 3 else 'jpg'}"
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        made.append(str(path))
    return made


def decoded(path):
    return np.asarray(RESIZE(toolkit.read_image(path)))


def opened(tmp_path, paths, **options):
    return open_cache(
        str(tmp_path / "cache"),
        options.pop("name", "veri776_train"),
        paths,
        options.pop("resize", RESIZE),
        progress=False,
        **options,
    )


def assert_right(cache, paths):
    for path in paths:
        np.testing.assert_array_equal(cache.get(path), decoded(path))


@pytest.fixture
def count_decoded(monkeypatch):
    """A list of the images that were decoded in this process since it was emptied."""
    seen, read_image = [], toolkit.read_image
    monkeypatch.setattr(toolkit, "read_image", lambda path: seen.append(path) or read_image(path))
    return seen


def files(tmp_path):
    return sorted(name for _, _, names in os.walk(tmp_path / "cache") for name in names)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_holds_what_decoding_gives_and_decodes_once(tmp_path, paths, workers, count_decoded, caplog):
    with caplog.at_level("INFO"):
        cache = opened(tmp_path, [*paths, paths[0]], workers=workers)
    assert f"decoding {COUNT} images of veri776_train" in caplog.text and "MiB" in caplog.text
    assert_right(cache, paths)
    assert cache.get("another.jpg") is None
    count_decoded.clear()
    again = opened(tmp_path, [*paths, paths[0]])
    assert count_decoded == []
    assert_right(again, paths)
    assert files(tmp_path) == ["lock", "pixels"]


def test_only_changed_images_are_decoded_again(tmp_path, paths, count_decoded):
    opened(tmp_path, paths)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(paths[1])
    os.utime(paths[4], ns=(10**18, 10**18 + 1))
    count_decoded.clear()
    cache = opened(tmp_path, paths)
    assert count_decoded == [paths[1], paths[4]]
    assert not cache.get(paths[1]).any()
    assert_right(cache, paths)


@pytest.mark.parametrize("position", [0, 12 * 20 * 3 * 2 + 5])
def test_damaged_pixels_are_decoded_again(tmp_path, paths, position, count_decoded, caplog):
    opened(tmp_path, paths)
    (path,) = (tmp_path / "cache").glob("*/pixels")
    with open(path, "rb+") as file:
        file.seek(position)
        value = file.read(1)[0]
        file.seek(position)
        file.write(bytes([value ^ 255]))
    count_decoded.clear()
    assert_right(opened(tmp_path, paths), paths)
    assert count_decoded[0] == paths[position // (12 * 20 * 3)] and "1 images are damaged" in caplog.text
    assert len(count_decoded) == 1 + COUNT  # COUNT by assert_right


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, None])
def test_a_file_that_is_none_is_made_again(tmp_path, paths, content, caplog):
    opened(tmp_path, paths)
    (path,) = (tmp_path / "cache").glob("*/pixels")
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    assert_right(opened(tmp_path, paths), paths)
    assert "making it again, as" in caplog.text


def test_another_decoder_makes_it_again(tmp_path, paths, monkeypatch, count_decoded, caplog):
    opened(tmp_path, paths)
    monkeypatch.setattr(PIL, "__version__", "0.1")
    count_decoded.clear()
    with caplog.at_level("INFO"):
        opened(tmp_path, paths)
    assert len(count_decoded) == COUNT and "changed since: pillow" in caplog.text


def test_sizes_and_datasets_stand_side_by_side(tmp_path, paths, count_decoded):
    small = Resize((8, 8))
    for _ in range(2):
        opened(tmp_path, paths)
        assert opened(tmp_path, paths, resize=small).get(paths[0]).shape == (8, 8, 3)
        opened(tmp_path, paths[:4])
        opened(tmp_path, paths, name="other/name")
    assert len(count_decoded) == 3 * COUNT + 4
    assert len(files(tmp_path)) == 8
    with_bicubic = Resize((12, 20), interpolation=Image.BICUBIC)
    cache = opened(tmp_path, paths, resize=with_bicubic)
    np.testing.assert_array_equal(cache.get(paths[1]), np.asarray(with_bicubic(toolkit.read_image(paths[1]))))


def test_a_dataset_that_was_moved_keeps_its_cache(tmp_path, paths, count_decoded):
    opened(tmp_path, paths)
    shutil.move(tmp_path / "dataset", tmp_path / "elsewhere")
    moved = [path.replace("/dataset/", "/elsewhere/") for path in paths]
    count_decoded.clear()
    cache = opened(tmp_path, moved)
    assert count_decoded == []
    assert_right(cache, moved)


# ---------------------------------------------------------------------------------------------- bad images
@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_the_same_error_as_without_a_cache(tmp_path, paths, workers):
    with open(paths[2], "wb") as file:
        file.write(b"\xff\xd8\xff\xe0broken")
    with pytest.raises(toolkit.UnreadableImageError, match="2.jpg' cannot be decoded .*take it out"):
        opened(tmp_path, paths, workers=workers)
    assert files(tmp_path) == ["lock"]


def test_a_missing_image_is_the_same_error_as_without_a_cache(tmp_path, paths):
    opened(tmp_path, paths)
    os.unlink(paths[5])
    with pytest.raises(FileNotFoundError, match="5.jpg' does not exist; check data.root"):
        opened(tmp_path, paths)


# ---------------------------------------------------------------------------------------------- bad disks
def test_a_disk_with_too_little_room(tmp_path, paths, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    assert opened(tmp_path, paths) is None
    assert "going on without an image cache of veri776_train" in caplog.text and "choose another" in caplog.text
    assert len(caplog.records) == 1 and files(tmp_path) == ["lock"]


def in_child(work):
    """Run ``work`` in a forked process and return (what it returned, exit code)."""
    receive, send = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: send.send(work()))
    child.start()
    send.close()
    try:
        found = receive.recv()
    except EOFError:
        found = None
    child.join()
    return found, child.exitcode


def test_a_disk_that_is_full_in_the_middle(tmp_path, paths):
    def work():
        messages = []
        handler = logging.Handler()
        handler.emit = lambda record: messages.append(record.getMessage())
        logging.getLogger().addHandler(handler)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        return opened(tmp_path, paths) is None, messages

    (without, messages), code = in_child(work)
    assert code == 0 and without
    assert len(messages) == 1 and "going on without an image cache" in messages[0] and "File too large" in messages[0]
    assert files(tmp_path) == ["lock"]
    assert_right(opened(tmp_path, paths), paths)


def test_a_cache_folder_that_is_a_file(tmp_path, paths, caplog):
    (tmp_path / "cache").write_text("")
    assert opened(tmp_path, paths) is None
    assert "going on without an image cache" in caplog.text


# ---------------------------------------------------------------------------------------------- several processes
@pytest.mark.parametrize("image", [0, 3, 5])
def test_killed_at_any_image_leaves_nothing_that_is_read(tmp_path, paths, monkeypatch, image):
    read_image = toolkit.read_image

    def deadly(path):
        if path == paths[image]:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_image(path)

    monkeypatch.setattr(toolkit, "read_image", deadly)
    assert in_child(lambda: opened(tmp_path, paths)) == (None, -signal.SIGKILL)
    monkeypatch.undo()
    assert len(files(tmp_path)) == 2 and "pixels" not in files(tmp_path)
    assert_right(opened(tmp_path, paths), paths)
    assert files(tmp_path) == ["lock", "pixels"]  # what the killed one left is gone


def test_two_processes_at_once_decode_once(tmp_path, paths, monkeypatch):
    decodings, start = FORK.Value("i", 0), FORK.Barrier(3)
    read_image = toolkit.read_image

    def counting(path):
        with decodings.get_lock():
            decodings.value += 1
        return read_image(path)

    monkeypatch.setattr(toolkit, "read_image", counting)
    receive, send = FORK.Pipe(duplex=False)

    def work():
        start.wait(60)
        cache = opened(tmp_path, paths)
        send.send([cache.get(path).tobytes() for path in paths])

    children = [FORK.Process(target=work) for _ in range(2)]
    for child in children:
        child.start()
    start.wait(60)
    found = [receive.recv() for _ in children]
    for child in children:
        child.join()
    assert found[0] == found[1] and decodings.value == COUNT
    assert files(tmp_path) == ["lock", "pixels"]


def test_a_file_system_without_locks(tmp_path, paths, monkeypatch):
    def flock(file, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    assert_right(opened(tmp_path, paths), paths)
    monkeypatch.setattr(locks, "fcntl", None)
    assert_right(opened(tmp_path, paths, name="other"), paths)


def test_random_states_are_left_alone(tmp_path, paths):
    before = torch.get_rng_state()
    opened(tmp_path, paths, workers=1)
    assert torch.equal(torch.get_rng_state(), before)
