"""ealn_plugin/export/card.py: the front matter is YAML that holds the run's own figures."""

import json

import yaml

from ealn_plugin.export import card as cards
from ealn_plugin.runs.loading import load_run
from tests.helpers.networks import make_run


def parts(text):
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_of_a_run(run_folder):
    run = load_run(run_folder)
    results = cards.results_for_card(str(run_folder / "results.json"))
    text = cards.card(
        run, "someone/cars", cards.training_of(run), results, ["model.safetensors", "embedding.onnx"], "mit"
    )
    front, body = parts(text)
    assert front["license"] == "mit" and front["library_name"] == "ealn_plugin"
    assert "vehicle-re-identification" in front["tags"]
    (model,) = front["model-index"]
    measured = json.loads((run_folder / "results.json").read_text())["datasets"]["veri776"]
    assert [entry["dataset"]["name"] for entry in model["results"]] == ["veri776"] * len(measured)
    for entry, (protocol, metrics) in zip(model["results"], sorted(measured.items())):
        values = {metric["type"]: metric["value"] for metric in entry["metrics"]}
        assert abs(values["mAP"] - 100 * metrics["mAP"]) < 0.006
        assert f"| veri776 | {protocol} | {100 * metrics['mAP']:.1f} |" in body
    assert "with ealn.scheme hard_view on the training images of veri776, " in body
    assert 'FeatureExtractor("hf:someone/cars")' in body and "embedding.onnx: the metadata" in body


def test_a_card_without_figures_says_so():
    run = make_run(())
    front, body = parts(cards.card(run, "my cars", cards.training_of(run), {}, ["model.safetensors"]))
    assert front["license"] == "other" and "model-index" not in front
    assert "Nothing was measured on these weights." in body and "Not recorded" in body
    assert 'FeatureExtractor("model.safetensors")' in body


def test_a_blend_is_told(run_folder):
    assert cards.training_of(load_run(run_folder), 0.5).endswith("; then blended, 0.5 of ImageNet's weights")
