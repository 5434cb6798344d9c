"""ealn_plugin/evaluation/row_file.py: rows come back as they were given, from a file that leaves nothing behind."""

import os
import pickle
import resource

import numpy as np
import pytest

from ealn_plugin.evaluation.row_file import RowFile


@pytest.mark.parametrize("expected", [10, 7, 0, 1000])
def test_rows_come_back_in_their_order(tmp_path, expected):
    """Whether as many came as were expected, or more, or fewer."""
    rows = np.random.default_rng(0).normal(size=(10, 3))
    kept = RowFile(expected, tmp_path)
    for part in (rows[:4], rows[4:4], rows[4:9].astype(np.float16), rows[9:]):
        kept.append(part)
    assert len(kept) == 10
    found = kept.array()
    assert isinstance(found, np.memmap) and found.dtype == np.float32
    np.testing.assert_array_equal(found[[0, 9]], rows[[0, 9]].astype(np.float32))
    np.testing.assert_array_equal(found[4:9], rows[4:9].astype(np.float16))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(np.asarray(found))), found)


def test_the_file_has_no_name_and_goes_with_its_last_reader(tmp_path):
    kept = RowFile(5, tmp_path)
    kept.append(np.ones((5, 2)))
    array = kept.array()
    descriptors = len(os.listdir("/proc/self/fd"))
    assert os.listdir(tmp_path) == []
    del kept
    assert (array == 1).all()  # the map alone keeps it
    del array
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_changes_stay_in_this_array(tmp_path):
    kept = RowFile(2, tmp_path)
    kept.append(np.ones((2, 2)))
    kept.array()[:] = 5
    assert (kept.array() == 1).all()


@pytest.mark.parametrize("rows", [np.ones((2, 4)), np.ones(3), np.ones((1, 3, 1))])
def test_rows_that_do_not_fit(rows):
    kept = RowFile(5)
    kept.append(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"expected \[n, 3\]; give rows of one network"):
        kept.append(rows)


def test_nothing_to_map():
    with pytest.raises(ValueError, match="no rows to map"):
        RowFile(3).array()


def test_a_disk_without_room_is_known_at_the_first_rows(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(OSError, match=r"features of 1000000 images .*File too large.*free 31 MiB"):
            RowFile(10**6, tmp_path).append(np.ones((2, 8)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(OSError, match="cannot be kept in .*nowhere.*choose another folder"):
        RowFile(3, tmp_path / "nowhere").append(np.ones((1, 1)))
