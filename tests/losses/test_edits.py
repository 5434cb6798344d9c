"""ealn_plugin/losses/edits.py, and what selection.py and hinges.py have for edits, against naive loops."""

import pytest
import torch

from ealn_plugin.losses import edits, hinges, selection

K, N = 4, 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def candidates():
    images = torch.rand(N, 3, 8, 8, generator=seeded(1)) * 2 - 1
    regions = torch.rand(K, N, 1, 8, 8, generator=seeded(2)) < 0.3
    painted = torch.rand(K, N, 3, 8, 8, generator=seeded(3)) * 2 - 1
    return images, torch.where(regions, painted, images), regions


def naive_changes(images, made, regions):
    total = torch.zeros(K, N)
    for k in range(K):
        for n in range(N):
            for i in range(8):
                for j in range(8):
                    if regions[k, n, 0, i, j]:
                        total[k, n] += (made[k, n, :, i, j] - images[n, :, i, j]).abs().sum()
    return total


def test_changes_against_a_naive_loop(candidates):
    total, mean = edits.edit_changes(*candidates)
    expected = naive_changes(*candidates)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(mean, expected / candidates[2].sum((2, 3, 4)))


def test_an_empty_region_changes_nothing():
    images = torch.rand(1, 3, 4, 4)
    total, mean = edits.edit_changes(images, images[None], torch.zeros(1, 1, 1, 4, 4, dtype=torch.bool))
    assert total.item() == mean.item() == 0


def test_hole_loss_against_a_naive_loop(candidates):
    images, made, regions = candidates
    pixels = [
        (made[0, n, :, i, j] - images[n, :, i, j]).abs().mean()
        for n in range(N)
        for i in range(8)
        for j in range(8)
        if regions[0, n, 0, i, j]
    ]
    torch.testing.assert_close(edits.hole_loss(images, made[0], regions[0]), torch.stack(pixels).mean())
    nothing = edits.hole_loss(images.requires_grad_(), made[0], torch.zeros_like(regions[0]))
    nothing.backward()
    assert nothing == 0 and not images.grad.any()


def test_covered_patches_are_those_whose_cell_touches_a_region():
    regions = torch.rand(3, 1, 12, 12, generator=seeded()) < 0.02
    covered = edits.covered_patches(regions, torch.zeros(3, 1, 4, 3))
    for n in range(3):
        for row in range(4):
            for column in range(3):
                cell = regions[n, 0, 3 * row : 3 * row + 3, 4 * column : 4 * column + 4]
                assert bool(covered[n, 0, row, column]) == bool(cell.any())


@pytest.mark.parametrize("strategy", edits.CHOICES)
def test_choices_against_a_naive_loop(strategy):
    total, mean, d_edit = (torch.rand(K, N, generator=seeded(seed)) for seed in (1, 2, 3))
    d_negative = torch.rand(N, generator=seeded(4)) + 0.5
    own = torch.rand(K, N, generator=seeded(5))
    negative, near = edits.choose_edits(strategy, total, mean, d_edit, d_negative, beta1=0.4, beta2=0.3, own=own)
    for n in range(N):
        d = d_edit[:, n].tolist()
        if strategy == "pixels":
            score, closeness = total[:, n].tolist(), mean[:, n].tolist()
        elif strategy == "persistent":
            score, closeness = (total[:, n] - own[:, n]).tolist(), mean[:, n].tolist()
        elif strategy == "embedding":
            score, closeness = d, d
        else:
            middle = (0.4 + float(d_negative[n]) - 0.3) / 2
            score = [-(max(0.4 - x, 0) + max(x + 0.3 - float(d_negative[n]), 0) + 0.001 * abs(x - middle)) for x in d]
            closeness = d
        expected = max(range(K), key=lambda k: score[k])
        rest = [k for k in range(K) if k != expected]
        assert negative[n] == expected and near[n] == min(rest, key=lambda k: closeness[k])


def test_the_belt_takes_what_lies_in_it():
    d_edit = torch.tensor([[0.1, 0.1], [0.7, 0.9], [1.9, 0.65]])
    negative, _ = edits.choose_edits("belt", d_edit, d_edit, d_edit, torch.tensor([1.2, 1.0]), 0.6, 0.3)
    assert negative.tolist() == [1, 2]


def test_an_empty_belt_takes_what_lies_nearest_to_its_middle():
    d_edit = torch.tensor([[0.55, 0.59], [0.4, 0.41], [0.3, 0.58]])
    negative, _ = edits.choose_edits("belt", d_edit, d_edit, d_edit, torch.tensor([0.5, 0.5]), 0.6, 0.3)
    assert negative.tolist() == [1, 1], "both hinges of Eq. 4 are active for all of them: their sum says nothing"


def test_a_single_edit_is_both():
    one = torch.rand(1, 3)
    assert [index.tolist() for index in edits.choose_edits("pixels", one, one)] == [[0, 0, 0]] * 2


def test_choices_without_their_distances():
    one = torch.rand(2, 3)
    with pytest.raises(ValueError, match="choose 'belt' needs distances.*choose 'pixels'"):
        edits.choose_edits("belt", one, one, one)
    with pytest.raises(ValueError, match="choose is 'best'"):
        edits.choose_edits("best", one, one)


def test_twin_loss_by_hand():
    d_twin, d_fake = torch.tensor([0.1, 0.9, 0.5]), torch.tensor([1.0, 1.0, 0.2])
    assert hinges.twin_loss(d_twin, d_fake, 0.6).item() == pytest.approx((0 + 0.5 + 0.9) / 3)
    valid = torch.tensor([True, True, False])
    assert hinges.twin_loss(d_twin, d_fake, 0.6, valid).item() == pytest.approx(0.25)


def test_partners_are_of_the_view_and_group_where_there_are_any():
    pids = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    views = torch.tensor([0, 1, 0, 1, 0, -1, 2])
    groups = torch.tensor([5, 5, -1, 5, 5, 7, 7])
    allowed = {0: {4}, 1: {3}, 2: {0, 4}, 3: {1}, 4: {0}, 5: {0, 1, 2, 3, 6}, 6: {0, 1, 2, 3, 4, 5}}
    random, found = seeded(), {row: set() for row in allowed}
    for _ in range(200):
        for row, index in enumerate(selection.select_partners(pids, views, groups, random).tolist()):
            found[row].add(index)
    assert found == allowed


def test_a_vehicle_alone_is_its_own_partner():
    same = torch.zeros(3, dtype=torch.long)
    assert selection.select_partners(same, same, same).tolist() == [0, 1, 2]


def test_own_images_are_the_next_of_the_vehicle_and_view():
    pids, views = torch.tensor([0, 0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 0, 0, -1, -1, 0])
    index, valid = selection.select_own(pids, views)
    assert index.tolist() == [2, 1, 3, 0, 5, 4, 6]
    assert valid.tolist() == [True, False, True, True, True, True, False]
