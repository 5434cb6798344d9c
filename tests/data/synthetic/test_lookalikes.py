"""ealn_plugin/data/synthetic/lookalikes.py: the same vehicle with other marks, and how many of them are other ones."""

from collections import Counter

import pytest

from ealn_plugin.data.synthetic import marks, population, presets
from ealn_plugin.data.synthetic.lookalikes import ALL_OTHER, KINDS, ONE_PER_FACE, draw_lookalike, without_marks

PRESET = presets.Preset(40, 120, 80, 4, 16, 9, cameras=4, models=20, image_size=40)


@pytest.fixture(scope="module")
def identities():
    return population.draw_population(PRESET, 5).identities


@pytest.mark.parametrize("kind", KINDS)
def test_a_lookalike_is_the_same_vehicle_but_for_its_marks(identities, kind):
    for identity in identities:
        alike = draw_lookalike(identity, kind, 0, 5)
        for name in ("number", "split", "model", "colour", "paint"):
            assert getattr(alike, name) == getattr(identity, name)
        assert alike.marks != identity.marks
        assert len({(mark.kind, mark.face) for mark in alike.marks}) == len(alike.marks)
        assert alike == draw_lookalike(identity, kind, 0, 5)
        others = {draw_lookalike(identity, kind, 1, 5).marks, draw_lookalike(identity, kind, 0, 6).marks}
        assert alike.marks not in others


def test_all_other_marks_differ_from_both_ends(identities):
    for identity in identities:
        for number in range(3):
            alike = draw_lookalike(identity, ALL_OTHER, number, 5)
            assert marks.distinct(alike.marks, [identity.marks])
            assert not set(alike.marks) & set(identity.marks)


def test_one_mark_a_face_is_gone_or_another_one(identities):
    happened = Counter()
    for identity in identities:
        alike = draw_lookalike(identity, ONE_PER_FACE, 0, 5)
        for face in ("front", "rear", "left", "right", "any"):
            before, after = ([mark for mark in one.marks if mark.face == face] for one in (identity, alike))
            lost, new = set(before) - set(after), set(after) - set(before)
            if before:
                assert len(lost) == 1 and len(new) <= 1
                assert all(one.signature() != mark.signature() for one in lost for mark in new)
                happened["changed" if new else "removed"] += 1
            else:
                assert len(after) == (1 if face in ("left", "right") else 0)
    assert min(happened["changed"], happened["removed"]) > 40


def test_no_marks_at_all(identities):
    assert without_marks(identities[0]).marks == () and identities[0].marks
    assert without_marks(identities[0]).model is identities[0].model


def test_an_unknown_kind_is_refused(identities):
    with pytest.raises(ValueError, match="kind is 'none', but it must be one of all_other, one_per_face"):
        draw_lookalike(identities[0], "none", 0, 5)
