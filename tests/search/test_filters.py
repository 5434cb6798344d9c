"""ealn_plugin/search/filters.py: conditions as the engine reads them, and those that are none."""

import pytest

from ealn_plugin.data.viewpoints import View
from ealn_plugin.search.filters import Filter, quoted


def test_conditions_as_sql_and_as_words():
    assert Filter().sql() == str(Filter()) == ""
    where = Filter(cameras=[3, "north gate"], views=["rear", View.SIDE], colours=["it's"], after="2.5", before=90)
    assert where.sql() == (
        "camera IN ('3', 'north gate') AND colour IN ('it''s') AND view IN (1, 2) AND clock >= 2.5 AND clock <= 90.0"
    )
    assert str(where) == "camera 3 north gate, view rear side, colour it's, after 2.5, before 90"
    assert Filter(after="1970-01-02").sql() == "moment >= 86400.0"
    assert Filter(vehicles=["7"], types=["van"], sources=["/a b"]).sql() == (
        "vehicle IN ('7') AND type IN ('van') AND source IN ('/a b')"
    )
    assert quoted("a'b''") == "'a''b'''''"


@pytest.mark.parametrize(
    "conditions, sentence",
    [
        (dict(cameras="3"), "cameras is '3', expected a list of texts"),
        (dict(views=["top"]), "view 'top' is not one of front"),
        (dict(after="noon"), "time 'noon' is neither a number nor a date"),
        (dict(after="5", before="2024-01-01"), "expected two numbers or two dates"),
    ],
)
def test_conditions_that_are_none_get_a_sentence(conditions, sentence):
    with pytest.raises(ValueError, match=sentence):
        Filter(**conditions)
