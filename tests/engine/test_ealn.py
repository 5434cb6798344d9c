"""ealn_plugin/engine/ealn.py: a whole run inside torchreid, its files, its exact continuation, its refusals."""

import copy
import json
import os
import signal

import pytest
import torch

from ealn_plugin import EALNEngine, View, toolkit
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.monitoring.monitor import NonFiniteLossError
from ealn_plugin.engine.optimizers import rates_of
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.standins import TinyBackbone, build_datamanager, build_engine, small_schemes

QUIET = dict(progress=False, print_freq=2)


def run(engine, save_dir, max_epoch=3, **options):
    return engine.run(save_dir=str(save_dir), max_epoch=max_epoch, **{**QUIET, **options})


def weights(engine):
    schemes = {f"{s.name}.{name}": value for s in engine.schemes for name, value in s.state_dict().items()}
    return {**engine.model.state_dict(), **schemes}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("names", [(), ("hard",), ("view",), ("hard", "view"), ("cyclegan",), ("hard", "stargan")])
def test_schemes_train(datamanager, tmp_path, names):
    engine = build_engine(datamanager, names)
    before = copy.deepcopy(weights(engine))
    results = run(engine, tmp_path)
    assert results["primary"] == "veri776/veri_image"
    for part in ("datasets", "untrained"):
        metrics = results[part]["veri776"]["veri_image"]
        assert {"mAP", "rank1", "rank5", "rank10"} <= set(metrics) and 0 < metrics["mAP"] <= 1
    json.dumps(results)
    changed = [name for name, value in weights(engine).items() if not torch.equal(value, before[name])]
    assert {name.split(".")[0] for name in changed} >= {"conv", *names}
    fused = {"view", "cyclegan", "stargan"} & set(names)
    assert set(engine.own_results) == ({"veri776"} if fused else set())
    files = {os.path.relpath(os.path.join(folder, f), tmp_path) for folder, _, fs in os.walk(tmp_path) for f in fs}
    expected = {
        "checkpoint_last.pth.tar",
        "checkpoint_best.pth.tar",
        "model/model-last.pth.tar",
        "model/model-best.pth.tar",
    }
    if names:
        expected |= {f"samples/epoch_00{epoch}.png" for epoch in (1, 2, 3)}
        expected |= {f"diagnostics/epoch_00{epoch}.npz" for epoch in (1, 2, 3)} | {"diagnostics.csv"}
    assert {f for f in files if not f.startswith("events")} == expected
    assert any(f.startswith("events") for f in files)


def test_the_same_seed_gives_the_same_run(datamanager, tmp_path):
    engines = [build_engine(datamanager) for _ in range(2)]
    results = [run(engine, tmp_path / str(i)) for i, engine in enumerate(engines)]
    assert_same(*(weights(engine) for engine in engines))
    assert results[0] == results[1]


REMEDIES = dict(degrade=1.0, scheme_options=dict(reconstructions=True, adaptive_weight=0.1, residual=False))


@pytest.mark.parametrize(
    "stop_at, more",
    [
        (1, {}),
        (4, {}),
        (6, {}),
        (9, {}),
        (6, dict(names=("hard", "stargan"))),
        (9, dict(names=("stargan",))),
        (9, dict(names=("xvgan",))),
        (9, dict(names=("vami",))),
        (9, dict(names=("hard",), **REMEDIES)),
        (5, dict(names=("mix", "perturb"))),
    ],
)
def test_interrupted_and_resumed_is_the_same_run(veri_root, tmp_path, stop_at, more):
    manager = build_datamanager(veri_root, transforms=["random_flip", "color_jitter", "random_erase"])
    options = dict(warmup_epochs=1, warmup_generator_epochs=1, triplets="random", discriminator_steps=2, **more)
    whole = build_engine(manager, **options)
    expected = run(whole, tmp_path / "whole", eval_freq=1)

    broken, step = build_engine(manager, **options), [0]
    train_batch = broken.forward_backward

    def interrupting(data):
        step[0] += 1
        if step[0] == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return train_batch(data)

    broken.forward_backward = interrupting
    with pytest.raises(TrainingInterrupted, match=f"after step {stop_at}, everything is saved in "):
        run(broken, tmp_path / "broken", eval_freq=1)

    resumed = build_engine(
        build_datamanager(veri_root, transforms=["random_flip", "color_jitter", "random_erase"]), **options
    )
    torch.manual_seed(99)
    results = run(resumed, tmp_path / "broken", eval_freq=1, resume=str(tmp_path / "broken"))
    assert results == expected
    assert_same(weights(whole), weights(resumed))
    files = [checkpoint.load(str(tmp_path / name / checkpoint.LAST)) for name in ("whole", "broken")]
    assert_same_tree(*files)
    for pattern in ("diagnostics.csv", "diagnostics/*.npz", "samples/*.png"):
        there = [
            {path.name: path.read_bytes() for path in (tmp_path / name).glob(pattern)} for name in ("whole", "broken")
        ]
        assert there[0] == there[1] and len(there[0]) > 0


def assert_same_tree(a, b, path=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same_tree(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same_tree(x, y, f"{path}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    else:
        assert a == b, path


def test_checkpoints_inside_an_epoch(datamanager, tmp_path, monkeypatch):
    saved, save = [], state.save
    monkeypatch.setattr(
        state,
        "save",
        lambda engine, folder, epoch, position: (
            saved.append((epoch, position)) or save(engine, folder, epoch, position)
        ),
    )
    engine = build_engine(datamanager)
    run(engine, tmp_path, max_epoch=2, checkpoint_every=2)
    ends = [entry for entry in saved if entry[1] == 0]
    assert ends == [(1, 0), (2, 0)] and (0, 2) in saved


def test_resuming_a_finished_run_returns_its_results(datamanager, tmp_path):
    expected = run(build_engine(datamanager), tmp_path)
    again = build_engine(datamanager)
    assert run(again, tmp_path, resume=str(tmp_path)) == expected
    assert again.global_step > 0


def test_testing_alone_loads_the_networks(datamanager, tmp_path):
    trained = build_engine(datamanager)
    expected = run(trained, tmp_path)
    tester = EALNEngine(datamanager, TinyBackbone(datamanager.num_train_pids), schemes=small_schemes(), use_gpu=False)
    results = tester.run(save_dir=str(tmp_path), test_only=True, resume=str(tmp_path), progress=False)
    assert results == expected
    visualized = tester.run(save_dir=str(tmp_path), test_only=True, visrank=True, visrank_topk=3, progress=False)
    assert visualized["datasets"] == expected["datasets"]
    assert len(list((tmp_path / "visrank_veri776").iterdir())) == 8


def test_torchreids_own_tools_load_the_network(datamanager, tmp_path):
    engine = build_engine(datamanager)
    run(engine, tmp_path)
    path = str(tmp_path / "model" / "model-last.pth.tar")
    other = TinyBackbone(datamanager.num_train_pids)
    toolkit.torchreid.utils.load_pretrained_weights(other, path)
    assert_same(engine.model.state_dict(), other.state_dict())
    again = TinyBackbone(datamanager.num_train_pids)
    optimizer = torch.optim.SGD(again.parameters(), lr=0.05, momentum=0.9)
    assert toolkit.torchreid.utils.resume_from_checkpoint(path, again, optimizer) == 3
    assert_same(engine.model.state_dict(), again.state_dict())


@pytest.mark.parametrize("name", ["multi_step", "single_step", "cosine"])
def test_torchreids_schedulers_survive_a_checkpoint(datamanager, tmp_path, name):
    def build():
        engine = build_engine(datamanager, ("hard",))
        engine.scheduler = toolkit.build_lr_scheduler(
            engine.optimizer, lr_scheduler=name, max_epoch=3, stepsize=[1, 2] if name == "multi_step" else 1
        )
        engine.register_model("model", engine.model, engine.optimizer, engine.scheduler)
        return engine

    engine = build()
    run(engine, tmp_path, max_epoch=2)
    resumed = build()
    state.restore(resumed, str(tmp_path / checkpoint.LAST))
    assert resumed.get_current_lr() == engine.get_current_lr() < 0.05
    assert resumed.epoch == 2


def test_adversaries_follow_the_papers_schedule(datamanager, tmp_path):
    engine, rates = build_engine(datamanager, gan_lr=0.001), []
    train = engine.train
    engine.train = lambda **given: (train(**given), rates.append(rates_of(engine.adversaries)["generators"]))
    run(engine, tmp_path, max_epoch=5, test_untrained=False)
    assert rates == pytest.approx([0.001, 0.001, 0.001, 0.001 * 2 / 3, 0.001 / 3])


def test_the_remaining_time_knows_the_stages(datamanager, tmp_path):
    """A generators' step is not priced as one of D_emb; EN has no steps where only generators learn."""
    for schemes, kinds in ((("hard",), ["embedding", "generators", "joint"]), ((), ["embedding", "", "joint"])):
        engine = build_engine(datamanager, schemes, warmup_epochs=1, warmup_generator_epochs=1)
        run(engine, tmp_path / str(len(schemes)), max_epoch=3, test_untrained=False)
        assert engine.monitor._remaining.kinds == kinds


def test_warmup_trains_in_stages(datamanager, tmp_path):
    engine, stages = build_engine(datamanager, warmup_epochs=2), []
    train_batch = engine.forward_backward
    engine.forward_backward = lambda data: (stages.append(engine.stage.name), train_batch(data))[1]
    run(engine, tmp_path, max_epoch=4, test_untrained=False)
    assert list(dict.fromkeys(stages)) == ["embedding", "generators", "joint"]


def test_a_loss_that_becomes_nan_keeps_the_last_good_checkpoint(datamanager, tmp_path):
    engine = build_engine(datamanager)
    run(engine, tmp_path, max_epoch=1)
    good = (tmp_path / checkpoint.LAST).read_bytes()
    broken = build_engine(datamanager)
    train_batch = broken.forward_backward

    def poisoned(data):
        values = train_batch(data)
        return {**values, "loss/E_hard": values["loss/E_hard"] * float("nan")}

    broken.forward_backward = poisoned
    with pytest.raises(NonFiniteLossError, match="loss/E_hard became nan"):
        run(broken, tmp_path, resume=str(tmp_path), checkpoint_every=1)
    assert (tmp_path / checkpoint.LAST).read_bytes() == good


def test_weights_that_are_not_finite_are_never_saved(datamanager, tmp_path):
    engine = build_engine(datamanager)
    run(engine, tmp_path, max_epoch=1)
    good = (tmp_path / checkpoint.LAST).read_bytes()
    with torch.no_grad():
        engine.schemes[0].generators["hard"].last.bias[0] = float("inf")
    with pytest.raises(checkpoint.CheckpointError, match="scheme 'hard' holds values that are not finite"):
        state.save(engine, str(tmp_path), 1, 0)
    assert (tmp_path / checkpoint.LAST).read_bytes() == good


def test_a_checkpoint_of_other_schemes_or_networks(datamanager, tmp_path):
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=1)
    with pytest.raises(checkpoint.CheckpointError, match=r"schemes \['hard'\], this run has none \(en\)"):
        run(build_engine(datamanager, ()), tmp_path, resume=str(tmp_path))
    other = EALNEngine(
        datamanager, TinyBackbone(datamanager.num_train_pids, dim=4), schemes=small_schemes(["hard"]), use_gpu=False
    )
    with pytest.raises(checkpoint.CheckpointError, match="another architecture: embedding network layer"):
        other.run(test_only=True, resume=str(tmp_path), progress=False)


def test_other_settings_are_said_when_resuming(datamanager, tmp_path, caplog):
    run(build_engine(datamanager, ("hard",)), tmp_path, max_epoch=1)
    run(build_engine(datamanager, ("hard",), seed=2), tmp_path, max_epoch=2, resume=str(tmp_path))
    assert "other settings (seed 1 -> 2, epochs 1 -> 2)" in caplog.text


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(margin=5), "margin is 5"),
        (dict(triplets="easy"), "triplets is 'easy'"),
        (dict(distance="l1"), "distance is"),
        (dict(fusion="mean"), "fusion is 'mean'"),
        (dict(gan_optim="lion"), "gan_optim is 'lion'"),
        (dict(fake_statistics="none"), "fake_statistics"),
        (dict(norm_mean=[0.5], norm_std=[0.5]), "norm_mean is"),
    ],
)
def test_options_out_of_range(datamanager, options, message):
    with pytest.raises(ValueError, match=message):
        build_engine(datamanager, **options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(max_epoch=0), "max_epoch is 0"),
        (dict(start_epoch=1), "start_epoch is 1"),
        (dict(visrank=True), "visrank is True while training"),
        (dict(resume="nowhere"), "no such file or folder"),
    ],
)
def test_runs_that_cannot_start(datamanager, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(build_engine(datamanager), tmp_path, **options)


def test_a_warmup_longer_than_the_run(datamanager, tmp_path):
    with pytest.raises(ValueError, match="warmup_epochs 3 and warmup_generator_epochs 1 leave no joint epoch"):
        run(build_engine(datamanager, warmup_epochs=3), tmp_path, max_epoch=4)


def test_a_save_dir_that_cannot_be_made(datamanager, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="save_dir .* cannot be created .*data.save_dir"):
        run(build_engine(datamanager), tmp_path / "file" / "run")


def test_cross_view_without_labels(datamanager, tmp_path):
    with pytest.raises(ValueError, match="of 36 images 0 are front and 0 are rear"):
        run(build_engine(datamanager, views={}), tmp_path)


def test_views_may_be_given_by_hand(datamanager, tmp_path):
    items = datamanager.train_loader.dataset.train
    views = {path: View.FRONT if number % 2 else View.REAR for number, (path, *_) in enumerate(items)}
    engine = build_engine(datamanager, ("view",), views=views)
    assert engine.views_of([items[0][0], items[1][0], "elsewhere"]).tolist() == [View.REAR, View.FRONT, View.UNKNOWN]


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("pcb_p4", dict(loss="triplet"), "several branches"),
        ("hacnn", dict(loss="triplet"), "hacnn|HACNN"),
        ("resnet18", dict(loss="softmax"), "loss='triplet'"),
    ],
)
def test_backbones_that_do_not_fit(veri_root, name, options, message):
    manager = build_datamanager(veri_root, height=160, width=64)
    model = toolkit.build_model(name, manager.num_train_pids, use_gpu=False, **options)
    with pytest.raises(ValueError, match=message):
        EALNEngine(manager, model, use_gpu=False)


def test_what_is_not_a_scheme(datamanager):
    with pytest.raises(ValueError, match="expected instances of ealn_plugin.schemes"):
        EALNEngine(datamanager, TinyBackbone(6), schemes=["hard"], use_gpu=False)
    with pytest.raises(ValueError, match="each kind at most once"):
        EALNEngine(datamanager, TinyBackbone(6), schemes=small_schemes(["hard"]) * 2, use_gpu=False)


def test_a_torchreid_backbone_trains_through_the_public_api(veri_root, tmp_path):
    torchreid = toolkit.torchreid
    manager = build_datamanager(veri_root, height=64, width=64)
    model = torchreid.models.build_model(
        "osnet_x0_25", num_classes=manager.num_train_pids, loss="triplet", pretrained=False
    )
    before = copy.deepcopy(model.state_dict())
    optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=0.0003)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="single_step", stepsize=1)
    engine = torchreid.engine.EALNEngine(manager, model, optimizer, scheduler, small_schemes(["hard"]), use_gpu=False)
    results = run(engine, tmp_path, max_epoch=2, fixbase_epoch=1, open_layers=["classifier"])
    assert results["datasets"]["veri776"]["veri_image"]["mAP"] > 0
    assert not torch.equal(before["conv1.conv.weight"], model.state_dict()["conv1.conv.weight"])


@pytest.mark.parametrize("name", ["ImageTripletEngine", "ImageSoftmaxEngine"])
def test_torchreids_own_engines_train_on_our_datasets(veri_root, tmp_path, name):
    torchreid = toolkit.torchreid
    manager = build_datamanager(veri_root, height=64, width=64)
    loss = "triplet" if "Triplet" in name else "softmax"
    model = torchreid.models.build_model("osnet_x0_25", manager.num_train_pids, loss=loss, pretrained=False)
    before = copy.deepcopy(model.state_dict())
    optimizer = torchreid.optim.build_optimizer(model)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, stepsize=1)
    engine = getattr(torchreid.engine, name)(manager, model, optimizer, scheduler=scheduler, use_gpu=False)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert not torch.equal(before["conv1.conv.weight"], model.state_dict()["conv1.conv.weight"])
