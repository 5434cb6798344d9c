"""ealn_plugin/reports/quantized.py: kept where the network ranks as well, and nothing is left where it does not."""

import pytest

from ealn_plugin.inference.networks import OnnxNetwork
from ealn_plugin.models.modes import evaluating
from ealn_plugin.reports import quantized
from ealn_plugin.reports.subjects import RunSubject

pytest.importorskip("onnxruntime")


def test_kept_or_refused_by_what_it_costs(run_folder, exported_run, tmp_path, monkeypatch):
    source, target = exported_run / "embedding.onnx", tmp_path / "embedding_int8.onnx"
    monkeypatch.setattr(quantized, "LARGEST_LOSS", 1.0)
    made = quantized.quantize_run(str(run_folder), str(source), str(target), images=8)
    assert made.measured == "veri776/veri_image" and made.size == target.stat().st_size
    assert 0 < made.before <= 1 and 0 < made.after <= 1 and "quantization" in OnnxNetwork(target).identity
    monkeypatch.setattr(quantized, "LARGEST_LOSS", -1.0)
    with pytest.raises(quantized.QuantizationLossError, match="was not kept; deploy the file in floating point"):
        quantized.quantize_run(str(run_folder), str(source), str(target), images=8)
    assert not list(tmp_path.iterdir())


def test_the_float_file_is_judged_as_the_run_is(run_folder, exported_run, tmp_path, monkeypatch):
    subject = RunSubject(str(run_folder), "run", fusion=False)
    engine = subject.engine()
    monkeypatch.setattr(quantized, "LARGEST_LOSS", 1.0)
    source = exported_run / "embedding.onnx"
    made = quantized.quantize_run(str(run_folder), str(source), str(tmp_path / "integers.onnx"), images=4)
    with evaluating(engine.embedding, *engine.schemes):
        own, _ = engine.extraction.dataset(engine.test_loader["veri776"], "veri776", progress=False)
    found = quantized.evaluate_protocols(own, ["veri_image"], **subject.ranking())["veri_image"]["mAP"]
    assert made.before == pytest.approx(found, abs=1e-6)
