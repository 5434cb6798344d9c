"""ealn_plugin/search/table.py: what goes into the engine comes out of it."""

import sys

import numpy as np
import pytest

from ealn_plugin.search.records import COLUMNS, Records
from ealn_plugin.search.table import Table, checksums, import_lance, to_records
from tests.helpers.standins import clustered

pytest.importorskip("lance")


def test_records_and_features_come_back_as_they_were(tmp_path):
    """Names with everything that hurts; \\udce9 stands for a byte that is not UTF-8."""
    paths = ["/a/b c.jpg", "line\nbreak", "caf\udce9.jpg", '\u8eca"\\.png', "it's"]
    records = Records(
        paths,
        np.array([5, -1, 2**40, 0, 1]),
        np.array([0, 3, -1, 2, 2]),
        np.array([-1, 0, 1, 2, 0]),
        np.arange(5),
        times=[np.nan, 16450, 0.25, 1714581005.5, np.nan],
        dated=[False, False, True, True, True],
        vehicles=["it's", "", "\u8eca", "a\nb", "5"],
        colours=["red", "", "", "a'b", ""],
        tracks=["test 1", "", "", "", ""],
    )
    table = Table.create(str(tmp_path / "t.lance"), 16)
    table.add(records, clustered(5))
    back = Records.joined(to_records(piece) for piece in Table(table.uri).scan())
    assert back.paths == paths
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(back, name), getattr(records, name), err_msg=name)
    np.testing.assert_array_equal(np.concatenate([vectors for _, vectors in table.vectors()]), clustered(5))
    np.testing.assert_array_equal(checksums(back, clustered(5)), checksums(records, clustered(5)))
    named = [to_records(piece).paths for piece in table.scan(where=table.named(paths[1:3]))]
    assert sum(named, []) == paths[1:3] and table.count("camera = '3'") == 2
    changed = Records.joined([records.take([0]), records.take([0])])
    changed.colours[1] = "blue"
    assert len(set(checksums(changed, clustered(1)[[0, 0]]).tolist())) == 2  # what is known counts as well


def test_versions_come_and_go(tmp_path):
    table = Table.create(str(tmp_path / "t.lance"), 16)
    table.add(Records(["a"], ids=np.array([0])), clustered(1))
    table.note({"k": "v"})
    before = table.version
    table.add(Records(["b"], ids=np.array([1])), clustered(1))
    older = Table(table.uri, before)
    assert len(older) == 1 and len(Table(table.uri)) == 2 and older.notes()["k"] == "v"
    older.back_to(before)
    older.clean()
    assert len(Table(table.uri)) == 1 and min(older.files().values()) > 0
    with pytest.raises((ValueError, OSError)):
        Table(table.uri, before)


def test_without_the_engine_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(RuntimeError, match=r"searching needs pylance, .* install it with pip install .*\[search\]"):
        import_lance()
