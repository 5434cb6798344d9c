"""The model card of an exported network: README.md with the front matter that the Hugging Face Hub reads."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ealn_plugin.config import load_config
from ealn_plugin.config.defaults import RENDERED_FOLDERS
from ealn_plugin.config.own_data import display_name
from ealn_plugin.data.files import is_rendered
from ealn_plugin.runs.described_file import is_safetensors, read_metadata
from ealn_plugin.runs.folder import CONFIG, read_results, rendered_datasets
from ealn_plugin.runs.loading import LoadedRun
from ealn_plugin.system.messages import counted

FILE = "README.md"
TAGS = ("vehicle-re-identification", "image-retrieval", "torchreid", "ealn")
LICENSE = "other"
_METRICS = {"mAP": "mAP", "rank1": "rank 1", "rank5": "rank 5"}


def training_of(run: LoadedRun, blended: float | None = None) -> str:
    """What a network was trained on, in one sentence as far as its run folder, or its file, says it; else ''.

    Args:
        blended: the share of ImageNet's weights that was blended in, or None.
    """
    if is_safetensors(run.source):
        return _blended(read_metadata(run.source).get("trained", ""), blended)
    folder = os.path.dirname(run.source)
    if not os.path.isfile(os.path.join(folder, CONFIG)):
        return ""
    config = load_config(os.path.join(folder, CONFIG))
    rendered = {*rendered_datasets(folder), *_rendered_in(config.data.root)}
    names = [
        f"{name} (rendered vehicles)" if name in rendered else name for name in map(display_name, config.data.sources)
    ]
    start = "ImageNet weights" if config.model.pretrained else "random weights"
    if config.model.load_weights:
        start = "other weights (model.load_weights)"
    text = (
        f"{config.model.name} trained from {start} with ealn.scheme {config.ealn.scheme} on the training images of "
        f"{' and '.join(names)}, {counted(config.train.max_epoch, 'epoch')}"
    )
    return _blended(text, blended)


def _rendered_in(root):
    """What rendered.json cannot say of several sources, which are one dataset while they are trained on."""
    return [name for name, folder in RENDERED_FOLDERS.items() if is_rendered(os.path.join(root, folder))]


def _blended(text, share):
    return f"{text}; then blended, {share:g} of ImageNet's weights" if text and share is not None else text


def results_for_card(path: str) -> dict[str, Any]:
    """{dataset: {protocol: {metric: value in [0, 1]}}} of a results.json.

    Raises:
        ValueError, OSError: it cannot be read, or holds none; one sentence.
    """
    return read_results(path)["datasets"]


def card(
    run: LoadedRun,
    name: str,
    trained: str,
    results: Mapping[str, Mapping[str, Mapping[str, float]]],
    files: Sequence[str],
    license_name: str = LICENSE,
) -> str:
    """The text of a model card.

    Args:
        run: ``LoadedRun``. name: of the model, for the title. trained: what it was trained on, a sentence.
        results: as ``results_for_card``; {} where nothing was measured on these very weights.
        files: names of the files beside the card. license_name: as the Hub abbreviates it.
    """
    (height, width), network = run.size, run.config.model.name
    return "\n".join(
        [
            *_front_matter(name, results, license_name),
            f"# {name}",
            "",
            "Features of single vehicles for re-identification: pictures of the same vehicle lie close together. "
            f"{network}, {run.dim} numbers a picture, scaled to length 1, from {height} x {width} pixels.",
            "",
            "## Trained on",
            "",
            f"{trained}." if trained else "Not recorded: the weights came without their run.",
            "",
            "## Measured",
            "",
            *_table(results),
            "",
            "## How to use it",
            "",
            *_usage(name, files),
            "",
            "## Limits",
            "",
            "A picture is a crop of one vehicle; there is no detector in it. Figures hold for the datasets that are "
            "named: on other cameras, places and kinds of vehicles expect less, and measure before you rely on it. "
            "Many vehicles share model and colour, and two that look alike are taken for one. Not meant to follow "
            "people through their vehicles without a legal ground.",
            "",
        ]
    )


def _front_matter(name, results, license_name):
    lines = ["---", f"license: {json.dumps(license_name)}", "library_name: ealn_plugin"]
    lines += ["pipeline_tag: image-feature-extraction", "tags:", *(f"- {tag}" for tag in TAGS)]
    if results:
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:"]
        for dataset, protocols in results.items():
            for protocol, metrics in protocols.items():
                lines += ["  - task: {type: image-feature-extraction, name: vehicle re-identification}"]
                lines += [f"    dataset: {{name: {json.dumps(dataset)}, type: {json.dumps(dataset)}}}", "    metrics:"]
                lines += [
                    f"    - {{type: {json.dumps(key)}, name: {json.dumps(f'{title} ({protocol})')}, "
                    f"value: {100 * metrics[key]:.2f}}}"
                    for key, title in _METRICS.items()
                    if key in metrics
                ]
    return [*lines, "---", ""]


def _table(results):
    if not results:
        return ["Nothing was measured on these weights."]
    lines = [f"| dataset | protocol | {' | '.join(_METRICS.values())} |", "|---|---|" + "---:|" * len(_METRICS)]
    for dataset, protocols in results.items():
        for protocol, metrics in protocols.items():
            cells = [f"{100 * metrics[key]:.1f}" if key in metrics else "" for key in _METRICS]
            lines.append(f"| {dataset} | {protocol} | {' | '.join(cells)} |")
    return [*lines, "", "Percentages."]


def _usage(name, files):
    lines = ["```python", "from ealn_plugin import FeatureExtractor", ""]
    where = f"hf:{name}" if "/" in name else next((file for file in files if file.endswith(".safetensors")), "")
    if where:
        lines += [
            f"extractor = FeatureExtractor({json.dumps(where)})",
            'features = extractor(["car.jpg", "other.jpg"])',
        ]
        lines += ["similarity = features @ features.T", "```", "", "```"]
        lines += [f"ealn search index my_cars --weights {where} --index my_index", "```"]
    else:
        lines = []
    others = [file for file in files if file.endswith((".onnx", ".pt2"))]
    if others:
        lines += ["", f"{', '.join(others)}: the metadata of each file says how to prepare a picture."]
    return lines or ["See the documentation of ealn_plugin."]
