"""Run folders as training leaves them, without training: configuration, results, curves, diagnostics, pictures."""

import json

import torch
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import save_image

from ealn_plugin import config as configuration

METRICS = {"veri_image": {"mAP": 0.25, "rank1": 0.5}, "cross_view": {"mAP": 0.125, "rank1": 0.25}}


def make_folder(folder, *options, results=True):
    """A run folder without checkpoint: what was recorded is there, the networks are not."""
    config = configuration.load_config(
        "",
        [
            "data.height",
            16,
            "data.width",
            16,
            "data.save_dir",
            str(folder),
            "data.root",
            str(folder / "no data"),
            *options,
        ],
    )
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.dump(), encoding="utf-8")
    if results:
        (folder / "results.json").write_text(
            json.dumps(
                {
                    "config": configuration.recorded(config),
                    "primary": "veri776/veri_image",
                    "datasets": {"veri776": METRICS},
                    "untrained": {"veri776": {"veri_image": {"mAP": 0.0625, "rank1": 0.125}}},
                }
            ),
            encoding="utf-8",
        )
    return folder


def record_training(folder):
    """Curves, diagnostics and sample pictures of two epochs."""
    with SummaryWriter(str(folder)) as writer:
        for step in (1, 2):
            for name, value in (("loss/E", 0.5), ("loss/D_star", -1.0), ("distance/hard", 0.25)):
                writer.add_scalar(f"train/{name}", value * step, step)
    (folder / "diagnostics.csv").write_text("epoch,step,hard/probe_auc,hard/distance\n1,1,0.5,0.125\n2,2,1.0,\n")
    (folder / "samples").mkdir()
    for epoch in (1, 2):
        save_image(torch.rand(3, 3 * 18 + 2, 8 * 18 + 2), folder / "samples" / f"epoch_{epoch:03d}.png")


def texts(section, kind):
    """Texts of the notes, captions of the tables or alternative texts of the pictures of a section."""
    blocks = [picture for block in section.blocks for picture in getattr(block, "pictures", [block])]
    name = {"note": "text", "table": "caption", "picture": "alt"}[kind]
    return [getattr(block, name) for block in blocks if block.block == kind]
