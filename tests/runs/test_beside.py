"""ealn_plugin/runs/beside.py: EN beside a run equals EN trained alone from the same warm-up; stopped, resumed."""

import json
import shutil

import pytest
import torch

from ealn_plugin import config
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.runs import beside, train
from tests.commands.test_train import SMALL


def load(root, folder, *options):
    every = [
        "data.root",
        str(root),
        *SMALL,
        "data.save_dir",
        str(folder),
        "ealn.warmup_epochs",
        1,
        "train.max_epoch",
        3,
    ]
    every += [
        "ealn.warmup_generator_epochs",
        0,
        "ealn.scheme",
        "en_paste",
        "ealn.beside",
        ["en"],
        "ealn.sample_every",
        0,
    ]
    return config.load_config(options=[*every, "ealn.test_untrained", False, *options])


def weights(folder):
    return checkpoint.load(str(folder / checkpoint.LAST))["model"]


def run(settings):
    results, _ = train.train(settings, progress=False)
    return results, beside.train_beside(settings, progress=False)


def test_en_beside_is_en_from_the_same_warm_up(veri_root, tmp_path):
    results, others = run(load(veri_root, tmp_path / "run"))
    assert set(others) == {"en"} and others["en"] == json.loads((tmp_path / "run" / "en" / "results.json").read_text())
    alone = ["ealn.scheme", "en", "ealn.beside", [], "ealn.start_from", str(tmp_path / "run" / checkpoint.WARMUP)]
    expected, _ = train.train(load(veri_root, tmp_path / "alone", *alone), progress=False)
    assert others["en"]["datasets"] == expected["datasets"] != results["datasets"]
    found, wanted = weights(tmp_path / "run" / "en"), weights(tmp_path / "alone")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    table = train.table(results, {}, others)
    assert "beside: en" in table and f"{100 * expected['datasets']['veri776']['cross_view']['mAP']:.1f}%" in table


def test_a_run_beside_is_gone_on_with(veri_root, tmp_path):
    settings = load(veri_root, tmp_path)
    _, first = run(settings)
    (tmp_path / "en" / "results.json").unlink()
    again = beside.train_beside(settings, progress=False)
    assert again["en"]["datasets"] == first["en"]["datasets"]
    assert not list(tmp_path.glob("en/earlier_*"))


def test_without_a_warm_up_to_share_nothing_is_trained_beside(veri_root, tmp_path, caplog):
    settings = load(veri_root, tmp_path)
    run(settings)
    shutil.rmtree(tmp_path / "en")
    (tmp_path / checkpoint.WARMUP).unlink()
    assert beside.train_beside(settings, progress=False) == {}
    assert "en is not trained beside: there is no checkpoint_warmup.pth.tar" in caplog.text


def test_gains_are_points_of_the_primary_protocol():
    def results(mean, first):
        return {"primary": "a/p", "datasets": {"a": {"p": {"mAP": mean, "rank1": first}, "q": {"mAP": 0, "rank1": 0}}}}

    (line,) = beside.gains(results(0.314, 0.2), {"en": results(0.3, 0.25)})
    assert line.startswith("above en from the same warm-up: mAP +1.4, rank 1 -5.0 (one seed")


@pytest.mark.parametrize(
    "options, message",
    [
        (["ealn.beside", ["EN"]], "ealn.beside holds 'EN'"),
        (["ealn.warmup_epochs", 0], "with ealn.warmup_epochs 0 there is no warm-up to share"),
    ],
)
def test_what_cannot_be_compared(veri_root, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load(veri_root, tmp_path, *options)


def test_the_own_scheme_is_not_trained_twice(veri_root, tmp_path):
    settings = load(veri_root, tmp_path, "ealn.beside", ["en_paste"], "ealn.warmup_epochs", 0)
    assert beside.train_beside(settings) == {}
