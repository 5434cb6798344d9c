"""ealn_plugin/reports/exhibits.py: which images are shown, and what is read from a run folder."""

import json
import types

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import save_image

from ealn_plugin import config as configuration
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.fixed_images import FixedImages
from ealn_plugin.reports.exhibits import Generated, TrainedRun


@pytest.fixture
def run(tmp_path):
    config = configuration.load_config("", ["data.height", 16, "data.width", 16])
    return TrainedRun(types.SimpleNamespace(label="run", config=config, folder=str(tmp_path)), 16)


def fixed(pids, views):
    count = len(pids)
    return FixedImages(
        torch.zeros(count, 3, 4, 4),
        torch.tensor(pids),
        torch.zeros(count),
        torch.tensor(views),
        ("",) * count,
        tuple(map(str, range(count))),
    )


def test_one_front_and_one_rear_of_vehicles_spread_evenly(run):
    run.fixed = fixed(
        [v for v in range(10) for _ in range(3)],
        [View.FRONT, View.FRONT, View.REAR] * 9 + [View.FRONT, View.SIDE, View.SIDE],
    )
    assert run.rows_by_vehicle(3) == [[3, 5], [12, 14], [21, 23]]
    assert len(run.rows_by_vehicle(99)) == 9 and run.view_name(5) == "rear"
    run.fixed = fixed([1, 1, 1, 2, 2], [View.UNKNOWN] * 5)
    assert run.rows_by_vehicle(4) == [[0, 1], [3, 4]] and run.view_name(0) == "unknown view"
    assert run.same.sum() == 3 * 2 + 2


def test_where_the_generated_image_of_an_input_stands():
    made = Generated(torch.zeros(2, 3, 4, 4), torch.tensor([4, 7]), torch.zeros(2, 8), torch.zeros(2))
    assert (made.place(7), made.place(4), made.place(0)) == (1, 0, None)


def test_what_is_read_from_the_folder(run, tmp_path):
    assert run.primary_map() is None and run.sample_grids() == {}
    (tmp_path / "results.json").write_text(
        json.dumps(
            {"config": {}, "primary": "veri776/veri_image", "datasets": {"veri776": {"veri_image": {"mAP": 0.25}}}}
        )
    )
    (tmp_path / "samples").mkdir()
    save_image(torch.zeros(3, 2 * 18 + 2, 3 * 18 + 2), tmp_path / "samples" / "epoch_004.png")
    assert run.primary_map() == 0.25 and run.sample_grids()[4].shape == (2, 3, 3, 16, 16)
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (1, 2):
            writer.add_scalar("train/loss/E", 0.5 * step, step)
    assert run.scalars(["loss/E", "loss/other"]) == {"loss/E": ([1, 2], [0.5, 1.0])}
