"""The command lines that write files, each as a function of a data root and the place for what it writes.

What a command needs besides, such as a run, is made in the root the first time. Also the sizes that keep them small.
"""

import dataclasses
import os

import numpy as np
from PIL import Image

from ealn_plugin.data.synthetic import presets
from ealn_plugin.evaluation.features import Features
from tests.helpers.tool_modules import load_tool

SMALL = [
    "use_gpu",
    False,
    "model.name",
    "resnet18",
    "model.pretrained",
    False,
    "data.height",
    32,
    "data.width",
    32,
    "data.workers",
    0,
    "train.batch_size",
    8,
    "sampler.num_instances",
    2,
    "test.batch_size",
    32,
    "ealn.generator.filters",
    2,
    "ealn.generator.blocks",
    1,
    "ealn.discriminator.filters",
    2,
    "ealn.discriminator.layers",
    1,
    "ealn.warmup_epochs",
    1,
    "ealn.warmup_generator_epochs",
    1,
    "train.max_epoch",
    3,
    "test.eval_freq",
    1,
    "ealn.test_untrained",
    False,
    "data.transforms",
    ["random_flip", "random_erase"],
]
PRESET = dataclasses.replace(
    presets.PRESETS["tiny"],
    train_vehicles=4,
    train_images=24,
    train_tracks=12,
    test_vehicles=4,
    test_images=24,
    test_tracks=12,
    image_size=32,
)


def must_end_well(code):
    """For what a command needs, made by another one."""
    if code:
        raise RuntimeError(f"it could not be made: exit code {code}")


def make_features(path):
    random = np.random.default_rng(0)
    Features(random.random((40, 16)), np.arange(40) % 8, np.arange(40) % 3, [-1] * 40, np.arange(40) < 10).save(path)


def train(root, out):
    return load_tool("train_ealn").main(
        [
            "--root",
            str(root),
            *map(str, SMALL),
            "data.save_dir",
            str(out),
            "ealn.scheme",
            "en",
            "train.max_epoch",
            "2",
            "ealn.warmup_epochs",
            "0",
            "ealn.warmup_generator_epochs",
            "0",
        ]
    )


def evaluate(root, out):
    if not os.path.exists(root / "veri776.npz"):
        make_features(root / "veri776.npz")
    return load_tool("evaluate").main(["--features", str(root / "veri776.npz"), "--out", str(out)])


def render(root, out):
    return load_tool("make_synthetic").main(["--root", str(out), "--processes", "2"])


def draw_sheet(root, out):
    os.makedirs(out, exist_ok=True)
    return load_tool("make_synthetic").main(
        ["--root", str(out), "--contact-sheet", str(out / "sheet.png"), "--processes", "1"]
    )


def rank(root, out):
    os.makedirs(out, exist_ok=True)
    return load_tool("benchmark").main(
        ["rank", "--sizes", "small", "--no-python", "--repeats", "1", "--json", str(out / "rank.json")]
    )


def run_of(root):
    """A run with every network, made the first time."""
    folder = root / "run"
    if not (folder / "results.json").exists():
        must_end_well(
            load_tool("train_ealn").main(
                ["--root", str(root), *map(str, SMALL), "data.save_dir", str(folder), "ealn.scheme", "hard_view"]
            )
        )
    return str(folder)


def reproduce(root, out):
    (root / "empty.yaml").touch()
    return load_tool("reproduce").main(
        [
            "--config-file",
            str(root / "empty.yaml"),
            "--root",
            str(root),
            "--out",
            str(out),
            "--schemes",
            "en",
            "hard",
            "--seeds",
            "1",
            "--jobs",
            "1",
            *map(str, SMALL),
        ]
    )


def draw_figures(root, out):
    return load_tool("visualize").main(
        ["--run", run_of(root), "--out", str(out), "--images", "16", "--figures", "5", "7"]
    )


def report(root, out):
    os.makedirs(out, exist_ok=True)
    return load_tool("report").main(["--run", run_of(root), "--recorded", "--out", str(out / "report.html")])


def export(root, out):
    return load_tool("export").main(["--run", run_of(root), "--out", str(out), "--formats", "program"])


def export_onnx(root, out):
    return load_tool("export").main(["--run", run_of(root), "--out", str(out), "--formats", "onnx"])


def index(root, out):
    return load_tool("search").main(
        ["index", "veri776", "--root", str(root), "--run", run_of(root), "--index", str(out), "--device", "cpu"]
    )


def query(root, out):
    os.makedirs(out, exist_ok=True)
    if not (root / "index").exists():
        must_end_well(index(root, root / "index"))
    image = next((root / "VeRi" / "image_query").iterdir())
    return load_tool("search").main(
        [
            "query",
            str(image),
            "--index",
            str(root / "index"),
            "--device",
            "cpu",
            "--sheet",
            str(out / "found.png"),
            "--json",
            str(out / "found.json"),
        ]
    )


def label_views(root, out):
    if not (root / "classifier").exists():
        must_end_well(
            load_tool("label_viewpoints").main(
                [
                    "-s",
                    "veri776",
                    "--root",
                    str(root),
                    "--out",
                    str(root / "classifier"),
                    "--size",
                    "32",
                    "--steps",
                    "2",
                    "--batch-size",
                    "8",
                    "--workers",
                    "0",
                ]
            )
        )
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number in range(40):  # images of 70 bytes: the table of their labels is larger
        Image.new("RGB", (1, 1)).save(out / "images" / f"{number}.png")
    return load_tool("label_viewpoints").main(
        [
            "--classifier",
            str(root / "classifier" / "classifier.pth"),
            "--images",
            str(out / "images"),
            "--workers",
            "0",
            "--out",
            str(out),
        ]
    )


COMMANDS = {
    "training": train,
    "evaluation": evaluate,
    "rendering": render,
    "contact sheet": draw_sheet,
    "benchmark": rank,
    "reproduction": reproduce,
    "figures": draw_figures,
    "report": report,
    "exported programs": export,
    "exported ONNX files": export_onnx,
    "search index": index,
    "answers of a search": query,
    "view labels": label_views,
}
SLOW = {"report", "exported ONNX files", "exported programs", "answers of a search", "figures"}
"""Commands that take tens of seconds."""
