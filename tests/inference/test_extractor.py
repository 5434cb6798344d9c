"""ealn_plugin/inference/extractor.py: the engine's own numbers, from anything that can be an image."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin import FeatureExtractor, View, toolkit
from ealn_plugin.config import default_config
from ealn_plugin.data import VIEWPOINTS
from ealn_plugin.labelling import classifier as viewpoint_classifier
from ealn_plugin.models.modes import evaluating
from ealn_plugin.reports.subjects import RunSubject
from tests.helpers.standins import use_tiny_backbone


@pytest.fixture(scope="module")
def own_and_fused(run_folder):
    """(own, fused): the Features of the engine's test phase."""
    engine = RunSubject(str(run_folder), "run").engine()
    with evaluating(engine.embedding, *engine.schemes):
        return engine.extraction.dataset(engine.test_loader["veri776"], "veri776", progress=False)


@pytest.fixture(scope="module")
def extractor(run_folder):
    return FeatureExtractor(run_folder, device="cpu")


def close(features, expected, tolerance=1e-6):
    np.testing.assert_allclose(np.asarray(features), np.asarray(expected), rtol=0, atol=tolerance)


def test_own_and_fused_features_are_the_engines(own_and_fused, extractor, run_folder):
    own, fused = own_and_fused
    assert len(own) == 32 and set(own.views.tolist()) == {0, 1} and np.ptp(own.embeddings, axis=0).max() > 1e-3
    assert extractor.dim == 1024 and np.abs(fused.embeddings[:, :512] - fused.embeddings[:, 512:]).max() > 1e-3
    features = extractor(own.paths)  # their views are in the label table
    assert features.dtype == torch.float32 and features.shape == (32, 1024)
    close(features, fused.embeddings)
    close(features.norm(dim=1), np.ones(32))
    alone = FeatureExtractor(extractor.run, fusion=False, batch_size=7)
    assert alone.dim == 512
    close(alone(own.paths), own.embeddings)
    assert alone.identity != extractor.identity
    assert alone.identity["weights"] != extractor.identity["weights"]


def test_views_that_are_given_count_more_than_the_table(own_and_fused, extractor):
    own, fused = own_and_fused
    rows = [0, 9, 20, 31]
    paths = [own.paths[row] for row in rows]
    views = [View(int(own.views[row])) for row in rows]
    close(extractor(paths, views), fused.embeddings[rows])
    close(extractor(paths, [view.name.lower() for view in views]), fused.embeddings[rows])
    unknown = extractor(paths, ["unknown", -1, "side", View.SIDE])
    twice = np.concatenate([own.embeddings[rows]] * 2, axis=1) / np.sqrt(2)
    close(unknown, twice)
    assert np.abs(np.asarray(unknown) - fused.embeddings[rows]).max() > 1e-3


def test_batches_and_workers_change_nothing(own_and_fused, extractor, run_folder):
    paths = own_and_fused[0].paths[:13]
    expected = extractor(paths)
    for options in (dict(batch_size=1), dict(batch_size=5), dict(batch_size=4, workers=2)):
        close(FeatureExtractor(extractor.run, **options)(paths), expected)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    extractor(paths[:2])
    assert torch.equal(torch.get_rng_state(), before)


def test_all_kinds_of_images_are_the_same_image(own_and_fused, extractor):
    path = own_and_fused[0].paths[4]
    image = toolkit.read_image(path)
    array = np.array(image)
    view = int(own_and_fused[0].views[4])
    expected = extractor(path)
    assert expected.shape == (1, 1024)
    pixels = torch.from_numpy(array).permute(2, 0, 1)
    for given in (
        os.fsencode(path).decode(),
        image,
        array,
        array[::-1][::-1],
        array[None],
        pixels,
        pixels[None],
        [pixels],
        np.array([path], dtype=object),
        image.convert("RGBA"),
    ):
        close(extractor(given, [view]), expected)
    close(extractor([path, image, array, pixels], [view] * 4), expected.repeat(4, 1))
    fitting = torch.from_numpy(np.array(image.resize((32, 32), Image.Resampling.BILINEAR))).permute(2, 0, 1) / 255
    close(extractor(fitting, [view]), expected)
    close(extractor(pixels / 255, [view]), expected, 0.01)  # resized without rounding to 8 bits


def write_odd_images(folder):
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (24, 36, 3)).astype(np.uint8)
    image = Image.fromarray(colours)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("P").save(folder / "palette.png")
    Image.fromarray(rng.integers(0, 65536, (24, 36)).astype(np.uint16)).save(folder / "sixteen bits.png")
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    image.save(folder / "rotated.jpg", exif=exif)
    Image.new("RGB", (1, 1), (9, 99, 200)).save(folder / "one pixel.png")
    image.save(folder / "animated.gif", save_all=True, append_images=[Image.new("RGB", image.size)])
    return sorted(folder.iterdir())


def test_odd_images_are_read_as_the_engine_reads_them(extractor, tmp_path):
    paths = write_odd_images(tmp_path)
    features = extractor(paths)
    data = default_config().data
    transform = toolkit.test_transform(32, 32, data.norm_mean, data.norm_std)
    images = torch.stack([transform(toolkit.read_image(str(path))) for path in paths])
    with torch.no_grad():
        _, fused = extractor.run.extraction().batch(images, torch.full((len(paths),), -1))
    assert len(paths) == 7 and torch.isfinite(features).all()
    close(features, fused)
    first = np.array(Image.open(tmp_path / "animated.gif").convert("RGB"))
    close(extractor(tmp_path / "animated.gif"), extractor(first))


def test_what_cannot_be_read_is_named_or_skipped(own_and_fused, extractor, tmp_path):
    good = own_and_fused[0].paths[:3]
    (tmp_path / "cut.jpg").write_bytes(open(good[0], "rb").read()[:200])
    (tmp_path / "empty.png").write_bytes(b"")
    for bad in ("cut.jpg", "empty.png"):
        with pytest.raises(toolkit.UnreadableImageError, match=f"{bad}' cannot be decoded"):
            extractor([*good, tmp_path / bad])
    with pytest.raises(FileNotFoundError, match="nothing.jpg' does not exist"):
        extractor(tmp_path / "nothing.jpg")
    images = [good[0], tmp_path / "cut.jpg", good[1], tmp_path / "nothing.jpg", tmp_path / "empty.png", good[2]]
    extracted = FeatureExtractor(extractor.run, batch_size=2).extract(images, skip_unreadable=True)
    assert extracted.rows == [0, 2, 5] and sorted(extracted.unreadable) == [1, 3, 4]
    assert "cut.jpg' cannot be decoded" in extracted.unreadable[1]
    close(extracted.features, extractor(good))
    assert extracted.views.tolist() == VIEWPOINTS.lookup(good).tolist()
    nothing = extractor.extract([tmp_path / "cut.jpg"], skip_unreadable=True)
    assert nothing.features.shape == (0, 1024) and nothing.rows == [] and len(nothing.unreadable) == 1
    assert extractor([]).shape == (0, 1024)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (5, "the images are int, expected a path, a PIL image, an array"),
        ([None], "image 0 of the list is NoneType, expected a path"),
        (np.zeros((4, 4), np.uint8), r"the images are ndarray uint8 \[4, 4\], expected"),
        (
            np.full((4, 4, 3), -0.5),
            "image 0 of the list holds float64 values from -0.5 to -0.5, of which nobody can tell",
        ),
        (np.zeros((4, 4, 2)), r"ndarray float64 \[4, 4, 2\], expected .*; PIL.Image.fromarray says what other"),
        ([np.zeros((4, 4, 4), np.uint8)], r"ndarray uint8 \[4, 4, 4\]"),
        (torch.zeros(4, 4, 3), r"Tensor float32 \[4, 4, 3\]"),
        (torch.full((3, 4, 4), 3.0), "has values from 3 to 3, .* in \\[0, 1\\]; scale it"),
        (torch.full((3, 4, 4), float("nan")), "has values from nan to nan"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), r"Tensor int64 \[3, 4, 4\]"),
    ],
)
def test_what_is_no_image_gets_a_sentence(extractor, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        extractor(wrong)


def test_arguments_out_of_range_get_a_sentence(extractor, run_folder):
    for options, sentence in (
        (dict(precision="int8"), "precision is 'int8', expected one of fp32"),
        (dict(batch_size=0), "batch_size is 0, expected a whole number of at least 1"),
        (dict(workers=-1), "workers is -1, expected a whole number of at least 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            FeatureExtractor(extractor.run, **options)
    with pytest.raises(ValueError, match="device is 'gpu', expected 'cpu' or 'cuda'"):
        FeatureExtractor(run_folder, device="gpu")
    image = np.zeros((8, 8, 3), np.uint8)
    for views, sentence in (
        (["front", "rear"], "views has 2 entries, expected 1, one for each image"),
        (["top"], "view 'top' is not one of"),
        ([7], "view 7 is not one of"),
        ("predict", "there is no classifier; give classifier=FILE"),
    ):
        with pytest.raises(ValueError, match=sentence):
            extractor(image, views)


def test_lower_precisions_are_close_and_have_length_one(own_and_fused, extractor):
    paths = own_and_fused[0].paths[:4]
    for precision in ("bf16", "fp16"):
        features = FeatureExtractor(extractor.run, precision=precision)(paths)
        assert features.dtype == torch.float32 and 0 < (features - extractor(paths)).abs().max() < 0.02
        close(features.norm(dim=1), np.ones(4), 1e-5)


@pytest.fixture
def classifier(monkeypatch):
    """A classifier that is sure of a front where the image is bright, of a rear where it is dark."""
    use_tiny_backbone(monkeypatch, "tiny")

    class Brightness(viewpoint_classifier.ViewpointClassifier):
        def forward(self, images):
            mean = 2 * images.mean((1, 2, 3)) - 1
            return torch.stack([20 * mean, -20 * mean, torch.zeros_like(mean)], 1)

    return Brightness("tiny", 16).eval()


def test_predicted_views(extractor, own_and_fused, classifier):
    predicting = FeatureExtractor(extractor.run, classifier=classifier, batch_size=2)
    bright, dark = (np.full((20, 20, 3), value, np.uint8) for value in (250, 5))
    bright[:5] = 0
    dark[:5] = 60
    extracted = predicting.extract([bright, own_and_fused[0].paths[0], dark], "predict")
    assert extracted.views.tolist() == [View.FRONT, int(own_and_fused[0].views[0]), View.REAR]  # the label counts more
    close(extracted.features, extractor([bright, own_and_fused[0].paths[0], dark], extracted.views))
    classifier.temperature = 1000.0  # unsure of everything
    assert predicting.extract(bright, "predict").views.tolist() == [View.UNKNOWN]


def test_a_classifier_file(extractor, tmp_path):
    classifier = viewpoint_classifier.ViewpointClassifier("squeezenet1_1", 32)
    viewpoint_classifier.save_classifier(classifier, str(tmp_path / "classifier.pth"))
    predicting = FeatureExtractor(extractor.run, classifier=str(tmp_path / "classifier.pth"))
    assert predicting.classifier.size == 32 and predicting(np.zeros((9, 9, 3), np.uint8), "predict").shape == (1, 1024)
    with pytest.raises(FileNotFoundError, match="classifier '/no.pth' does not exist"):
        FeatureExtractor(extractor.run, classifier="/no.pth")


def test_a_torchreid_checkpoint(own_and_fused, run_folder, tmp_path):
    """model/model-last.pth.tar of a run holds the embedding network alone."""
    weights = os.path.join(run_folder, "model", "model-last.pth.tar")
    extractor = FeatureExtractor.from_model("squeezenet1_1", weights, height=32, width=32, device="cpu", batch_size=9)
    assert extractor.dim == 512 and extractor.identity["fusion"] == "" and extractor.batch_size == 9
    close(extractor(own_and_fused[0].paths), own_and_fused[0].embeddings)
    with pytest.raises(FileNotFoundError, match="weights is '/no.pth', but there is no such file"):
        FeatureExtractor.from_model("squeezenet1_1", "/no.pth")
    with pytest.raises(ValueError, match="does not fit ResNet: layer"):
        FeatureExtractor.from_model("resnet18", weights)
    with pytest.raises(ValueError, match="model.name is 'resnet_of_mine', expected one of"):
        FeatureExtractor.from_model("resnet_of_mine", weights)
