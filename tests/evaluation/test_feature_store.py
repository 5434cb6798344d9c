"""ealn_plugin/evaluation/feature_store.py: stored features are used as long as nothing they depend on changed."""

import os

import numpy as np
import pytest
import torch

from ealn_plugin.evaluation.feature_store import (
    FeatureStore,
    fingerprint_of_images,
    fingerprint_of_networks,
    with_paths,
)
from ealn_plugin.evaluation.features import Features

KEY = {"weights": "abc", "image size": (32, 48), "images": "def"}


class Extraction:
    """Counts its calls; the features hold the count."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return Features(
            np.full((3, 2), self.calls), [1, 1, 2], [0, 1, 1], [0, 1, -1], [True, False, False], ["a", "b", "c"]
        )


def test_features_are_extracted_once(tmp_path):
    extract = Extraction()
    for _ in range(3):
        features = FeatureStore(tmp_path / "features").fetch("net", "veri776", KEY, extract)
        assert extract.calls == 1 and (features.embeddings == 1).all() and features.paths == ["a", "b", "c"]
    assert sorted(os.listdir(tmp_path / "features" / "net")) == ["veri776.json", "veri776.npz"]
    FeatureStore(tmp_path / "features").fetch("net", "vehicleid", KEY, extract)
    FeatureStore(tmp_path / "features").fetch("other", "veri776", KEY, extract)
    assert extract.calls == 3


@pytest.mark.parametrize("change", [{"weights": "abd"}, {"image size": (48, 32)}, {"images": ""}, {"new": 1}])
def test_a_changed_key_is_noticed(tmp_path, change, caplog):
    extract, store = Extraction(), FeatureStore(tmp_path)
    store.fetch("net", "veri776", KEY, extract)
    with caplog.at_level("INFO"):
        assert (store.fetch("net", "veri776", {**KEY, **change}, extract).embeddings == 2).all()
    assert f"changed since: {next(iter(change))}" in caplog.text
    store.fetch("net", "veri776", {**KEY, **change}, extract)
    assert extract.calls == 2


def test_recompute(tmp_path):
    extract = Extraction()
    FeatureStore(tmp_path).fetch("net", "veri776", KEY, extract)
    assert (FeatureStore(tmp_path, recompute=True).fetch("net", "veri776", KEY, extract).embeddings == 2).all()
    assert (FeatureStore(tmp_path).fetch("net", "veri776", KEY, extract).embeddings == 2).all()


@pytest.mark.parametrize(
    "name, content",
    [("veri776.npz", b"PK broken"), ("veri776.json", b"{"), ("veri776.json", b"[]"), ("veri776.json", None)],
)
def test_damaged_files_are_made_again(tmp_path, name, content):
    extract, store = Extraction(), FeatureStore(tmp_path)
    store.fetch("net", "veri776", KEY, extract)
    path = tmp_path / "net" / name
    path.unlink() if content is None else path.write_bytes(content)
    assert (store.fetch("net", "veri776", KEY, extract).embeddings == 2).all()


def test_new_features_never_stand_beside_an_old_key(tmp_path, monkeypatch):
    extract, store = Extraction(), FeatureStore(tmp_path)
    store.fetch("net", "veri776", KEY, extract)

    def killed(features, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Features, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        store.fetch("net", "veri776", {**KEY, "weights": "new"}, extract)
    monkeypatch.undo()
    assert (store.fetch("net", "veri776", KEY, extract).embeddings == 3).all()


def test_fingerprints_of_networks():
    def network(bias=0.0):
        torch.manual_seed(0)
        layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        layer[0].bias.data += bias
        return layer

    assert fingerprint_of_networks(network()) == fingerprint_of_networks(network())
    changed = network()
    changed[1].running_mean += 1e-6
    others = [network(1e-7), changed, network().double()]
    prints = [fingerprint_of_networks(network) for network in (network(), *others)] + [
        fingerprint_of_networks(network(), network())
    ]
    assert len(set(prints)) == len(prints)


def test_fingerprints_of_images(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder / "query").mkdir(parents=True)
        for name in ("query/1.jpg", "2.jpg"):
            (tmp_path / folder / name).write_bytes(name.encode())
            os.utime(tmp_path / folder / name, ns=(10**18, 10**18))

    def items(folder, pid=7, camid=1, is_query=True, name="2.jpg"):
        return [
            (str(tmp_path / folder / "query/1.jpg"), 3, 0, False),
            (str(tmp_path / folder / name), pid, camid, is_query),
        ]

    first = fingerprint_of_images(items("here"), [0, 1])
    assert first == fingerprint_of_images(items("there"), [0, 1])
    others = [
        fingerprint_of_images(items("here", **change), [0, 1])
        for change in ({"pid": 8}, {"camid": 2}, {"is_query": False}, {"name": "3.jpg"})
    ]
    others += [fingerprint_of_images(items("here"), [0, -1]), fingerprint_of_images(items("here")[:1], [0])]
    (tmp_path / "here" / "2.jpg").write_bytes(b"other")
    others.append(fingerprint_of_images(items("here"), [0, 1]))
    assert len({first, *others}) == len(others) + 1


def test_paths_are_replaced():
    features = Extraction()()
    assert with_paths(features, ["x", "y", "z"]).paths == ["x", "y", "z"] and features.paths == ["a", "b", "c"]
