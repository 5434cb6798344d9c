"""ealn_plugin/evaluation/splits.py: seeded draws, and which data need them."""

import numpy as np
import pytest

from ealn_plugin.data import VehicleID, VeRi776
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.splits import ProtocolUnavailable, draw_one_per_identity, is_one_draw, own_split


def features_of(images=160, vehicles=12):
    rng = np.random.default_rng(0)
    return Features(
        np.zeros((images, 2)),
        rng.integers(0, vehicles, images),
        rng.integers(0, 4, images),
        np.zeros(images),
        rng.random(images) < 0.3,
        [f"{image:04d}.jpg" for image in range(images)],
    )


def test_draws_are_seeded_complete_and_skip_single_images():
    features = features_of(images=60, vehicles=25)
    counts = np.bincount(features.pids)
    several = np.flatnonzero(counts > 1)
    assert (counts == 1).any()
    first, again = (list(draw_one_per_identity(features, seed=4)) for _ in range(2))
    other = next(draw_one_per_identity(features, seed=5))
    assert not np.array_equal(first[0][0], other[0]) and not np.array_equal(first[0][0], first[1][0])
    for (drawn, others), (drawn_again, _) in zip(first, again):
        np.testing.assert_array_equal(drawn, drawn_again)
        np.testing.assert_array_equal(np.sort(features.pids[drawn]), several)
        together = np.sort(np.concatenate([drawn, others]))
        np.testing.assert_array_equal(together, np.flatnonzero(counts[features.pids] > 1))


def test_draws_do_not_depend_on_the_order_of_the_images_or_on_the_first_split():
    features = features_of()
    rng = np.random.default_rng(1)
    shuffled = features.subset(rng.permutation(len(features)))
    shuffled = Features(
        shuffled.embeddings,
        shuffled.pids,
        shuffled.camids,
        shuffled.views,
        rng.random(len(features)) < 0.5,
        shuffled.paths,
    )
    for (drawn, _), (drawn_shuffled, _) in zip(draw_one_per_identity(features), draw_one_per_identity(shuffled)):
        assert {features.paths[g] for g in drawn} == {shuffled.paths[g] for g in drawn_shuffled}


def test_each_image_of_an_identity_is_drawn_equally_often():
    features = Features(np.zeros((4, 1)), [7] * 4, [0] * 4, [0] * 4, [False] * 4)
    drawn = np.concatenate([drawn for drawn, _ in draw_one_per_identity(features, draws=2000)])
    np.testing.assert_allclose(np.bincount(drawn) / 2000, 0.25, atol=0.04)


def test_the_own_split_needs_both_sides():
    features = features_of()
    query, gallery = own_split(features)
    assert features.is_query[query].all() and len(query) + len(gallery) == 160
    with pytest.raises(ProtocolUnavailable, match="there are 0 query and .* gallery images, expected some of each"):
        own_split(features.gallery)


@pytest.mark.parametrize(
    "pids, camids, is_query, expected",
    [
        ([1, 1, 2, 2, 1], [0, 1, 0, 1, 0], [1, 0, 1, 0, 1], True),  # VehicleID: one gallery image per identity
        ([1, 1, 2, 2, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], True),  # made elsewhere, without a split
        ([1, 1, 2, 2, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1], True),  # made elsewhere, all of one camera
        ([1, 1, 2, 2, 1], [0, 1, 0, 1, 1], [1, 0, 1, 0, 0], False),  # no cameras, but a gallery of its own
        ([1, 1, 2, 2, 1], [0, 1, 3, 1, 0], [1, 0, 1, 0, 1], False),  # queries of two cameras
        ([1, 1, 2, 2, 1], [0, 1, 0, 2, 0], [1, 0, 1, 0, 1], False),  # a gallery of two cameras
        ([1, 1, 2, 2, 1], [0, 1, 0, 2, 0], [0, 0, 0, 0, 0], False),  # cameras, but the split is missing
    ],
)
def test_which_data_are_one_draw_of_many(pids, camids, is_query, expected):
    assert is_one_draw(Features(np.zeros((5, 1)), pids, camids, np.zeros(5), is_query)) is expected


def test_the_datasets_own_numbers_tell(veri_root, tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "train_test_split").mkdir()
    for image in range(9):
        (tmp_path / "image" / f"{image}.jpg").touch()
    for name, images in (("train_list", range(3)), ("test_list_800", range(3, 9))):
        (tmp_path / "train_test_split" / f"{name}.txt").write_text("".join(f"{i} {i % 2}\n" for i in images))
    for dataset, expected in (
        (VehicleID(str(tmp_path), verbose=False), True),
        (VeRi776(str(veri_root), verbose=False), False),
    ):
        items = [(*item[1:3], split is dataset.query) for split in (dataset.query, dataset.gallery) for item in split]
        pids, camids, is_query = zip(*items)
        features = Features(np.zeros((len(items), 1)), pids, camids, np.zeros(len(items)), is_query)
        assert is_one_draw(features) is expected
