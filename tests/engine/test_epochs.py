"""ealn_plugin/engine/epochs.py: an epoch can be entered anywhere, in any process, with the same batches."""

import multiprocessing
import os
import random

import numpy as np
import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.engine import epochs as sampling
from ealn_plugin.system import randomness
from tests.helpers.standins import build_datamanager


def batches(manager, seed=3, epoch=2, start=0):
    return read(sampling.EpochLoader(manager.train_loader, seed), epoch, start)


def read(epochs, epoch, start=0):
    loader, count = epochs.epoch(epoch, start)
    return [(data["impath"], data["img"]) for data in loader], count


def assert_equal(a, b):
    assert [paths for paths, _ in a] == [paths for paths, _ in b]
    assert all(torch.equal(x, y) for (_, x), (_, y) in zip(a, b))


def test_the_rest_of_an_epoch_is_the_same_with_workers(veri_root):
    options = dict(transforms=["random_flip", "random_crop", "color_jitter", "random_erase"])
    whole, count = batches(build_datamanager(veri_root, **options))
    assert count == len(whole) > 2
    for workers in (0, 2):
        randomness.seed_everything(workers)
        rest, again = batches(build_datamanager(veri_root, workers=workers, **options), start=1)
        assert again == count
        assert_equal(whole[1:], rest)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_lookalike_is_augmented_as_its_image(veri_root, workers):
    options = dict(transforms=["random_flip", "random_crop", "color_jitter", "random_erase"], workers=workers)
    plain, _ = batches(build_datamanager(veri_root, **options))
    manager = build_datamanager(veri_root, **options)
    epochs = sampling.EpochLoader(manager.train_loader, 3)
    epochs.companions = {
        "lookalike": {item[0]: [item[0]] for item in manager.train_loader.dataset.data}
    }  # itself: equal pixels
    loader, _ = epochs.epoch(2)
    found = list(loader)
    assert_equal(plain, [(data["impath"], data["img"]) for data in found])
    assert all(torch.equal(data["img"], data["lookalike"]) for data in found)


def test_lookalikes_are_drawn_by_epoch_and_position(veri_root):
    manager = build_datamanager(veri_root, transforms=[])
    dataset = manager.train_loader.dataset
    paths = [item[0] for item in dataset.data]
    pixels = [toolkit.image_of(dataset, path) for path in paths[:3]]

    def chosen(seed, epoch):
        samples = sampling.SeededSamples(dataset, seed, {"lookalike": dict.fromkeys(paths, paths[:3])})
        found = [samples[epoch, position, 7]["lookalike"] for position in range(60)]
        return [next(number for number, one in enumerate(pixels) if torch.equal(one, image)) for image in found]

    draws = [chosen(1, 4), chosen(1, 4), chosen(1, 5), chosen(2, 4)]
    assert draws[0] == draws[1] and draws[0] not in draws[2:]
    assert all(8 < draws[0].count(number) < 32 for number in range(3))


def test_epochs_and_seeds_differ(veri_root):
    manager = build_datamanager(veri_root)
    orders = {
        tuple(path for paths, _ in batches(manager, seed, epoch)[0] for path in paths)
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_the_same_image_is_augmented_differently_in_another_epoch(veri_root):
    manager = build_datamanager(veri_root, transforms=["color_jitter"])
    dataset = sampling.SeededSamples(manager.train_loader.dataset, 1)
    samples = [dataset[epoch, 0, 5]["img"] for epoch in (0, 1, 0)]
    assert torch.equal(samples[0], samples[2]) and not torch.equal(samples[0], samples[1])


def test_global_random_states_are_left_alone(veri_root):
    manager = build_datamanager(veri_root, transforms=["color_jitter", "random_erase"])
    randomness.seed_everything(5)
    expected = random.random(), np.random.rand(), torch.rand(1)
    randomness.seed_everything(5)
    batches(manager)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_resuming_behind_the_last_batch_gives_an_empty_epoch(veri_root):
    manager = build_datamanager(veri_root, workers=2)
    _, count = batches(manager)
    assert batches(manager, start=count) == ([], count)


@pytest.mark.parametrize("workers", [0, 2])
def test_one_loader_serves_epoch_after_epoch_in_any_order(veri_root, workers):
    options = dict(transforms=["random_flip", "color_jitter"])
    epochs = sampling.EpochLoader(build_datamanager(veri_root, workers=workers, **options).train_loader, seed=3)
    for epoch, start in ((0, 0), (2, 1), (1, 0), (2, 0)):
        alone, count = batches(build_datamanager(veri_root, **options), epoch=epoch, start=start)
        found, again = read(epochs, epoch, start)
        assert again == count
        assert_equal(found, alone)


def test_an_epoch_left_in_the_middle_does_not_reach_into_the_next(veri_root):
    manager = build_datamanager(veri_root, workers=2)
    epochs = sampling.EpochLoader(manager.train_loader, seed=3)
    next(iter(epochs.epoch(0)[0]))  # the workers have loaded more than this batch by now
    found, _ = read(epochs, 1)
    assert_equal(found, batches(manager, epoch=1)[0])


class ProcessNumber:
    """A transform that tells which process ran it; like torchreid's it keeps its steps in ``transforms``."""

    def __init__(self, *steps):
        self.transforms = steps

    def __call__(self, image):
        return torch.tensor(os.getpid())


class Remembering:
    patchpool = ()


@pytest.mark.parametrize("steps, stay", [((), True), ((Remembering(),), False)])
def test_workers_stay_from_epoch_to_epoch_unless_they_remember_images(veri_root, steps, stay):
    manager = build_datamanager(veri_root, workers=2)
    manager.train_loader.dataset.transform = ProcessNumber(*steps)
    epochs = sampling.EpochLoader(manager.train_loader, seed=1)
    seen = [set(torch.cat([numbers for _, numbers in read(epochs, epoch)[0]]).tolist()) for epoch in (0, 1)]
    assert len(seen[0]) == 2 and os.getpid() not in seen[0]
    assert (seen[0] == seen[1]) is stay
    epochs.close()
    assert not seen[1] & {process.pid for process in multiprocessing.active_children()}


def test_seeds_of_transforms_are_those_of_everything_on_the_cpu():
    drawn = []
    for seed_all in (randomness.seed_everything, randomness.seed_transforms):
        seed_all(2**40 + 7)
        drawn.append((random.random(), np.random.rand(), torch.rand(1)))
    assert drawn[0] == drawn[1]


def test_an_epoch_without_a_batch(veri_root):
    manager = build_datamanager(veri_root, batch_size_train=64, train_sampler="RandomSampler")
    with pytest.raises(ValueError, match="36 training images has no complete batch of 64; lower train.batch_size"):
        batches(manager)


def test_derived_seeds_are_stable_and_distinct():
    assert randomness.derived_seed(1, "sample", 2, 3) == 6949697587988885181
    seeds = {randomness.derived_seed(*parts) for parts in [(1, "a"), (1, "b"), (2, "a"), (1, "a", 0), (11,), (1, 1)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
