"""ealn_plugin/data/identities.py: labels of people's own datasets are numbered, or refused in one sentence."""

import pathlib

import numpy as np
import pytest
import torch

from ealn_plugin import EALNEngine, toolkit
from tests.helpers.standins import TinyBackbone, build_datamanager, build_engine

NAME = "somebodys_own"


def dataset_of(root, relabel):
    """A dataset class over the stand-in VeRI-776 whose tuples ``relabel`` (of split, path, pid, camid) has made."""
    known = toolkit.build_dataset("veri776", str(root))

    class Own(toolkit.ImageDataset):
        def __init__(self, root="", **kwargs):
            lists = {
                split: [relabel(split, *item[:3]) for item in getattr(known, split)]
                for split in ("train", "query", "gallery")
            }
            super().__init__(*lists.values(), **kwargs)

    return Own


@pytest.fixture
def manager_of(veri_root, monkeypatch):
    def make(relabel, **options):
        registry = toolkit._private_dict(toolkit.torchreid.data.register_image_dataset, "__image_datasets")
        monkeypatch.setitem(registry, NAME, dataset_of(veri_root, relabel))
        return build_datamanager(veri_root, sources=NAME, **options)

    return make


def on(part, change_pid=lambda pid: pid, change_camid=lambda camid: camid):
    """A relabelling of the training images ('train') or of query and gallery ('test')."""

    def relabel(split, path, pid, camid):
        if (split == "train") != (part == "train"):
            return path, pid, camid
        return path, change_pid(pid), change_camid(camid)

    return relabel


def trained(manager):
    engine = build_engine(manager, ("hard",))
    return engine.run(max_epoch=1, progress=False, test_untrained=False, sample_every=0, diagnose_every=0)


GOOD = {
    "texts": (lambda pid: f"vehicle {pid:03d}", lambda camid: f"c{camid:03d}"),
    "texts of digits": (lambda pid: f"{pid:04d}", str),
    "numpy's texts": (lambda pid: np.str_(f"{pid:04d}"), str),
    "int64 of numpy": (np.int64, np.int64),
    "int32 of numpy": (np.int32, np.int16),
    "uint8 of numpy": (np.uint8, np.uint8),
}


@pytest.fixture(scope="module")
def plain_result(veri_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plain"))
        return trained(build_datamanager(veri_root, sources="veri776"))["datasets"]["veri776"]["veri_image"]


@pytest.mark.parametrize("kind", GOOD)
def test_labels_that_can_be_numbered_give_the_same_run(manager_of, kind, plain_result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = trained(manager_of(lambda split, path, pid, camid: (pathlib.Path(path), *labels(kind, pid, camid))))
    found = results["datasets"][NAME]["image"]
    assert found == {key: plain_result[key] for key in found}


def labels(kind, pid, camid):
    pid_of, camid_of = GOOD[kind]
    return pid_of(pid), camid_of(camid)


BAD_PIDS = {
    "counted from 1": (lambda pid: pid + 1, "pid 6, expected whole numbers from 0 to 5, as the model tells 6 .* apart"),
    "raw": (lambda pid: 7 * pid + 100, "pid 100, expected whole numbers from 0 to 5"),
    "negative": (lambda pid: pid - 1, "pid -1, expected whole numbers from 0 to 5"),
    "float": (float, r"pid 0.0 \(float\), expected a whole number \(int\), or texts for all of them"),
    "numpy's float": (np.float32, r"pid np.float32\(0.0\) \(float32\), expected a whole number"),
    "bool": (lambda pid: pid > 2, r"pid False \(bool\), expected a whole number"),
    "None": (lambda pid: None, r"pid None \(NoneType\)"),
    "tuple": (lambda pid: (pid, 1), r"pid \(0, 1\) \(tuple\)"),
    "some texts": (lambda pid: str(pid) if pid == 3 else pid, r"pid '3' \(str\), expected a whole number"),
    "too large": (lambda pid: 2**70 + pid, r"pid 1180591620717411303424 \(int\), expected a whole number"),
    "bytes": (lambda pid: b"%d" % pid, r"pid b'0' \(bytes\)"),
}


@pytest.mark.parametrize("kind", BAD_PIDS)
def test_training_pids_that_cannot_work(manager_of, kind):
    change, sentence = BAD_PIDS[kind]
    manager = manager_of(on("train", change), train_sampler="RandomSampler")
    with pytest.raises(ValueError, match=f"image '.*image_train.*jpg' of the training images has the {sentence}"):
        build_engine_of_six(manager)


def build_engine_of_six(manager):
    """An engine whose network tells the six identities apart that there are, however they are labelled."""
    manager._num_train_pids = 6
    return build_engine(manager, ("hard",))


def test_tensors_are_no_labels(manager_of):
    """Two tensors of one value are different keys of a dict: torchreid counts an identity for every image."""
    manager = manager_of(on("train", torch.tensor))
    with pytest.raises(ValueError, match=r"has the pid tensor\(0\) \(Tensor\), expected a whole number"):
        build_engine(manager, ("hard",))


@pytest.mark.parametrize("change", [float, lambda label: None, lambda label: label > 1, torch.tensor])
@pytest.mark.parametrize("column", ["pid", "camid"])
def test_test_labels_that_cannot_work(manager_of, column, change):
    manager = manager_of(on("test", **{f"change_{column}": change}))
    with pytest.raises(
        ValueError, match=f"image '.*' of the test images of {NAME} has the {column} .*expected a whole"
    ):
        build_engine(manager, ("hard",))


def test_a_test_of_untrained_labels(manager_of, tmp_path, monkeypatch):
    """Without an optimizer nothing is trained, and training labels may be anything."""
    monkeypatch.chdir(tmp_path)
    manager = manager_of(on("train", lambda pid: pid + 100))
    engine = EALNEngine(manager, TinyBackbone(2), use_gpu=False)
    assert engine.run(test_only=True, progress=False)["primary"] == f"{NAME}/image"


def test_a_model_of_too_few_classes(datamanager):
    optimizer = torch.optim.SGD(TinyBackbone(2).parameters(), lr=0.1)
    with pytest.raises(
        ValueError, match="has the pid 2, expected whole numbers from 0 to 1, as the model tells 2 iden"
    ):
        EALNEngine(datamanager, TinyBackbone(2), optimizer, use_gpu=False)
