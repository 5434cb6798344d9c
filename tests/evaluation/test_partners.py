"""ealn_plugin/evaluation/partners.py: donors and own images of test images are chosen as in training."""

import os
import types

import pytest
import torch

from ealn_plugin.data.annotations import APPEARANCE
from ealn_plugin.evaluation.partners import candidates_of, companion_images
from ealn_plugin.schemes import HardNegativeScheme, PastedRegionsScheme
from tests.helpers.networks import small_schemes

VIEWS = torch.tensor([0, 0, 1, 0, 0, 1, 0, 0])  # four gallery images, then four queries
PIDS = (1, 2, 2, 3, 1, 3, 1, 4)
GROUPS = (7, 7, 7, 8, 7, 8, 7, -1)


class Images(torch.utils.data.Dataset):
    """Plain images whose grey value is ten times their row."""

    def __init__(self, rows, folder):
        self.data = [(os.path.join(folder, f"{row}.jpg"), PIDS[row], 0) for row in rows]
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        return {"img": torch.full((3, 24, 24), 10.0 * self.rows[place])}


@pytest.fixture
def loaders(tmp_path):
    found = {
        split: types.SimpleNamespace(dataset=Images(rows, str(tmp_path / split)))
        for split, rows in (("gallery", range(4)), ("query", range(4, 8)))
    }
    items = [item for loader in found.values() for item in loader.dataset.data]
    APPEARANCE.update({os.path.abspath(item[0]): group for item, group in zip(items, GROUPS)})
    return found


def test_candidates_share_view_and_group_and_never_the_file(loaders):
    items = [item for loader in loaders.values() for item in loader.dataset.data]
    items[4] = (items[0][0].replace("gallery", "query"), *items[4][1:])  # the same photograph, as in VeRI-776
    APPEARANCE.update({os.path.abspath(items[4][0]): 7})
    found = candidates_of(items, VIEWS, [4, 5, 7])
    assert [rows.tolist() for rows in found["donor"]] == [[1], [2], [0, 1, 3, 4, 6]], "group, group or view, any"
    assert [rows.tolist() for rows in found["own"]] == [[6], [], []], "not row 0, which is the same file"


def test_with_donors_the_nearest_is_taken_and_the_image_itself_where_there_is_none(loaders):
    scheme = PastedRegionsScheme(neutral="own", candidates=1, donors=3)
    found = companion_images(loaders, VIEWS, [6, 5], [scheme])
    assert found["donor"].shape == (2, 3, 24, 24)
    assert (found["donor"][:, 0, 0, 0] / 10).tolist() == [1, 2] and (found["own"][:, 0, 0, 0] / 10).tolist() == [4, 5]


def test_a_batch_without_donors_gives_any_of_the_candidates_always_the_same(loaders):
    scheme = PastedRegionsScheme()
    one, two = (companion_images(loaders, VIEWS, [7, 7, 7], [scheme]) for _ in range(2))
    assert list(one) == ["donor"] and torch.equal(one["donor"], two["donor"])
    assert set((one["donor"][:, 0, 0, 0] / 10).tolist()) <= {0, 1, 3, 4, 6}


def test_schemes_that_paste_nothing_ask_for_nothing(loaders):
    (hard,) = small_schemes(("hard",))
    assert isinstance(hard, HardNegativeScheme) and companion_images(loaders, VIEWS, [4], [hard]) == {}
