"""ealn_plugin/search/gallery.py: which images, what is known of them, and their features."""

import shutil

import numpy as np
import pytest

from ealn_plugin import FeatureExtractor, View
from ealn_plugin.search.gallery import description, features_of, images_of, make_extractor


def test_a_dataset_with_all_that_it_knows(veri_root):
    found = images_of(["veri776"], str(veri_root))
    assert len(found) == 4 * 3 * 2 and set(found.pids.tolist()) == {7, 8, 9, 10}
    assert set(found.camids.tolist()) == {0, 1, 2} and set(found.views.tolist()) == {View.FRONT, View.REAR}
    assert found.paths[0] == str(veri_root / "VeRi" / "image_test" / "0007_c001_00000100_0.jpg")
    both = images_of(["veri776"], str(veri_root), ["query", "train"])
    assert len(both) == 8 + 36


def test_folders_and_files(veri_root, tmp_path):
    folder = tmp_path / "my cars"
    (folder / "sub").mkdir(parents=True)
    images = sorted((veri_root / "VeRi" / "image_test").iterdir())[:3]
    for image, name in zip(images, ("a.jpg", "b.jpg", "sub/new\nline.jpg")):
        shutil.copy(image, folder / name)
    (folder / "viewpoints.csv").write_text("image,view\nb.jpg,rear\n")
    found = images_of([str(folder), str(images[0])])
    assert found.paths == [str(folder / name) for name in ("a.jpg", "b.jpg", "sub/new\nline.jpg")] + [str(images[0])]
    assert found.views[:3].tolist() == [View.UNKNOWN, View.REAR, View.UNKNOWN]
    assert (found.pids == -1).all() and (found.camids == -1).all()


def test_what_is_not_there_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder 'no/such.jpg'; give one, or the name of"):
        images_of(["no/such.jpg"])
    with pytest.raises(ValueError, match="dataset 'veri777' is unknown"):
        images_of(["veri777"])
    with pytest.raises(FileNotFoundError, match="holds no image"):
        images_of([str(tmp_path)])


def test_features_come_with_the_views_that_were_used(veri_root, run_folder, tmp_path, caplog):
    extractor = FeatureExtractor(run_folder, device="cpu", batch_size=5)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    found = images_of(["veri776", str(tmp_path / "cut.jpg")], str(veri_root)).take([0, 1, 24, 9, 2, 3, 4])
    parts = list(features_of(extractor, found, skip_unreadable=True, progress=False))
    assert [len(records) for records, _ in parts] == [4, 2] and "left out: image" in caplog.text
    records = [path for part, _ in parts for path in part.paths]
    assert records == [path for path in found.paths if not path.endswith("cut.jpg")]
    np.testing.assert_array_equal(np.concatenate([part.views for part, _ in parts]), np.delete(found.views, 2))
    features = np.concatenate([features for _, features in parts])
    np.testing.assert_allclose(features, extractor(records).numpy(), atol=1e-6)


def test_the_extractor_of_a_description(run_folder):
    of_run = make_extractor(description(run=str(run_folder), fusion=False), device="cpu", batch_size=3)
    weights = str(run_folder / "model" / "model-last.pth.tar")
    of_model = make_extractor(description(model="squeezenet1_1", weights=weights, height=32, width=32), device="cpu")
    assert of_run.batch_size == 3 and of_run.dim == of_model.dim == 512
    assert make_extractor(description(run=str(run_folder)), device="cpu").dim == 1024
