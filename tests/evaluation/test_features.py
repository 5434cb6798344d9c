import os

import numpy as np
import pytest

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation import features as module
from ealn_plugin.evaluation.features import Features


def features_of(images=6, paths=True):
    rng = np.random.default_rng(0)
    return Features(
        rng.normal(size=(images, 4)),
        list(range(images)),
        np.zeros(images, dtype=np.int32),
        np.full(images, View.REAR),
        np.arange(images) % 3 == 0,
        [f"/data/{image}.jpg" for image in range(images)] if paths else [],
    )


def equal(a, b):
    for name in ("embeddings", "pids", "camids", "views", "is_query"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    assert a.paths == b.paths


def test_types_are_the_documented_ones():
    features = features_of()
    assert [getattr(features, name).dtype.name for name in ("embeddings", "pids", "camids", "views", "is_query")] == [
        "float32",
        "int64",
        "int64",
        "int64",
        "bool",
    ]
    assert len(features) == 6


def test_query_and_gallery_are_complementary_subsets():
    features = features_of()
    assert features.query.pids.tolist() == [0, 3] and features.query.paths == ["/data/0.jpg", "/data/3.jpg"]
    assert features.gallery.pids.tolist() == [1, 2, 4, 5]
    assert features.query.is_query.all() and not features.gallery.is_query.any()
    equal(features.subset(features.is_query), features.subset([0, 3]))


@pytest.mark.parametrize("paths", [True, False])
def test_round_trip_through_a_file(tmp_path, paths):
    features = features_of(paths=paths)
    features.save(tmp_path / "features.npz")
    equal(Features.load(tmp_path / "features.npz"), features)
    assert os.listdir(tmp_path) == ["features.npz"]


def test_file_holds_plain_arrays_under_their_public_names(tmp_path):
    features_of().save(tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["camids", "features", "is_query", "paths", "pids", "views"]


def test_a_failed_write_keeps_the_file_of_before(tmp_path, monkeypatch):
    features_of().save(tmp_path / "f.npz")

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="f.npz' could not be written .*No space left.*free some space"):
        features_of(3).save(tmp_path / "f.npz")
    assert os.listdir(tmp_path) == ["f.npz"]
    equal(Features.load(tmp_path / "f.npz"), features_of())


def test_features_made_elsewhere_need_only_two_arrays(tmp_path):
    np.savez(tmp_path / "f.npz", features=np.zeros((3, 2)), pids=[1, 1, 2])
    features = Features.load(tmp_path / "f.npz")
    assert features.views.tolist() == [View.UNKNOWN] * 3
    assert not features.is_query.any() and features.paths == []
    np.savez(tmp_path / "f.npz", features=np.zeros((3, 2)), pids=[1, 1, 2], is_query=[True, False, False])
    assert Features.load(tmp_path / "f.npz").camids.tolist() == [0, 1, 1]


def test_bad_files_get_a_sentence(tmp_path):
    path = tmp_path / "f.npz"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Features.load(path)
    np.savez(path, features=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="expected also pids"):
        Features.load(path)
    np.savez(path, features=np.zeros((3, 2)), pids=np.array([1, "a", None], dtype=object))
    with pytest.raises(ValueError, match="plain arrays"):
        Features.load(path)
    features_of(500).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="cannot be read as an .npz"):
        Features.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read as an .npz"):
        Features.load(path)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"embeddings": np.zeros((2, 3, 4))}, r"shape \(2, 3, 4\), expected \[images, dimensions\]"),
        ({"pids": [1]}, r"pids has shape \(1,\), expected \(2,\)"),
        ({"is_query": [[True, False]]}, r"is_query has shape \(1, 2\)"),
        ({"paths": ["a"]}, "paths has 1 entries, expected 2"),
    ],
)
def test_arrays_that_do_not_fit(changes, sentence):
    arrays = dict(embeddings=np.zeros((2, 3)), pids=[1, 2], camids=[0, 1], views=[0, 1], is_query=[True, False])
    with pytest.raises(ValueError, match=sentence):
        Features(**{**arrays, **changes})


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"features": np.zeros(())},
            r"embeddings \(the array 'features'\) have shape \(\), expected \[images, dimensions",
        ),
        ({"features": np.full((2, 3), 1 + 2j)}, r"embeddings \(the array 'features'\) hold complex128, expected"),
        ({"features": np.full((2, 3), "0.5")}, r"embeddings \(the array 'features'\) hold <U3, expected real"),
        ({"pids": np.array(7)}, r"pids has shape \(\), expected \(2,\)"),
        ({"pids": [1.5, 2.0]}, r"pids\[0\] is 1.5, expected whole numbers; number them"),
        ({"pids": [1.0, np.nan]}, r"pids\[1\] is nan, expected whole numbers"),
        ({"pids": [1.0, 1e300]}, r"pids\[1\] is 1e\+300, expected whole numbers"),
        ({"pids": np.array([1, 2**63], dtype=np.uint64)}, r"pids\[1\] is 9223372036854775808, expected"),
        ({"pids": ["12", "13"]}, "pids holds <U2, expected whole numbers; number them"),
        ({"pids": [1j, 2]}, "pids holds complex128, expected whole numbers"),
        ({"camids": [0, 0.5]}, r"camids\[1\] is 0.5, expected whole numbers"),
        ({"camids": ["c1", "c2"]}, "camids holds <U2, expected whole numbers"),
        (
            {"views": [0, 3]},
            r"views\[1\] is 3, expected 0 \(front\), 1 \(rear\), 2 \(side\), -1 \(unknown\); translate",
        ),
        ({"views": [-2, 0]}, r"views\[0\] is -2, expected 0 \(front\)"),
        ({"views": ["front", "rear"]}, r"views holds <U5, expected 0 \(front\)"),
        ({"is_query": ["True", "False"]}, "is_query holds <U5, expected True or False; store booleans"),
        ({"is_query": [0, 2]}, r"is_query\[1\] is 2, expected True or False"),
        ({"is_query": np.array(True)}, r"is_query has shape \(\), expected \(2,\)"),
        ({"paths": np.array("a.jpg")}, "paths is 'a.jpg', expected 2 file names or none"),
        ({"paths": np.array(3)}, "paths is 3, expected 2 file names or none"),
        ({"paths": [1, 2]}, "paths has the entry 1, expected file names"),
        ({"paths": np.array([b"a", b"b"])}, "paths has the entry b'a', expected file names"),
    ],
)
def test_arrays_of_the_wrong_kind_are_named_with_their_file(tmp_path, changes, sentence):
    np.savez(tmp_path / "f.npz", **{"features": np.zeros((2, 3)), "pids": [1, 2], **changes})
    with pytest.raises(ValueError, match=r"^'.*f\.npz': " + sentence) as caught:
        Features.load(tmp_path / "f.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16, ">f4"])
def test_large_files_are_mapped_and_equal(tmp_path, monkeypatch, save, dtype):
    monkeypatch.setattr(module, "LARGE", 100)
    monkeypatch.setattr(module, "BLOCK", 7 * 4)
    values = (np.random.default_rng(0).normal(size=(50, 3)) * 100).astype(dtype)
    save(tmp_path / "f.npz", features=values, pids=np.arange(50))
    features = Features.load(tmp_path / "f.npz")
    np.testing.assert_array_equal(features.embeddings, values.astype(np.float32))
    assert isinstance(features.embeddings.base, np.memmap) or isinstance(features.embeddings.base.base, np.memmap)
    assert os.listdir(tmp_path) == ["f.npz"]
    features.save(tmp_path / "g.npz")
    equal(Features.load(tmp_path / "g.npz"), features)


def test_large_arrays_in_columns_or_of_another_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 100)
    values = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32))
    np.savez(tmp_path / "f.npz", features=values, pids=np.arange(50))
    np.testing.assert_array_equal(Features.load(tmp_path / "f.npz").embeddings, values)
    np.savez(tmp_path / "f.npz", features=np.zeros((5, 5, 5)), pids=np.arange(5))
    with pytest.raises(ValueError, match=r"f.npz': embeddings .*shape \(5, 5, 5\)"):
        Features.load(tmp_path / "f.npz")


@pytest.mark.parametrize("position", [0.2, 0.5, 0.95])
def test_a_damaged_large_file_is_noticed(tmp_path, monkeypatch, position):
    monkeypatch.setattr(module, "LARGE", 100)
    np.savez(tmp_path / "f.npz", pids=np.arange(3), features=np.ones((3, 4000), dtype=np.float32))
    content = bytearray((tmp_path / "f.npz").read_bytes())
    content[int(position * len(content))] ^= 1
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as an .npz file"):
        Features.load(tmp_path / "f.npz")


def test_a_large_file_that_the_disk_cannot_take(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 100)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    np.savez(tmp_path / "f.npz", features=np.ones((50, 3)), pids=np.arange(50))
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OSError, match="features of 50 images cannot be kept in .*No space left"):
        Features.load(tmp_path / "f.npz")


def test_whole_floats_and_zeros_and_ones_are_what_they_say(tmp_path):
    np.savez(
        tmp_path / "f.npz",
        features=np.ones((2, 3), dtype=np.float16),
        pids=[1.0, 2.0],
        views=[-1.0, 2.0],
        is_query=[0, 1.0],
        paths=["a", "b"],
    )
    features = Features.load(tmp_path / "f.npz")
    assert features.pids.tolist() == [1, 2] and features.views.tolist() == [View.UNKNOWN, View.SIDE]
    assert features.is_query.tolist() == [False, True] and features.paths == ["a", "b"]
    assert features.camids.tolist() == [1, 0]
