"""ealn_plugin/search/records.py: columns that belong together."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.search.records import Records

NAMES = st.sampled_from(["/a/b c.jpg", "", "line\nbreak", "caf\udce9.jpg", '\u8eca"\\.png', "\x00\x1b"])
"""Names with everything that hurts; \\udce9 stands for a byte that is not UTF-8."""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(-1, 2**40), st.integers(-1, 99), st.integers(-1, 2)), max_size=8))
def test_json_and_back(rows):
    paths, pids, camids, views = (list(column) for column in zip(*rows)) if rows else ([], [], [], [])
    records = Records(
        paths, np.array(pids, dtype=int), np.array(camids, dtype=int), np.array(views, dtype=int), np.arange(len(rows))
    )
    back = Records.from_json(json.loads(json.dumps(records.to_json())))
    assert back.paths == paths and back.ids.tolist() == list(range(len(rows)))
    assert (back.pids.tolist(), back.camids.tolist(), back.views.tolist()) == (pids, camids, views)
    halves = Records.joined([back.take(np.arange(len(rows)) % 2 == 0), back.take(np.arange(1, len(rows), 2))])
    assert sorted(halves.paths) == sorted(paths) and len(halves) == len(records)


def test_what_is_not_given_is_unknown():
    records = Records(["a", "b"])
    assert all(getattr(records, name).tolist() == [-1, -1] for name in ("pids", "camids", "views", "ids"))
    assert len(Records.joined([])) == 0


@pytest.mark.parametrize(
    "columns, sentence",
    [
        (dict(pids=np.arange(3)), r"pids is int64 of shape \(3,\), expected whole numbers, one for each of 2 paths"),
        (dict(camids=np.array([0.5, 1])), "camids is float64"),
        (dict(views=np.array([0, 7])), r"views holds \[0, 7\], expected values of View"),
    ],
)
def test_columns_that_do_not_fit_get_a_sentence(columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        Records(["a", "b"], **columns)
