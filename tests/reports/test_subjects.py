"""ealn_plugin/reports/subjects.py: what can be evaluated, and when its features are extracted again."""

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin import toolkit
from ealn_plugin.data import VehicleID, View
from ealn_plugin.evaluation.feature_store import FeatureStore
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import PROTOCOLS
from ealn_plugin.reports import subjects
from ealn_plugin.reports.names import file_name, short_labels
from ealn_plugin.reports.subjects import FeaturesSubject, ModelSubject, RunSubject
from ealn_plugin.runs import build
from tests.helpers.standins import TinyBackbone, use_tiny_backbone


@pytest.fixture
def options(veri_root):
    return [
        "data.root",
        str(veri_root),
        "data.targets",
        ["veri776"],
        "data.height",
        32,
        "data.width",
        32,
        "data.workers",
        0,
        "test.batch_size",
        16,
        "use_gpu",
        False,
        "model.name",
        "resnet18",
    ]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A small network under a known model name."""
    use_tiny_backbone(monkeypatch, "resnet18")


def features_of(subject, store):
    (test_set,) = subject.evaluation_sets(store)
    return test_set.features


def test_a_models_features_are_its_outputs_in_evaluation_mode(tmp_path, options):
    torch.manual_seed(5)
    model = TinyBackbone(99).eval()
    torch.save({"state_dict": model.state_dict(), "rank1": np.float32(0.5)}, tmp_path / "w.pth.tar")
    subject = ModelSubject("net", str(tmp_path / "w.pth.tar"), options)
    (test_set,) = subject.evaluation_sets(FeatureStore(tmp_path / "store"))
    features = test_set.features
    assert test_set.name == "veri776" and test_set.protocols[0] == "veri_image" and test_set.folder.endswith("VeRi")
    assert len(features) == 8 + 24 and features.is_query.sum() == 8 and set(features.views.tolist()) == {0, 1}
    transform = build.toolkit.build_datamanager(
        root=options[1], sources="veri776", height=32, width=32, workers=0, use_gpu=False, batch_size_train=4
    ).transform_te
    image = transform(toolkit.read_image(features.paths[9]))[None]
    with torch.no_grad():
        np.testing.assert_allclose(features.embeddings[9], model(image)[0].numpy(), rtol=1e-5, atol=1e-6)
    assert list(subject.recorded()) == ["data", "model", "test", "use_gpu"]
    assert str(tmp_path) not in str(subject.recorded()) and "root" not in subject.recorded()["data"]


def test_an_untrained_model_is_the_same_every_time_and_says_so(tmp_path, options, caplog):
    one, two = (features_of(ModelSubject("net", "", options), FeatureStore(tmp_path / name)) for name in "ab")
    assert np.array_equal(one.embeddings, two.embeddings) and "figures are those of an untrained network" in caplog.text


@pytest.mark.parametrize("change", [["data.width", 48], ["data.norm_mean", [0.5, 0.5, 0.5]], ["train.seed", 2]])
def test_a_changed_network_or_image_size_is_noticed(tmp_path, options, change):
    store = FeatureStore(tmp_path)
    first = features_of(ModelSubject("net", "", options), store)
    calls = []
    store.fetch = lambda network, dataset, key, extract: (calls.append(key), extract())[1]
    again = features_of(ModelSubject("net", "", options), store)
    other = features_of(ModelSubject("net", "", [*options, *change]), store)
    assert np.array_equal(first.embeddings, again.embeddings) and not np.array_equal(first.embeddings, other.embeddings)
    assert calls[0] != calls[1]


def test_a_model_that_gives_no_features_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"PatchGAN returns \(2, 1, 2, 2\) for two images .* one tensor \[2, dim\]"):
        features_of(ModelSubject("net", "", [*options, "model.name", "patchgan_70"]), FeatureStore(tmp_path))
    with pytest.raises(ValueError, match="input size 16x16 is too small"):
        features_of(
            ModelSubject("net", "", [*options, "model.name", "vgg_cnn_m_1024", "data.height", 16, "data.width", 16]),
            FeatureStore(tmp_path),
        )


def test_a_model_that_refuses_the_size_gets_a_sentence(tmp_path, options, monkeypatch):
    class Picky(TinyBackbone):
        def forward(self, images):
            raise AssertionError(f"expected 8 pixels\nnot {images.shape}")

    monkeypatch.setitem(toolkit._model_factory(), "resnet18", lambda num_classes, **_: Picky(num_classes))
    with pytest.raises(ValueError, match=r"Picky cannot process images of 32 x 32 pixels \(AssertionError: expected 8"):
        features_of(ModelSubject("net", "", options), FeatureStore(tmp_path))


def test_a_features_file(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", features=rng.normal(size=(12, 3)), pids=np.arange(12) % 4)
    (test_set,) = FeaturesSubject(str(tmp_path / "mine.npz"), "mine").evaluation_sets(None)
    assert test_set.name == "mine" and test_set.protocols == ("vehicleid_cmc", "vehicleid_map")
    np.savez(
        tmp_path / "mine.npz",
        features=rng.normal(size=(12, 3)),
        pids=np.arange(12) % 4,
        is_query=np.arange(12) < 4,
        paths=[f"a/{number}.jpg" for number in range(12)],
    )
    (test_set,) = FeaturesSubject(str(tmp_path / "mine.npz"), "mine", "other", "/data").evaluation_sets(None)
    assert test_set.protocols == ("image",) and test_set.features.paths[1] == "/data/a/1.jpg"
    (test_set,) = FeaturesSubject(str(tmp_path / "mine.npz"), "mine", "vehicleid_large").evaluation_sets(None)
    assert test_set.name == "vehicleid_large" and test_set.protocols[0] == "vehicleid_cmc"


def test_files_that_are_not_there_get_a_sentence(tmp_path, options):
    with pytest.raises(FileNotFoundError, match="--weights is '/no.pth', but there is no such file"):
        ModelSubject("net", "/no.pth", options)
    with pytest.raises(FileNotFoundError, match="--run '/no' has no config.yaml; give the data.save_dir"):
        RunSubject("/no", "net")
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(FileNotFoundError, match="has no checkpoint_last.pth.tar"):
        RunSubject(str(tmp_path), "net")
    with pytest.raises(FileNotFoundError, match="'/no.npz' does not exist"):
        FeaturesSubject("/no.npz", "net")


def test_nothing_is_rendered_into_a_folder_that_the_user_names(tmp_path):
    (tmp_path / "config.yaml").write_text("ealn: {render: {preset: tiny}}")
    (tmp_path / "checkpoint_last.pth.tar").write_bytes(b"")
    assert RunSubject(str(tmp_path), "net")._build.ealn.render.preset == "tiny"
    assert RunSubject(str(tmp_path), "net", ["data.root", "/mine"])._build.ealn.render.preset == ""


def test_labels():
    assert short_labels(["log/a", "log/b/"]) == ["a", "b"]
    assert short_labels(["x/1/net", "x/2/net", "y/other"]) == ["1/net", "2/net", "other"]
    assert short_labels([]) == []
    with pytest.raises(ValueError, match="'log/a' is given twice"):
        short_labels(["log/a", "log/../log/a"])
    assert file_name("1/net (untrained)") == "1_net_untrained" and file_name("../..") == "unnamed"


def test_features_reach_the_store_under_the_networks_name(tmp_path, options):
    features_of(ModelSubject("a net", "", options), FeatureStore(tmp_path))
    assert len(Features.load(tmp_path / "a_net" / "veri776.npz")) == 32


@pytest.fixture
def vehicleid_options(tmp_path, options):
    """VehicleID with two test vehicles, whose images have the labels 0 and 1 by turns."""
    folder = tmp_path / "VehicleID_V1.0"
    (folder / "image").mkdir(parents=True)
    (folder / "train_test_split").mkdir()
    for image in range(12):
        Image.new("RGB", (32, 32), (20 * image, 0, 0)).save(folder / "image" / f"{image:07d}.jpg")
    (folder / "train_test_split" / "train_list.txt").write_text("".join(f"{i:07d} {i % 2}\n" for i in range(4)))
    (folder / "train_test_split" / "test_list_800.txt").write_text(
        "".join(f"{i:07d} {i // 4} {i % 2}\n" for i in range(4, 12))
    )
    return ["data.root", str(tmp_path), "data.targets", ["vehicleid"], *options[4:]]


@pytest.mark.parametrize("own, view_of_even", [([], View.FRONT), (["ealn.view_order", ["rear", "front"]], View.REAR)])
def test_another_subjects_view_order_is_not_inherited(tmp_path, vehicleid_options, monkeypatch, own, view_of_even):
    monkeypatch.setattr(VehicleID, "view_order", ("rear", "front") if not own else ("front", "rear"))
    before = VehicleID.view_order
    features = features_of(ModelSubject("net", "", [*vehicleid_options, *own]), FeatureStore(tmp_path / "store"))
    even = [int(path[-5]) % 2 == 0 for path in features.paths]
    assert (features.views == np.where(even, view_of_even, 1 - view_of_even)).all() and len(features) == 8
    assert VehicleID.view_order == before


def test_a_runs_view_order_ends_with_its_datasets(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("ealn: {view_order: [rear, front], scheme: en}")
    (tmp_path / "checkpoint_last.pth.tar").write_bytes(b"")
    monkeypatch.setattr(VehicleID, "view_order", ("front", "rear"))
    seen = []

    def build_engine(config):
        VehicleID.view_order = tuple(config.ealn.view_order)
        seen.append(VehicleID.view_order)
        raise RuntimeError("no data")

    monkeypatch.setattr(subjects.build, "build_engine", build_engine)
    with pytest.raises(RuntimeError, match="no data"):
        features_of(RunSubject(str(tmp_path), "net"), None)
    assert seen == [("rear", "front")] and VehicleID.view_order == ("front", "rear")


def test_features_of_vehicleid_are_drawn_whatever_split_they_come_with(tmp_path):
    rng = np.random.default_rng(0)
    arrays = dict(features=rng.normal(size=(24, 3)), pids=np.arange(24) % 4, views=np.arange(24) % 3 % 2)
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **arrays, is_query=np.arange(24) < 4)  # vehicleid_map's way round
    found = []
    for name in ("a", "b"):
        (test_set,) = FeaturesSubject(str(tmp_path / f"{name}.npz"), name, "vehicleid").evaluation_sets(None)
        found.append([PROTOCOLS[protocol].evaluate(test_set.features) for protocol in test_set.protocols])
    assert found[0] == found[1] and all("mAP_std" in metrics for metrics in found[0])


def test_cuhk03s_metric_is_that_of_the_configuration(tmp_path, options):
    assert not ModelSubject("net", "", options).ranking()["use_metric_cuhk03"]
    assert ModelSubject("net", "", [*options, "cuhk03.use_metric_cuhk03", True]).ranking()["use_metric_cuhk03"]
