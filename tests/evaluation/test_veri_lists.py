import logging

import numpy as np
import pytest

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.veri_lists import (
    GOOD_FILE,
    JUNK_FILE,
    TRACK_FILE,
    gallery_tracks,
    has_index_files,
    verify_veri_index,
)

QUERIES = ["0002_c002_00000100_0.jpg", "0005_c001_00000200_0.jpg"]
GALLERY = [
    "0002_c001_00000010_0.jpg",
    "0002_c002_00000020_0.jpg",
    "0002_c002_00000100_0.jpg",
    "0005_c001_00000200_0.jpg",
    "0005_c003_00000300_0.jpg",
    "0009_c003_00000300_1.jpg",
]


@pytest.fixture
def folder(tmp_path):
    """A VeRI-776 folder of two queries with correct index files."""
    for name, images in (("image_query", QUERIES), ("image_test", GALLERY)):
        (tmp_path / name).mkdir()
        for image in images:
            (tmp_path / name / image).write_bytes(b"")
    (tmp_path / GOOD_FILE).write_text("1 \n5 \n")
    (tmp_path / JUNK_FILE).write_text("2 3 \n4 \n")
    return tmp_path


def features_of(folder, names=GALLERY, is_query=False):
    images = [str(folder / ("image_query" if is_query else "image_test") / name) for name in names]
    pids, camids = [int(name[:4]) for name in names], [int(name[6:9]) for name in names]
    return Features(np.zeros((len(names), 1)), pids, camids, [-1] * len(names), [is_query] * len(names), images)


def both(folder):
    query, gallery = features_of(folder, QUERIES, True), features_of(folder)
    return Features(
        *(
            np.concatenate([getattr(query, name), getattr(gallery, name)])
            for name in ("embeddings", "pids", "camids", "views", "is_query")
        ),
        query.paths + gallery.paths,
    )


@pytest.mark.parametrize("how", ["folders", "names in another order", "features"])
def test_index_files_that_agree(folder, how, caplog):
    names = {"folders": (), "names in another order": (QUERIES[::-1], GALLERY[::-1]), "features": (both(folder),)}
    with caplog.at_level(logging.INFO):
        report = verify_veri_index(folder, *names[how])
    assert report.agrees and report.queries == 2
    assert (report.good_derived, report.good_listed, report.junk_derived, report.junk_listed) == (2, 2, 3, 3)
    assert "2 matches and 3 junk images" in caplog.text and "all sets are equal" in caplog.text
    assert has_index_files(folder)


def test_differences_are_counted_and_named(folder, caplog):
    (folder / JUNK_FILE).write_text("2 3\n4 6\n")
    report = verify_veri_index(folder)
    assert not report.agrees and report.differing == (QUERIES[1],)
    assert (report.junk_derived, report.junk_listed) == (3, 4)
    assert "1 queries differ, the first is 0005_c001" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


def test_empty_lines_are_empty_sets(folder):
    (folder / GOOD_FILE).write_text("1\n\n\n")
    assert verify_veri_index(folder).differing == (QUERIES[1],)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("1\n", "has 1 lines, expected 2"),
        ("1\n7\n", "line 2: '7' is not a position from 1 to 6"),
        ("1\nx\n", "line 2: 'x' is not a position"),
        ("0\n5\n", "line 1: '0' is not a position"),
    ],
)
def test_lines_that_do_not_fit(folder, text, sentence):
    (folder / GOOD_FILE).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        verify_veri_index(folder)


def test_missing_files_and_strange_names(folder, tmp_path):
    with pytest.raises(ValueError, match="'car.jpg' is not of the form"):
        verify_veri_index(folder, QUERIES, ["car.jpg"])
    (folder / JUNK_FILE).unlink()
    with pytest.raises(FileNotFoundError, match="jk_index.txt"):
        verify_veri_index(folder)
    assert not has_index_files(folder)
    with pytest.raises(FileNotFoundError, match="image_query"):
        verify_veri_index(tmp_path / "elsewhere")


def test_tracks_derived_from_vehicle_and_camera(folder):
    tracks = gallery_tracks(features_of(folder))
    assert tracks.tolist() == [0, 1, 1, 2, 3, 4]


def test_tracks_of_the_release(folder, caplog):
    (folder / TRACK_FILE).write_text(
        "\n".join([GALLERY[0], GALLERY[1], GALLERY[2], GALLERY[3], " ".join(GALLERY[4:5]), GALLERY[5]])
    )
    assert len(set(gallery_tracks(features_of(folder)).tolist())) == 6
    (folder / TRACK_FILE).write_text(f"{GALLERY[1]} {GALLERY[2]} \n{GALLERY[0]}\n")
    with caplog.at_level(logging.WARNING):
        tracks = gallery_tracks(features_of(folder)).tolist()
    assert tracks[1] == tracks[2] and sorted(set(tracks)) == [0, 1, 2, 3, 4]
    assert "does not list 3 of 6 gallery images" in caplog.text


def test_a_track_of_two_cameras_is_refused(folder):
    (folder / TRACK_FILE).write_text(f"{GALLERY[3]}\n{GALLERY[0]} {GALLERY[1]}\n")
    with pytest.raises(ValueError, match="line 2: the track mixes"):
        gallery_tracks(features_of(folder))
