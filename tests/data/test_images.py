"""ealn_plugin/data/images.py: torchreid's pixels, bit for bit, whatever the transforms, with and without a cache."""

import itertools
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from ealn_plugin import toolkit
from ealn_plugin.data.images import FastTransform, ImageReader, speed_up
from ealn_plugin.system.randomness import seed_everything
from tests.helpers.standins import build_datamanager

CHAINS = [
    [],
    ["random_flip"],
    ["random_crop"],
    ["random_patch"],
    ["color_jitter"],
    ["random_erase"],
    ["random_flip", "random_crop", "random_patch", "color_jitter", "random_erase"],
]


def items(dataset):
    """Every item of a dataset twice, and the random numbers that come next."""
    seed_everything(7)
    found = [dataset[index] for index in [*range(len(dataset))] * 2]
    return found, (torch.rand(1), np.random.rand(), torch.get_rng_state())


def assert_same_items(a, b):
    (a, next_a), (b, next_b) = a, b
    assert next_a[:2] == next_b[:2] and torch.equal(next_a[2], next_b[2])
    assert len(a) == len(b) > 0
    for x, y in zip(a, b):
        assert {name: value for name, value in x.items() if name != "img"} == {
            name: value for name, value in y.items() if name != "img"
        }
        assert torch.equal(x["img"], y["img"])
        assert x["img"].dtype == y["img"].dtype and x["img"].stride() == y["img"].stride()


def datasets(manager):
    return [manager.train_loader.dataset, *(loader.dataset for loader in manager.test_loader["veri776"].values())]


@pytest.mark.parametrize("chain", CHAINS, ids="+".join)
def test_pixels_are_torchreids(veri_root, tmp_path, chain):
    def manager():
        made = build_datamanager(veri_root, transforms=chain, height=24, width=36)
        for step in made.transform_tr.transforms:
            if hasattr(step, "patchpool"):
                step.min_sample_size = 5  # or it would paste nothing in so small a dataset
        return made

    plain, uncached, cached = manager(), manager(), manager()
    speed_up(uncached)
    speed_up(cached, str(tmp_path), progress=False)
    readers = [dataset.image_reader for dataset in datasets(cached)]
    assert all(isinstance(reader, ImageReader) and reader.caches for reader in readers)
    for own, fast, kept in zip(datasets(plain), datasets(uncached), datasets(cached)):
        expected = items(own)
        assert_same_items(expected, items(fast))
        assert_same_items(expected, items(kept))


def test_images_are_not_read_again(veri_root, tmp_path, monkeypatch):
    manager = build_datamanager(veri_root)
    speed_up(manager, str(tmp_path), progress=False)
    monkeypatch.setattr(toolkit, "read_image", lambda path: pytest.fail(f"{path} was read"))
    assert sum(len(items(dataset)[0]) for dataset in datasets(manager)) > 0


def test_batches_of_data_workers(veri_root, tmp_path):
    plain = build_datamanager(veri_root, train_sampler="SequentialSampler", transforms=[])
    fast = build_datamanager(veri_root, train_sampler="SequentialSampler", transforms=[], workers=2)
    speed_up(fast, str(tmp_path), workers=2, progress=False)
    for a, b in itertools.zip_longest(plain.train_loader, fast.train_loader):
        assert torch.equal(a["img"], b["img"]) and a["impath"] == b["impath"] and torch.equal(a["pid"], b["pid"])


@pytest.mark.parametrize("size", [(511, 512), (512, 513)])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_large_images(size, flip):
    """On both sides of the size from which OpenCV is not asked."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    chain = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.RandomHorizontalFlip(flip),
            transforms.ToTensor(),
            transforms.Normalize([0.1, 0.5, 0.9], [0.2, 1.7, 0.003]),
        ]
    )
    assert torch.equal(FastTransform(chain)(np.asarray(image)), chain(image))


@pytest.mark.parametrize(
    "steps, sentence",
    [
        ([], "does not begin with a Resize"),
        ([transforms.ToTensor(), transforms.Resize((4, 4))], "does not begin with a Resize"),
        ([transforms.Resize(8), transforms.ToTensor()], "does not begin with a Resize to height and width"),
        ([transforms.Resize((8, 8))], "no ToTensor with a Normalize right behind it"),
        ([transforms.Resize((8, 8)), transforms.ToTensor()], "no ToTensor with a Normalize right behind it"),
        (
            [
                transforms.Resize((8, 8)),
                transforms.ToTensor(),
                transforms.RandomErasing(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ],
            "no ToTensor with a Normalize right behind it",
        ),
    ],
)
def test_other_transforms_stay_as_they_are(veri_root, tmp_path, steps, sentence, caplog):
    manager = build_datamanager(veri_root)
    manager.train_loader.dataset.transform = chain = transforms.Compose(steps)
    with pytest.raises(ValueError, match=sentence):
        FastTransform(chain)
    speed_up(manager)
    assert caplog.text == ""
    speed_up(manager, str(tmp_path), progress=False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "no image cache of veri776_train" in caplog.text and sentence in caplog.text
    train, query, gallery = datasets(manager)
    assert not hasattr(train, "image_reader") and query.image_reader.caches and gallery.image_reader.caches


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(k_tfm=2), "every image is augmented 2 times"),
        (
            dict(__class__=type("Own", (toolkit.ImageDataset,), {"__getitem__": lambda self, index: index})),
            "Own reads its images in its own way",
        ),
    ],
)
def test_datasets_with_items_of_their_own(veri_root, tmp_path, change, sentence, caplog):
    manager = build_datamanager(veri_root)
    for name, value in change.items():
        setattr(manager.train_loader.dataset, name, value)
    speed_up(manager, str(tmp_path), progress=False)
    assert sentence in caplog.text and not hasattr(manager.train_loader.dataset, "image_reader")


def test_training_images_are_left_out_where_only_tests_are_run(veri_root, tmp_path):
    manager = build_datamanager(veri_root)
    speed_up(manager, str(tmp_path), train=False, progress=False)
    assert sorted(path.name.partition("_32x32")[0] for path in tmp_path.iterdir()) == [
        "veri776_gallery",
        "veri776_query",
    ]


def test_a_full_disk_costs_the_cache_not_the_run(veri_root, tmp_path):
    (tmp_path / "file").write_text("")
    plain, fast = build_datamanager(veri_root), build_datamanager(veri_root)
    speed_up(fast, str(tmp_path / "file"), progress=False)
    assert fast.train_loader.dataset.image_reader.caches == []
    assert_same_items(items(plain.train_loader.dataset), items(fast.train_loader.dataset))
