"""viewpoint_classifier.py on images whose fronts have a white band; --slow: on rendered vehicles."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ealn_plugin.data.synthetic import render_dataset
from ealn_plugin.labelling import classifier as vc
from ealn_plugin.labelling import labels as view_labels
from ealn_plugin.labelling.accuracy import view_report
from tests.helpers.standins import make_veri_folder

TRAINING = dict(steps=60, batch_size=16, progress=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = make_veri_folder(tmp_path_factory.mktemp("views"), train=16, test=8)
    return view_labels.labelled_images(["veri776"], str(root))


def _load(part, size=32):
    paths, views = zip(*part)
    return vc.load_images(paths, size, progress=False), torch.tensor(views)


@pytest.fixture(scope="module")
def trained(images):
    return vc.train_classifier(*_load(images.train), **TRAINING)


def test_it_learns_and_finds_the_views_of_other_vehicles(images, trained):
    paths, views = zip(*images.test)
    probabilities = vc.predict(trained, list(paths), progress=False)
    assert probabilities.shape == (len(paths), 3)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(paths)))
    assert view_report(probabilities, views, 0.5)["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state(images):
    pixels, labels = _load(images.train)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    runs = [
        vc.train_classifier(pixels, labels, steps=3, batch_size=4, seed=seed, progress=False).state_dict()
        for seed in (7, 7, 8)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())
    assert not all(torch.equal(value, runs[2][name]) for name, value in runs[0].items())


def test_mirror_images_get_the_same_logits_and_flags_stay(trained):
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    trained.train()
    torch.testing.assert_close(
        vc.predict_logits(trained, pixels), vc.predict_logits(trained, pixels.flip(3)), atol=1e-4, rtol=1e-4
    )
    assert trained.training and all(parameter.requires_grad for parameter in trained.parameters())
    trained.eval()
    assert vc.predict_logits(trained, pixels[:0]).shape == (0, 3)


def test_calibration_finds_the_temperature_of_a_search(trained, images, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (500,), generator=generator)
    logits = 6 * torch.randn(500, 3, generator=generator) + 5 * F.one_hot(labels, 3)  # far too sure of itself
    monkeypatch.setattr(vc, "predict_logits", lambda classifier, images: logits)
    classifier = vc.ViewpointClassifier(size=32)
    found = vc.calibrate(classifier, None, labels)
    searched = min(np.arange(0.5, 20, 0.01), key=lambda t: F.cross_entropy(logits / t, labels).item())
    assert found == classifier.temperature == pytest.approx(searched, abs=0.02) and found > 2


def test_a_saved_classifier_is_the_same(trained, images, tmp_path):
    trained.temperature = 1.7
    vc.save_classifier(trained, str(tmp_path / "c.pth"), {"accuracy": 0.5, "sources": ["a"]})
    loaded, report = vc.load_classifier(str(tmp_path / "c.pth"))
    paths = [path for path, _ in images.test[:6]]
    assert torch.equal(vc.predict(loaded, paths, progress=False), vc.predict(trained, paths, progress=False))
    assert report == {"accuracy": 0.5, "sources": ["a"]} and loaded.temperature == 1.7
    trained.temperature = 1.0


@pytest.mark.parametrize("content", [b"no archive", None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {}}, path) if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match="c.pth"):
        vc.load_classifier(str(path))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        vc.load_classifier(str(tmp_path / "none.pth"))


def test_a_broken_image_is_unknown_when_labelled_and_an_error_when_learned_from(trained, tmp_path, caplog):
    Image.new("RGB", (50, 30), (9, 9, 9)).save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 not a picture")
    paths = [str(tmp_path / name) for name in ("good.png", "bad.jpg")]
    with caplog.at_level("WARNING"):
        probabilities = vc.predict(trained, paths, progress=False)
    assert probabilities[0].sum() > 0.99 and probabilities[1].tolist() == [0, 0, 0]
    assert "1 of 2 images cannot be decoded" in caplog.text
    with pytest.raises(RuntimeError, match="bad.jpg"):
        vc.load_images(paths, 32, progress=False)


def test_worker_processes_change_nothing(images):
    paths = [path for path, _ in images.train] * 7
    assert len(paths) > 2 * 256
    assert torch.equal(vc.load_images(paths, 24, 2, progress=False), vc.load_images(paths, 24, 0, progress=False))


@pytest.mark.parametrize(
    "labels, options, words",
    [
        ([0, 0, 2], {}, "labelled rear"),
        ([0, 1, 2], {"steps": 0}, "steps is 0"),
        ([0, 1, 2], {"batch_size": 1}, "batch_size is 1"),
        ([0, 1, 2], {"model": "nothing"}, "'nothing'"),
        ([0, 1, 2], {"model": "pcb_p6"}, "branches"),
    ],
)
def test_wrong_arguments(labels, options, words):
    pixels = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match=words):
        vc.train_classifier(pixels, torch.tensor(labels), **{**TRAINING, **options})


@pytest.mark.slow
def test_front_and_rear_of_rendered_vehicles(tmp_path):
    """The 97% that are asked for, from the tool's defaults: of the labels on held-out vehicles, which vary as much as
    those that were learned from, and of all images of the benchmark, which shows other makes."""
    roots = [tmp_path / "own", tmp_path / "other"]
    for root, preset, seed in zip(roots, (view_labels.VARIED, "tiny"), (0, 5), strict=True):
        render_dataset(root, preset=preset, seed=seed, progress=False)
    own, other = (view_labels.labelled_images(["veri776"], str(root)) for root in roots)
    classifier = vc.train_classifier(*_load(own.train, 64), progress=False)
    vc.calibrate(classifier, *_load(own.calibration, 64))
    for part, key in ((own.test, "labelled_front_rear_accuracy"), (other.train + other.test, "front_rear_accuracy")):
        paths, views = zip(*part)
        report = view_report(vc.predict(classifier, list(paths), progress=False), views, 0.9)
        assert report[key] >= 0.97 and report["front_rear_accuracy"] >= 0.94, report
        assert report["calibration_error"] < 0.05 and report["coverage"] > 0.7, report
