"""ealn_plugin/benchmark/loader.py: what is compared is equal, what is timed is what the loaders do."""

import json

import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.benchmark import loader
from ealn_plugin.data.synthetic.presets import Preset


@pytest.fixture(scope="module")
def result(veri_root):
    return loader.measure_loading(
        str(veri_root),
        height=24,
        width=32,
        transforms=("random_flip", "color_jitter"),
        batch_size=4,
        repeats=2,
        workers=1,
    )


def test_figures_of_every_kind_and_size(result):
    assert result["images"] == {"1x": 8, "2x": 16, "4x": 36, "compared": 36}
    assert result["pixels_equal"] == {"cache off": True, "cache on": True}
    for size in ("1x", "2x", "4x"):
        values = result["images_per_s_per_core"][size]
        assert list(values) == ["torchreid", "cache off", "cache on"] and min(values.values()) > 0
        for kind in ("cache off", "cache on"):
            assert result["times_faster"][size][kind] == values[kind] / values["torchreid"]
    assert set(result["images_per_s_with_workers"]) == {"torchreid", "cache off", "cache on"}
    stages = result["microseconds_per_image"]
    assert set(stages["torchreid"]) == {
        "decode",
        "resize",
        "augment pictures",
        "to tensor, normalize",
        "augment tensors",
        "batch",
    }
    assert set(stages["ours"]) == {"cache", "augment and normalize", "batch", "seed"}
    assert result["cache"]["mib"] == pytest.approx(36 * 24 * 32 * 3 / 2**20)
    json.dumps(result)


def test_the_table_says_what_was_measured(result):
    text = "\n".join(loader.loading_table(result))
    assert "24 x 32, random_flip, color_jitter" in text and "pixels with cache on: equal to torchreid's, all 36" in text
    assert f"{result['times_faster']['4x']['cache on']:.2f} x" in text and "1 workers, wall clock" in text
    worse = "\n".join(loader.loading_table({**result, "pixels_equal": {"cache off": False, "cache on": True}}))
    assert "pixels with cache off: NOT THOSE OF torchreid's" in worse


def test_a_pixel_that_differs_is_found(veri_root, tmp_path):
    manager = toolkit.build_datamanager(
        root=str(veri_root),
        sources="veri776",
        height=32,
        width=32,
        workers=0,
        batch_size_train=4,
        train_sampler="SequentialSampler",
        use_gpu=False,
    )
    datasets, _ = loader.three_datasets(manager.train_loader.dataset, "veri776", str(tmp_path), 0)
    reader = datasets["cache on"].image_reader

    def wrong(path):
        image = reader(path)
        if path == manager.train_loader.dataset.data[17][0]:
            image[2, 31, 31] += 1e-6
        return image

    assert loader.compare_pixels(datasets, 0) == {"cache off": True, "cache on": True}
    toolkit.set_image_reader(datasets["cache on"], wrong)
    assert loader.compare_pixels(datasets, 0) == {"cache off": True, "cache on": False}


def test_every_kind_loads_the_same_images(veri_root, tmp_path):
    manager = toolkit.build_datamanager(
        root=str(veri_root),
        sources="veri776",
        height=32,
        width=32,
        workers=0,
        transforms=[],
        batch_size_train=4,
        train_sampler="SequentialSampler",
        use_gpu=False,
    )
    datasets, _ = loader.three_datasets(manager.train_loader.dataset, "veri776", str(tmp_path), 0)
    seen = {kind: list(loader.epoch_of(kind, dataset, 16, 4, 0, 0)(3)) for kind, dataset in datasets.items()}
    assert [data["impath"] for data in seen["torchreid"]] == [
        [item[0] for item in manager.train_loader.dataset.data[start : start + 4]] for start in (0, 4, 8, 12)
    ]
    for kind in ("cache off", "cache on"):
        for a, b in zip(seen["torchreid"], seen[kind], strict=True):
            assert a["impath"] == b["impath"] and torch.equal(a["img"], b["img"])


def test_without_a_folder_pictures_are_rendered_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    few = Preset(
        train_vehicles=4,
        train_images=16,
        train_tracks=8,
        test_vehicles=2,
        test_images=8,
        test_tracks=4,
        cameras=4,
        models=2,
        image_size=32,
    )
    result = loader.measure_loading(preset=few, batch_size=4, repeats=1, workers=0)
    assert result["images"]["compared"] == 16 and all(result["pixels_equal"].values())
    assert list(tmp_path.iterdir()) == []


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with loader.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_too_few_images(veri_root):
    with pytest.raises(ValueError, match="veri776 has 36 training images, expected at least 4 batches of 10; lower"):
        loader.measure_loading(str(veri_root), batch_size=10)
