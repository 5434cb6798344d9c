import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ealn_plugin.evaluation import query_ranks as p

DTYPES = (np.float16, np.float32, np.float64, np.int16)


def task(seed, queries, gallery, levels, dtype):
    """Distances with many or few ties and random pairs, ordered by query."""
    rng = np.random.default_rng(seed)
    distances = rng.integers(-levels, levels + 1, (queries, gallery)).astype(dtype)
    rows, columns = np.nonzero(rng.random(distances.shape) < rng.random())
    return distances, rows, columns


def places(distances):
    """Place of every entry in the stable order of its row, by its definition."""
    result = np.empty(distances.shape, dtype=np.int64)
    for row, values in enumerate(distances.tolist()):
        for place, column in enumerate(sorted(range(len(values)), key=lambda index: (values[index], index))):
            result[row, column] = place
    return result


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from([0, 1, 5, 1000]),
    st.sampled_from(DTYPES),
)
def test_every_method_gives_the_place_in_the_stable_order(seed, queries, gallery, levels, dtype):
    distances, rows, columns = task(seed, queries, gallery, levels, dtype)
    expected = places(distances)[rows, columns]
    for method in (p.stable_positions, p._positions_by_counting, p._positions_by_sorting):
        np.testing.assert_array_equal(method(distances, rows, columns), expected)
    on_device = p.stable_positions_on_device(torch.from_numpy(distances), rows, columns)
    np.testing.assert_array_equal(on_device, expected)


def test_signed_zeros_and_infinities_tie_like_any_other_value():
    distances = np.array([[0.0, -0.0, np.inf, -np.inf, np.inf, -0.0, 0.0]], dtype=np.float32)
    rows, columns = np.zeros(7, dtype=np.int64), np.arange(7)
    expected = [1, 2, 5, 0, 6, 3, 4]
    for method in (p._positions_by_counting, p._positions_by_sorting):
        assert method(distances, rows, columns).tolist() == expected
    assert p.stable_positions_on_device(torch.from_numpy(distances), rows, columns).tolist() == expected


def test_distances_are_left_as_they_were():
    distances, rows, columns = task(0, 5, 50, 3, np.float32)
    before = distances.copy()
    p._positions_by_sorting(distances, rows, columns)
    p.stable_positions_on_device(torch.from_numpy(distances), rows, columns)
    np.testing.assert_array_equal(distances, before)


def test_method_follows_the_cost(monkeypatch):
    called = []
    monkeypatch.setattr(p, "_positions_by_counting", lambda *arguments: called.append("counting"))
    monkeypatch.setattr(p, "_positions_by_sorting", lambda *arguments: called.append("sorting"))
    distances = np.zeros((4, 3000), dtype=np.float32)
    p.stable_positions(distances, np.arange(4), np.arange(4))
    p.stable_positions(distances, np.repeat(np.arange(4), 500), np.tile(np.arange(500), 4))
    assert called == ["counting", "sorting"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 30), st.integers(1, 5))
def test_pairs_are_all_pairs_of_one_vehicle_in_order(seed, queries, gallery, vehicles):
    rng = np.random.default_rng(seed)
    q_pids, g_pids = rng.integers(0, vehicles, queries), rng.integers(0, vehicles, gallery)
    rows, columns = p.GalleryIndex(g_pids).pairs(q_pids)
    expected = [(q, g) for q in range(queries) for g in range(gallery) if q_pids[q] == g_pids[g]]
    assert list(zip(rows.tolist(), columns.tolist())) == expected


def ranked_lists(draw_lists, style="mean"):
    """Run ranks_from_positions on lists of 'm' (match), 'j' (junk), '.' (another vehicle) in ranked order."""
    size = max(len(letters) for letters in draw_lists)
    cells = [
        (row, place, letter)
        for row, letters in enumerate(draw_lists)
        for place, letter in enumerate(letters)
        if letter != "."
    ]
    rows, places_, letters = (np.array(part) for part in zip(*cells))
    return p.ranks_from_positions(
        rows.astype(np.int64), places_.astype(np.int64), letters == "j", len(draw_lists), size, style
    )


def test_known_answers():
    ranks = ranked_lists(["m.m", ".jm..", "jjmj.m", "j..", "..."])
    assert ranks.valid.tolist() == [True, True, True, False, False]
    assert ranks.first_match.tolist() == [0, 1, 0, -1, -1]
    np.testing.assert_allclose(ranks.average_precision, [(1 + 2 / 3) / 2, 1 / 2, (1 + 2 / 3) / 2, 0, 0])
    np.testing.assert_allclose(ranks.inverse_negative_penalty, [2 / 3, 1 / 2, 2 / 3, 0, 0])
    np.testing.assert_allclose(ranks.cmc(4), [2 / 3, 1, 1, 1])
    assert ranks.mean_average_precision == pytest.approx((5 / 6 + 1 / 2 + 5 / 6) / 3)
    assert ranks.mean_inverse_negative_penalty == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)


def release_script_average_precision(letters):
    """Trapezoids as VeRI-776's script walks them: one kept entry of the list after the other."""
    good = letters.count("m")
    old_recall, old_precision, total, found, kept = 0.0, 1.0, 0.0, 0, 0
    for letter in letters:
        if letter == "j":
            continue
        found += letter == "m"
        recall, precision = found / good, found / (kept + 1)
        total += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision, kept = recall, precision, kept + 1
    return total


@given(st.lists(st.text("mj.", min_size=1, max_size=25).filter(lambda text: "m" in text), min_size=1, max_size=6))
def test_trapezoids_agree_with_a_walk_along_the_list(lists):
    ranks = ranked_lists(lists, "trapezoid")
    np.testing.assert_allclose(ranks.average_precision, [release_script_average_precision(text) for text in lists])


def test_no_valid_query_is_explained():
    ranks = ranked_lists(["j..", ".j."])
    with pytest.raises(p.NoValidQuery, match="none of the 2 queries has a match among 3 gallery entries.*camid"):
        ranks.require_valid(3)


def test_blocks_are_joined_in_order():
    whole, parts = ranked_lists(["m.m", ".m.", "..."]), [ranked_lists(["m.m"]), ranked_lists([".m.", "..."])]
    joined = p.QueryRanks.join(parts)
    for name in ("valid", "first_match", "average_precision", "inverse_negative_penalty"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
