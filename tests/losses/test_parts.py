"""ealn_plugin/losses/parts.py: which parts two views share, and their cross-entropy by hand."""

import math

import pytest
import torch

from ealn_plugin import View
from ealn_plugin.losses.parts import PARTS, parts_in_common, parts_loss

SHOWN = {View.FRONT: {"front", "side"}, View.REAR: {"rear", "side"}, View.SIDE: {"side"}}


def test_parts_in_common_and_their_loss():
    views = torch.tensor([View.SIDE, View.FRONT, View.REAR, View.FRONT])
    logits = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    total = 0.0
    for row, view in enumerate(views.tolist()):
        for target in (View.FRONT, View.REAR, View.SIDE):
            for part, name in enumerate(PARTS):
                both = name in SHOWN[view] & SHOWN[target]
                assert parts_in_common(views)[row, target, part] == both
                chance = 1 / (1 + math.exp(-logits[row, target, part]))
                total -= math.log(chance if both else 1 - chance)
    assert parts_loss(logits, views).item() == pytest.approx(total / 36)
    assert parts_loss(logits[:0], views[:0]) == 0
