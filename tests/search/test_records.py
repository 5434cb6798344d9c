"""ealn_plugin/search/records.py: columns that belong together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.search.records import Records

NAMES = st.sampled_from(["/a/b c.jpg", "", "line\nbreak", "caf\udce9.jpg", '\u8eca"\\.png', "\x00\x1b"])
"""Names with everything that hurts; \\udce9 stands for a byte that is not UTF-8."""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(-1, 2**40), st.integers(-1, 99), st.integers(-1, 2)), max_size=8))
def test_halves_joined_are_the_whole(rows):
    paths, pids, camids, views = (list(column) for column in zip(*rows)) if rows else ([], [], [], [])
    records = Records(
        paths, np.array(pids, dtype=int), np.array(camids, dtype=int), np.array(views, dtype=int), np.arange(len(rows))
    )
    halves = Records.joined([records.take(np.arange(len(rows)) % 2 == 0), records.take(np.arange(1, len(rows), 2))])
    assert sorted(halves.paths) == sorted(paths) and len(halves) == len(records)
    back = halves.take(np.argsort(halves.ids))
    assert back.paths == paths and all(
        getattr(back, name).tolist() == getattr(records, name).tolist()
        for name in ("pids", "camids", "views", "vehicles", "cameras")
    )


def test_what_is_not_given_is_unknown():
    records = Records(["a", "b"])
    assert all(getattr(records, name).tolist() == [-1, -1] for name in ("pids", "camids", "views", "ids"))
    assert len(Records.joined([])) == 0
    assert records.vehicles.tolist() == records.tracks.tolist() == ["", ""] and np.isnan(records.times).all()
    numbered = Records(["a", "b"], np.array([7, -1]), np.array([0, 4]))
    assert numbered.vehicles.tolist() == ["7", ""] and numbered.cameras.tolist() == ["1", "5"]  # as files count them


@pytest.mark.parametrize(
    "columns, sentence",
    [
        (dict(pids=np.arange(3)), r"pids is int64 of shape \(3,\), expected whole numbers, one for each of 2 paths"),
        (dict(camids=np.array([0.5, 1])), "camids is float64"),
        (dict(cameras=["1"]), r"cameras has shape \(1,\), expected one for each of 2 paths"),
        (dict(views=np.array([0, 7])), r"views holds \[0, 7\], expected values of View"),
    ],
)
def test_columns_that_do_not_fit_get_a_sentence(columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        Records(["a", "b"], **columns)
