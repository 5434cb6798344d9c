"""ealn_plugin/export/formats.py: files that compute what PyTorch computes, for any number of images, or none at all."""

import dataclasses
import json
import pathlib
import zipfile

import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.export import ExportMismatchError, export_graph
from ealn_plugin.export.checks import largest_difference, sample_inputs
from ealn_plugin.export.formats import open_onnx, open_program
from ealn_plugin.models import VGGM
from tests.helpers.networks import graphs, make_run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """Folder with the fused extractor in both formats."""
    folder = tmp_path_factory.mktemp("export")
    found = export_graph(graphs(tiny_run)["fused"], str(folder))
    assert [(file.graph, file.kind) for file in found] == [("fused", "onnx"), ("fused", "program")]
    assert all(file.difference < 1e-5 and file.size == (folder / file.path).stat().st_size for file in found)
    return folder


def test_the_files_compute_the_fused_feature_of_any_batch(exported, tiny_run):
    graph = graphs(tiny_run)["fused"]
    for run in (open_onnx(str(exported / "fused.onnx"), graph.inputs, 1), open_program(str(exported / "fused.pt2"))):
        for batch in (1, 4, 7):
            for inputs in sample_inputs(graph, batch, seed=99):
                assert largest_difference(graph.reference, run, inputs) < 1e-5


def test_what_the_onnx_file_says_of_itself(exported, tiny_run):
    model = onnx.load(exported / "fused.onnx")
    assert {item.key: item.value for item in model.metadata_props} == graphs(tiny_run)["fused"].metadata
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"images": ["batch", 3, 32, 32], "views": ["batch"], "feature": ["batch", 16]}
    assert model.opset_import[0].version >= 18 and not [path for path in exported.iterdir() if path.suffix == ".data"]
    extra = {"metadata.json": ""}
    torch.export.load(str(exported / "fused.pt2"), extra_files=extra)
    assert json.loads(extra["metadata.json"]) == graphs(tiny_run)["fused"].metadata


def test_the_files_hold_what_is_computed_with_and_nothing_of_this_machine(exported):
    weights = {initializer.name for initializer in onnx.load(exported / "fused.onnx").graph.initializer}
    with zipfile.ZipFile(exported / "fused.pt2") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    names = set(torch.export.load(str(exported / "fused.pt2")).state_dict)
    assert any("generators" in name for name in names) and any("generators" in name for name in weights)
    assert not [name for name in names | weights if "discriminators" in name or "classifier" in name]
    for data in (content, (exported / "fused.onnx").read_bytes()):
        assert b".py" not in data and str(pathlib.Path(torch.__file__).parent).encode() not in data


def test_a_file_that_differs_gets_no_name(tiny_run, tmp_path):
    graph = graphs(tiny_run)["embedding"]
    off = dataclasses.replace(graph, reference=lambda images: graph.reference(images) + 2e-4)
    (tmp_path / "embedding.pt2").write_bytes(b"an older one")
    with pytest.raises(ExportMismatchError, match="embedding.pt2 differs from PyTorch by 0.0002, expected at most"):
        export_graph(off, str(tmp_path), ["program"])
    assert list(tmp_path.iterdir()) == []
    near = dataclasses.replace(graph, reference=lambda images: graph.reference(images) + 5e-5)
    (tmp_path / "embedding.pt2").write_bytes(b"an older one")
    assert export_graph(near, str(tmp_path), ["program"])[0].difference == pytest.approx(5e-5, rel=0.02)
    assert (tmp_path / "embedding.pt2").stat().st_size > 1000


def test_a_model_that_cannot_be_traced_is_a_sentence_and_leaves_older_files_alone(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) * (1 if float(images.sum()) > 0 else 2)

    (tmp_path / "embedding.onnx").write_bytes(b"an older one")
    with pytest.raises(ValueError, match="'embedding' cannot be exported by torch.export .*; choose a model without"):
        export_graph(graphs(make_run((), Branching()))["embedding"], str(tmp_path))
    assert (tmp_path / "embedding.onnx").read_bytes() == b"an older one" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("names", [("cyclegan",), ("stargan",), ("hard", "view")])
@pytest.mark.parametrize("residual", [False, True])
def test_every_scheme_with_other_views(names, residual, tmp_path):
    run = make_run(names, residual=residual)
    for scheme in run.schemes:  # a residual generator starts as a copy
        for parameter in scheme.generators.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    assert all(file.difference < 1e-5 for file in export_graph(graphs(run)["fused"], str(tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, size", [("osnet_x0_25", (64, 64)), ("resnet50", (64, 64)), ("vggm", (64, 64)), ("vggm", (76, 92))]
)
def test_backbones(name, size, tmp_path):
    """VGGM has poolings that round up, at sizes where this matters, and a normalization across channels."""
    torch.manual_seed(0)
    backbone = (
        VGGM(3, loss="triplet", input_size=size, width=0.1)
        if name == "vggm"
        else toolkit.build_model(name, 3, use_gpu=False)
    )
    assert all(
        file.difference < 1e-5
        for file in export_graph(graphs(make_run((), backbone, size))["embedding"], str(tmp_path))
    )
