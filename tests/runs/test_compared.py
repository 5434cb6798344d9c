"""ealn_plugin/runs/compared.py: the rows of Table I; all of configs/compared train, resume, are tested, exported."""

import json
import os
import signal

import pytest
import torch

from ealn_plugin import config as configuration
from ealn_plugin.config.shipped import compared_rows, shipped_configs
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.ealn import EALNEngine
from ealn_plugin.export.formats import export_graph
from ealn_plugin.export.graphs import graphs_of
from ealn_plugin.export.metadata import metadata_of
from ealn_plugin.runs import build, compared
from ealn_plugin.runs import train as training
from ealn_plugin.runs.loading import load_run
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.run_contents import flattened

SMALL = {
    "use_gpu": False,
    "data.height": 32,
    "data.width": 32,
    "data.workers": 0,
    "train.batch_size": 8,
    "sampler.num_instances": 2,
    "train.max_epoch": 3,
    "ealn.warmup_epochs": 1,
    "ealn.warmup_generator_epochs": 1,
    "ealn.generator.filters": 4,
    "ealn.generator.blocks": 1,
    "ealn.discriminator.filters": 4,
    "ealn.discriminator.layers": 1,
    "ealn.test_untrained": False,
    "ealn.diagnose_every": 0,
    "ealn.loggers": [],
    "ealn.render.preset": "",
}


def options_of(row, folder, **more):
    network = compared.network_of(row, "resnet_small")
    settings = {**SMALL, "model.name": network, "data.save_dir": str(folder), **more}
    return [item for setting in settings.items() for item in setting]


def configured(row, root, folder, **more):
    return configuration.load_config(f"compared/{row}.yaml", options_of(row, folder, **more), root=str(root))


def stop_at(monkeypatch, step):
    """Interrupt training in that step, counted from 1."""
    train_batch = EALNEngine.forward_backward

    def interrupting(self, data):
        if self.global_step == step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return train_batch(self, data)

    monkeypatch.setattr(EALNEngine, "forward_backward", interrupting)


@pytest.mark.parametrize("row", compared_rows())
def test_every_system(row, rendered_root, tmp_path, monkeypatch):
    expected = training.train(configured(row, rendered_root, tmp_path / "whole"), progress=False)[0]
    with monkeypatch.context() as patch, pytest.raises(TrainingInterrupted):
        stop_at(patch, 3)
        training.train(configured(row, rendered_root, tmp_path / "broken"), progress=False)
    again = {"model.resume": str(tmp_path / "broken")}
    assert training.train(configured(row, rendered_root, tmp_path / "broken", **again), progress=False)[0] == expected
    whole, resumed = (checkpoint.load(str(tmp_path / name / checkpoint.LAST)) for name in ("whole", "broken"))
    assert (
        flattened(whole["model"]) == flattened(resumed["model"]) and whole["global_step"] == resumed["global_step"] > 3
    )
    tested = {"test.evaluate": True, "model.resume": str(tmp_path / "whole")}
    again = training.train(configured(row, rendered_root, tmp_path / "tested", **tested), progress=False)[0]
    assert again["datasets"] == expected["datasets"]
    metrics = expected["datasets"]["veri776"]["veri_image"]
    assert 0 <= metrics["mAP"] <= 1 and json.loads((tmp_path / "whole" / "results.json").read_text())
    run = load_run(tmp_path / "whole")
    graph = graphs_of(run, metadata_of(run))[0]
    written = export_graph(graph, str(tmp_path), ["program"])
    assert written and run.embedding(torch.zeros(2, 3, 32, 32)).shape == (2, graph.dim)


@pytest.mark.parametrize("row", compared_rows())
def test_a_row_is_its_scheme_losses_and_network(row, tmp_path):
    own = compared.own_settings(row)
    assert own["ealn.scheme"] in configuration.COMPARED and configuration.NAMES[own["ealn.scheme"]]
    assert not [key for key in own if key.split(".")[0] not in ("ealn", "loss") or key.startswith("ealn.render.")]
    config = configuration.load_config(str(shipped_configs()[f"compared/{row}.yaml"]))
    assert len(build.build_schemes(config)) == 1 and isinstance(compared.uses_of(config), tuple)


def test_what_a_row_uses_of_a_test_image_is_what_its_schemes_say():
    def uses(scheme, *options):
        return compared.uses_of(configuration.load_config(options=["ealn.scheme", scheme, *options]))

    assert [uses(scheme) for scheme in compared.ABLATION] == [(), (), ("view",), ("view",)]
    assert uses("hdc") == uses("lsro") == () and uses("view", "ealn.fusion_weight", 0.0) == ()
    assert uses("view", "ealn.fusion_weight", -1.0) == ("view",)


def test_rows_share_everything_but_what_makes_them(tmp_path):
    options = ("train.max_epoch", 4, "model.name", "resnet50", "ealn.hdc.margin", 0.5)
    config = configuration.load_config("ealn_synthetic_grid.yaml", options)
    cells = compared.plan_rows(str(tmp_path), ("hdc", "hard", "en"), (1, 2), options, config)
    assert [(cell.scheme, cell.seed) for cell in cells] == [
        (row, seed) for seed in (1, 2) for row in ("en", "hard", "hdc")
    ]
    hdc = configuration.load_config("ealn_synthetic_grid.yaml", cells[2].options)
    en = configuration.load_config("ealn_synthetic_grid.yaml", cells[0].options)
    assert cells[2].label == "HDC + contrastive" and cells[1].start_from and not cells[2].start_from
    values = [configuration.flat(tree) for tree in (en, hdc)]
    differing = {key for key in values[0] if values[0][key] != values[1][key]}
    own = {"model.name", "data.save_dir", "ealn.scheme", "ealn.hdc.margin", "loss.triplet.weight_t"}
    assert differing <= own | {"loss.triplet.weight_x"}
    assert hdc.model.name == "hdc:resnet50" and hdc.ealn.hdc.margin == 0.5 and hdc.train.max_epoch == 4
    assert list(en.test.ranks) == list(compared.RANKS)


def test_the_order_is_that_of_the_papers_table():
    assert compared.in_order(["hard", "lsro", "en", "hdc", "mixed_diff"]) == ["mixed_diff", "hdc", "lsro", "en", "hard"]
    assert len(compared.in_order([*compared_rows(), *compared.ABLATION])) == len(compared_rows()) + 4


@pytest.mark.parametrize(
    "rows, message", [(("hdc",), "expected en among them"), (("en", "en"), "--rows are en en, expected each once")]
)
def test_tables_that_make_no_sense(rows, message):
    with pytest.raises(ValueError, match=message):
        compared.plan_rows("out", rows, (1,), (), configuration.load_config())
