"""VRIC: a made-up folder in the layout of the release, compared with plain code that reads the same files."""

import os
import shutil

import pytest

from ealn_plugin import toolkit
from ealn_plugin.data import Vric
from ealn_plugin.data.vric import SPLITS
from tests.helpers.releases import jpeg


@pytest.fixture
def release(tmp_path):
    """Three training vehicles with several images; four test vehicles with a probe and a gallery image each."""
    folder = tmp_path / "VRIC"
    lists = {
        "train": [(f"MVI_20011_{v:03}_img{n:05}.jpg", v, 1 + (v + n) % 3) for v in (2, 5, 9) for n in range(v)],
        "query": [(f"MVI_40011_{v:03}_img00001.jpg", v, 4) for v in (20, 21, 30, 31)],
        "gallery": [(f"MVI_40012_{v:03}_img00007.jpg", v, 5) for v in (31, 30, 21, 20)],
    }
    for split, (images, list_name) in SPLITS.items():
        (folder / images).mkdir(parents=True)
        for number, (name, *_) in enumerate(lists[split]):
            (folder / images / name).write_bytes(jpeg(number))
        (folder / list_name).write_text("".join(f"{name} {v} {camera}\n" for name, v, camera in lists[split]))
    return folder


def naive(folder, split):
    images, list_name = SPLITS[split]
    rows = [line.split() for line in (folder / list_name).read_text().splitlines()]
    return [(str(folder / images / name), int(vehicle), int(camera) - 1) for name, vehicle, camera in rows]


def test_it_reads_the_three_lists(release):
    found = toolkit.build_dataset("vric", str(release.parent))
    assert [item[:3] for item in found.query] == naive(release, "query")
    assert [item[:3] for item in found.gallery] == naive(release, "gallery")
    place = {2: 0, 5: 1, 9: 2}
    assert [item[:3] for item in found.train] == [(path, place[v], c) for path, v, c in naive(release, "train")]
    assert found.protocols == ("image",)


def test_other_endings_and_no_training_images(release):
    path = naive(release, "query")[0][0]
    os.rename(path, path[:-3] + "JPG")
    shutil.rmtree(release / "train_images")
    found = Vric(str(release), verbose=False)
    assert found.train == [] and found.query[0][0].endswith(".JPG") and len(found.query) == 4


@pytest.mark.parametrize(
    "text, error, expected",
    [
        ("a.jpg 1", ValueError, "vric_probe.txt:1: found 'a.jpg 1', expected IMAGE VEHICLE CAMERA"),
        (
            "a.jpg 1 2\nb.jpg 1 2",
            FileNotFoundError,
            "2 of 2 listed images do not exist, the first is probe_images/a.jpg",
        ),
        (
            "{0} 1 2\n{0} 2 2",
            ValueError,
            "vric_probe.txt:2: .*expected the labels \\(1, 2\\) that an earlier line gives",
        ),
        (None, FileNotFoundError, "the list .*vric_probe.txt does not exist; unpack the release of VRIC again"),
    ],
)
def test_a_slip_is_one_sentence(release, text, error, expected):
    path = release / "vric_probe.txt"
    name = os.path.basename(naive(release, "query")[0][0])
    path.unlink()
    if text is not None:
        path.write_text(text.format(name))
    with pytest.raises(error, match=expected):
        Vric(str(release), verbose=False)
