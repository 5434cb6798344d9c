"""Batches of vehicles that look alike: those of one colour and type in pairs, so that EN itself meets such negatives.

A control without any network: what a hard negative teaches that a well-chosen real one does not.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ealn_plugin.data.annotations import APPEARANCE


class PairedIdentitySampler:
    """Order of an epoch in which the vehicles of a batch come in pairs of one group wherever possible.

    As torchreid's RandomIdentitySampler, every vehicle gives its images in handfuls of ``num_instances`` until fewer
    vehicles are left than a batch holds; only that the second, fourth ... vehicle of a batch is drawn from those that
    share the group of the one before, if any is left.

    Args:
        items: dataset tuples (path, pid, ...).
        groups: number of the group of each item, -1 where unknown.
        batch_size, num_instances: images of a batch, and of a vehicle in it.
    Raises:
        ValueError: no two vehicles share a known group.
    """

    def __init__(self, items: Sequence[Any], groups: Sequence[int], batch_size: int, num_instances: int) -> None:
        self.batch_size, self.num_instances = batch_size, num_instances
        self._rows, self._group = defaultdict(list), {}
        for row, (item, group) in enumerate(zip(items, groups)):
            self._rows[item[1]].append(row)
            if group >= 0:
                self._group.setdefault(item[1], int(group))
        counts = defaultdict(int)
        for group in self._group.values():
            counts[group] += 1
        if max(counts.values(), default=0) < 2:
            raise ValueError(
                f"pairs need vehicles of one colour and type, but none of {len(self._rows)} training vehicles is "
                "known to share them with another; set ealn.paired_groups False"
            )

    def __iter__(self):
        handfuls = {pid: self._handfuls(rows) for pid, rows in self._rows.items()}
        left, order = list(handfuls), []
        while len(left) >= self.batch_size // self.num_instances:
            for pid in self._vehicles(left):
                order += handfuls[pid].pop()
                if not handfuls[pid]:
                    left.remove(pid)
        return iter(order)

    def _handfuls(self, rows):
        """The images of a vehicle shuffled and dealt into full handfuls; repeated where there are too few for one."""
        size = self.num_instances
        rows = random.sample(rows, len(rows)) if len(rows) >= size else random.choices(rows, k=size)
        return [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]

    def _vehicles(self, left):
        """The vehicles of one batch, of those that are left."""
        rest, chosen = random.sample(left, len(left)), []
        while len(chosen) < self.batch_size // self.num_instances:
            chosen.append(rest.pop())
            if len(chosen) % 2 and len(chosen) < self.batch_size // self.num_instances:
                group = self._group.get(chosen[-1])
                alike = [pid for pid in rest if group is not None and self._group.get(pid) == group]
                if alike:
                    rest.remove(alike[-1])
                    chosen.append(alike[-1])
        return chosen


def paired_order(loader: Any) -> PairedIdentitySampler:
    """The sampler of torchreid's train loader in pairs of vehicles of one colour and type, where they are known.

    Raises:
        ValueError: no two vehicles share a known group.
    """
    items = loader.dataset.train
    groups = APPEARANCE.lookup([item[0] for item in items]).tolist()
    return PairedIdentitySampler(items, groups, loader.batch_size, getattr(loader.sampler, "num_instances", 1))
