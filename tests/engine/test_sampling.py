"""ealn_plugin/engine/sampling.py: an epoch can be entered anywhere, in any process, with the same batches."""
import random

import numpy as np
import pytest
import torch

from ealn_plugin.engine import sampling
from standins import build_datamanager


def batches(manager, seed=3, epoch=2, start=0):
    loader, count = sampling.epoch_loader(manager.train_loader, seed, epoch, start)
    return [(data["impath"], data["img"]) for data in loader], count


def assert_equal(a, b):
    assert [paths for paths, _ in a] == [paths for paths, _ in b]
    assert all(torch.equal(x, y) for (_, x), (_, y) in zip(a, b))


def test_the_rest_of_an_epoch_is_the_same_with_workers(veri_root):
    options = dict(transforms=["random_flip", "random_crop", "color_jitter", "random_erase"])
    whole, count = batches(build_datamanager(veri_root, **options))
    assert count == len(whole) > 2
    for workers in (0, 2):
        sampling.seed_everything(workers)
        rest, again = batches(build_datamanager(veri_root, workers=workers, **options), start=1)
        assert again == count
        assert_equal(whole[1:], rest)


def test_epochs_and_seeds_differ(veri_root):
    manager = build_datamanager(veri_root)
    orders = {tuple(path for paths, _ in batches(manager, seed, epoch)[0] for path in paths)
              for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_the_same_image_is_augmented_differently_in_another_epoch(veri_root):
    manager = build_datamanager(veri_root, transforms=["color_jitter"])
    samples = [sampling.SeededSamples(manager.train_loader.dataset, 1, epoch)[0, 5]["img"] for epoch in (0, 1, 0)]
    assert torch.equal(samples[0], samples[2]) and not torch.equal(samples[0], samples[1])


def test_global_random_states_are_left_alone(veri_root):
    manager = build_datamanager(veri_root, transforms=["color_jitter", "random_erase"])
    sampling.seed_everything(5)
    expected = random.random(), np.random.rand(), torch.rand(1)
    sampling.seed_everything(5)
    batches(manager)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_resuming_behind_the_last_batch_gives_an_empty_epoch(veri_root):
    manager = build_datamanager(veri_root, workers=2)
    _, count = batches(manager)
    assert batches(manager, start=count) == ([], count)


def test_an_epoch_without_a_batch(veri_root):
    manager = build_datamanager(veri_root, batch_size_train=64, train_sampler="RandomSampler")
    with pytest.raises(ValueError, match="36 training images has no complete batch of 64; lower train.batch_size"):
        batches(manager)


def test_derived_seeds_are_stable_and_distinct():
    assert sampling.derived_seed(1, "sample", 2, 3) == 6949697587988885181
    seeds = {sampling.derived_seed(*parts) for parts in [(1, "a"), (1, "b"), (2, "a"), (1, "a", 0), (11,), (1, 1)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
