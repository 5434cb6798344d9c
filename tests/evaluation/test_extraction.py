"""ealn_plugin/evaluation/extraction.py: the fused feature by hand, features in the loaders' order."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from ealn_plugin.evaluation.extraction import fuse
from ealn_plugin.evaluation.protocols import evaluate, protocols_of
from tests.helpers.standins import build_engine


def unit(*shape):
    return functional.normalize(torch.rand(*shape) - 0.5, dim=1)


def test_fusion_by_view_and_own_first():
    own, other, views = unit(4, 5), unit(4, 5), torch.tensor([0, 1, 2, -1])  # front, rear, side, unknown
    scale = 2**-0.5
    by_view = fuse(own, other, views)
    expected = [(own[0], other[0]), (other[1], own[1]), (own[2], own[2]), (own[3], own[3])]
    torch.testing.assert_close(by_view, torch.stack([torch.cat(pair) for pair in expected]) * scale)
    expected[1] = (own[1], other[1])
    own_first = fuse(own, other, views, "own_first")
    torch.testing.assert_close(own_first, torch.stack([torch.cat(pair) for pair in expected]) * scale)
    torch.testing.assert_close(by_view.norm(dim=1), torch.ones(4))
    with pytest.raises(ValueError, match="fusion is 'mean'"):
        fuse(own, other, views, "mean")


def test_features_are_those_of_each_image(datamanager):
    engine = build_engine(datamanager)
    loaders = engine.test_loader["veri776"]
    engine.embedding.eval()
    with torch.no_grad():
        own, fused = engine.extraction.dataset(loaders, "veri776", progress=False)
        items = [(True, item) for item in loaders["query"].dataset.data]
        items += [(False, item) for item in loaders["gallery"].dataset.data]
        assert own.paths == [item[0] for _, item in items] == fused.paths
        assert own.is_query.tolist() == [is_query for is_query, _ in items]
        assert own.pids.tolist() == [item[1] for _, item in items]
        assert own.views.tolist() == engine.views_of(own.paths).tolist()
        for row in (0, 9, len(items) - 1):
            dataset = loaders["query" if own.is_query[row] else "gallery"].dataset
            image = dataset[row if own.is_query[row] else row - int(own.is_query.sum())]["img"][None]
            features = functional.normalize(engine.model(image), dim=1)
            torch.testing.assert_close(torch.from_numpy(own.embeddings[row]), features[0])
            made = engine.schemes[1].other_view(engine.pixels.to_generator(image), engine.views_of([own.paths[row]]))
            other = functional.normalize(engine.model(engine.pixels.to_embedding(made)), dim=1)
            expected = fuse(features, other, engine.views_of([own.paths[row]]))
            torch.testing.assert_close(torch.from_numpy(fused.embeddings[row]), expected[0])


def test_without_a_view_generator_nothing_is_fused(datamanager):
    engine = build_engine(datamanager, ("hard",))
    engine.embedding.eval()
    with torch.no_grad():
        own, fused = engine.extraction.dataset(engine.test_loader["veri776"], "veri776", progress=False)
    assert fused is None and own.embeddings.shape[1] == 8


def test_embeddings_grow_on_disk(datamanager, tmp_path):
    engine = build_engine(datamanager)
    engine.extraction.folder = tmp_path
    engine.embedding.eval()
    with torch.no_grad():
        for features in engine.extraction.dataset(engine.test_loader["veri776"], "veri776", progress=False):
            base = features.embeddings
            while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
                base = base.base
            assert isinstance(base, np.memmap)
    assert os.listdir(tmp_path) == []  # the files have no names


MANY = """
import resource, sys, types
import numpy as np, torch
from ealn_plugin.evaluation.extraction import FeatureExtraction

DIM, BATCH = 2048, 256

class Loader:
    def __init__(self, images):
        self.dataset = range(images)

    def __len__(self):
        return len(self.dataset) // BATCH

    def __iter__(self):
        labels = torch.zeros(BATCH, dtype=torch.long)
        for start in range(0, len(self.dataset), BATCH):
            yield {"img": torch.full((BATCH, 1), float(start)), "pid": labels, "camid": labels, "impath": [""] * BATCH}

def extract(images):
    extraction = FeatureExtraction(lambda images: images.repeat(1, DIM), None, (), views, "cpu", folder=sys.argv[1])
    return extraction.dataset({"query": Loader(BATCH), "gallery": Loader(images)}, "many", progress=False)[0]

views = lambda paths: torch.zeros(len(paths), dtype=torch.long)
extract(BATCH)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
features = extract(100 * BATCH)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert features.embeddings.shape == (101 * BATCH, DIM) and features.embeddings[-1, -1] == 99 * BATCH
assert features.embeddings[BATCH - 1, 0] == 0 and features.embeddings[3 * BATCH, 5] == 2 * BATCH
print(features.embeddings.nbytes / 2**20, grown)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """202 MiB of embeddings pass through a process whose memory does not follow."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    embeddings, grown = map(float, done.stdout.split())
    assert embeddings > 200 and grown < 60


def test_protocols_of_a_dataset(datamanager):
    loaders = datamanager.test_loader["veri776"]
    assert protocols_of(loaders)[0] == "veri_image" and protocols_of(loaders, ["image"]) == ("image",)


def test_results_are_plain_numbers(datamanager):
    engine = build_engine(datamanager, ())
    engine.embedding.eval()
    with torch.no_grad():
        own, _ = engine.extraction.dataset(engine.test_loader["veri776"], "veri776", progress=False)
    results = evaluate(own, ("veri_image", "cross_view"), ranks=(1, 5, 10))
    assert set(results) == {"veri_image", "cross_view"}
    for metrics in results.values():
        assert {"mAP", "rank1", "rank5", "rank10"} <= set(metrics)
        assert all(type(value) is float and 0 <= value <= 1 for value in metrics.values())
