"""ealn_plugin/engine/pairing.py: pairs of one group, and otherwise torchreid's order."""

import random
from collections import Counter

import pytest

from ealn_plugin.data.annotations import APPEARANCE
from ealn_plugin.engine.pairing import PairedIdentitySampler
from tests.helpers.standins import build_engine

ITEMS = [(f"{pid}_{number}.jpg", pid, 0, 0) for pid in range(12) for number in range(5 if pid else 3)]
GROUP = {pid: pid // 4 for pid in range(11)}  # four vehicles each of two groups, three of another, one unknown


def batches(seed=0, batch_size=16, instances=4):
    random.seed(seed)
    groups = [GROUP.get(item[1], -1) for item in ITEMS]
    order = list(PairedIdentitySampler(ITEMS, groups, batch_size, instances))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def test_batches_hold_handfuls_of_vehicles_in_pairs():
    paired = 0
    for seed in range(20):
        for batch in batches(seed):
            pids = [ITEMS[row][1] for row in batch]
            assert all(count == 4 for count in Counter(pids).values()) and len(set(pids)) == 4
            vehicles = pids[::4]
            paired += sum(GROUP.get(vehicles[n], -1) == GROUP.get(vehicles[n + 1], -2) for n in (0, 2))
    assert paired > 0.6 * 20 * 3 * 2  # by chance it would be a quarter; the last of an epoch are left without


def test_every_vehicle_gives_its_images_once():
    rows = Counter(row for batch in batches() for row in batch)
    assert len(rows) > 40 and all(count == 1 for row, count in rows.items() if ITEMS[row][1])


def test_the_order_repeats_with_its_seed():
    assert batches(3) == batches(3) != batches(4)


def test_vehicles_without_groups_are_refused():
    with pytest.raises(ValueError, match="none of 12 training vehicles.*ealn.paired_groups False"):
        PairedIdentitySampler(ITEMS, [-1] * len(ITEMS), 16, 4)


def test_an_engine_orders_its_epochs_by_them(datamanager):
    with pytest.raises(ValueError, match="pairs need vehicles"):
        build_engine(datamanager, (), paired_groups=True)
    items = datamanager.train_loader.dataset.train
    pids = sorted({item[1] for item in items})
    APPEARANCE.update({item[0]: pids.index(item[1]) // 2 for item in items})
    try:
        engine = build_engine(datamanager, (), paired_groups=True)
        loader, count = engine.epochs.epoch(0)
        groups = [{pids.index(int(pid)) // 2 for pid in batch["pid"]} for batch in loader]
    finally:
        APPEARANCE.clear()
    assert count == len(groups) > 0
    assert all(len(found) == 2 for found in groups), "four vehicles in two pairs"
