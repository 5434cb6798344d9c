"""ealn_plugin/evaluation/bounds.py: against loops over every order, and the ratio's interval against t-tests."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.bounds import perfect_appearance, read_groups, share_of_room
from ealn_plugin.evaluation.features import Features


def average_precision(order):
    """Of a list of bool, nearest first."""
    found, total = 0, 0.0
    for place, good in enumerate(order, 1):
        found += good
        total += found / place if good else 0
    return total / found


def expected_over_all_orders(features, groups, junk):
    """mAP and rank 1 of every possible order of the gallery images of the query's group, by brute force."""
    precisions, firsts = [], []
    gallery = np.flatnonzero(~features.is_query)
    for query in np.flatnonzero(features.is_query):
        pid, group = features.pids[query], groups[int(features.pids[query])]
        entries = [row for row in gallery if not (features.pids[row] == pid and junk(query, row))]
        near = [features.pids[row] == pid for row in entries if groups[int(features.pids[row])] == group]
        if not any(near):
            continue
        orders = list(itertools.permutations(near))
        precisions.append(np.mean([average_precision(order) for order in orders]))
        firsts.append(np.mean([order[0] for order in orders]))
    return np.mean(precisions), np.mean(firsts)


@pytest.fixture
def features():
    pids = np.array([1, 2, 3, 4, 1, 1, 1, 2, 2, 3, 3, 3, 4])
    camids = np.array([0, 0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2, 1])
    views = np.array([0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1])
    return Features(np.zeros((13, 2)), pids, camids, views, np.arange(13) < 4)


GROUPS = {1: 7, 2: 7, 3: 5, 4: 7}


def test_ties_are_broken_in_every_order_equally_often(features):
    assert {int(view) for view in (View.FRONT, View.REAR)} == {0, 1}
    found = perfect_appearance(features, GROUPS, ("image", "cross_view", "same_view"), draws=1500)

    def camera(query, row):
        return features.camids[query] == features.camids[row]

    def view(query, row):
        return features.views[query] == features.views[row]

    rules = {
        "image": camera,
        "cross_view": lambda query, row: camera(query, row) or view(query, row),
        "same_view": lambda query, row: camera(query, row) or not view(query, row),
    }
    for name, junk in rules.items():
        expected = expected_over_all_orders(features, GROUPS, junk)
        assert (found[name]["mAP"], found[name]["rank1"]) == pytest.approx(expected, abs=0.02)


def test_groups_of_one_vehicle_are_perfect_and_one_group_is_chance(features):
    alone = perfect_appearance(features, {1: 0, 2: 1, 3: 2, 4: 3}, ("image",), draws=2)["image"]
    assert alone["mAP"] == alone["rank1"] == 1.0
    everything = dict.fromkeys(GROUPS, 0)
    expected = np.mean([2 / 8, 2 / 9, 2 / 8, 1 / 9])  # good images among those that are not junk
    assert perfect_appearance(features, everything, ("image",), draws=3000)["image"]["rank1"] == pytest.approx(
        expected, abs=0.015
    )


def test_the_same_seed_gives_the_same_figures(features):
    one, two, other = (perfect_appearance(features, GROUPS, ("image",), draws=3, seed=seed) for seed in (1, 1, 2))
    assert one == two != other


def test_draws_of_vehicleid_have_no_deviations(features):
    found = perfect_appearance(features, GROUPS, ("vehicleid_map",), draws=2)["vehicleid_map"]
    assert {"mAP", "rank1", "mINP"} <= found.keys() and not [key for key in found if key.endswith("_std")]


def test_a_vehicle_without_a_group_is_named(features):
    with pytest.raises(ValueError, match="vehicle 3 has no model and colour"):
        perfect_appearance(features, {1: 0, 2: 0, 4: 1}, ("image",))


def test_groups_share_model_and_colour(tmp_path):
    with pytest.raises(FileNotFoundError, match="attributes.csv' does not exist"):
        read_groups(str(tmp_path))
    path = tmp_path / "attributes.csv"
    path.write_text("vehicle,model,type,colour,marks\n0001,a,x,red,m\n0002,a,x,blue,\n0010,a,x,red,\n0003,b,x,red,\n")
    found = read_groups(str(tmp_path))
    assert found[1] == found[10] and len({found[1], found[2], found[3]}) == 3
    path.write_text("vehicle,model\n1,a\n")
    with pytest.raises(ValueError, match="is not the list that ealn make-synthetic writes"):
        read_groups(str(tmp_path))


def inside(gains, rooms, ratio):
    return stats.ttest_1samp(np.array(gains) - ratio * np.array(rooms), 0.0).pvalue >= 0.05


@pytest.mark.parametrize(
    "gains, rooms",
    [
        ([0.031, 0.037, 0.029], [0.052, 0.063, 0.049]),
        ([0.03, -0.01, 0.02, 0.01], [0.05, 0.06, 0.055, 0.04]),
        ([-0.03, -0.02, -0.025], [0.05, 0.055, 0.045]),
        ([0.02, 0.021], [0.04, 0.0405]),
    ],
)
def test_the_interval_of_a_share_holds_what_the_t_test_does_not_reject(gains, rooms):
    share = share_of_room(gains, rooms)
    assert share.value == pytest.approx(np.mean(gains) / np.mean(rooms))
    assert share.low < share.value < share.high
    width = share.high - share.low
    for ratio in np.linspace(share.low - width, share.high + width, 300):
        assert inside(gains, rooms, ratio) == (share.low <= ratio <= share.high)


def test_shares_without_an_interval():
    uncertain = share_of_room([0.01, 0.02, 0.0], [0.05, -0.04, 0.03])
    assert uncertain.value == pytest.approx(0.75) and math.isnan(uncertain.low) and math.isnan(uncertain.high)
    single = share_of_room([0.03], [0.06])
    assert single.value == 0.5 and math.isnan(single.low)
    assert math.isnan(share_of_room([0.03, 0.02], [-0.01, 0.0]).value)
    same = share_of_room([0.03, 0.05, 0.04], [0.03, 0.05, 0.04])
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match="2 gains and 1 rooms"):
        share_of_room([1.0, 2.0], [1.0])
