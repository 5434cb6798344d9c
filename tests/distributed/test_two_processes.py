"""ealn_plugin/distributed/sharing.py: two processes with half the batch each are one process with all of it."""

import os
import signal

import pytest
import torch

from ealn_plugin.distributed.world import World
from ealn_plugin.engine import precision
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.engine.checks import check_training
from ealn_plugin.engine.monitoring.monitor import NonFiniteLossError
from ealn_plugin.evaluation import extraction
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.processes import Processes
from tests.helpers.standins import build_datamanager, build_engine

# Adam's first steps have the size of its rate whatever the gradient, also that of a bias before an instance
# normalization, whose gradient is nothing but rounding. So weights can be compared after SGD only.
SGD = dict(gan_optim="sgd", gan_lr=0.02)


def train(world, root, folder, names=("hard", "view"), max_epoch=1, go=None, run=None, kind=torch.float32, **options):
    """A run: {"weights", "values" of every step, "results", "own_results"}.

    Args:
        go: called with (engine, number of the step, values) after every step, returns the values.
        kind: type of all numbers. Rounding grows tenfold in a few steps of this game; in double precision what is
            left of it cannot be taken for another loss.
    """
    torch.set_default_dtype(kind)
    try:
        return _train(world, root, folder, names, max_epoch, go, run or {}, **options)
    finally:
        torch.set_default_dtype(torch.float32)


def _train(world, root, folder, names, max_epoch, go, run, **options):
    manager = build_datamanager(root, transforms=["random_flip", "color_jitter"])
    engine = build_engine(manager, names, world=world, **{**SGD, **options})
    values, step = [], engine.forward_backward

    def watched(data):
        found = step(data)
        values.append({name: float(value) for name, value in found.items()})
        return found if go is None else go(engine, len(values), found)

    engine.forward_backward = watched
    results = engine.run(save_dir=str(folder), max_epoch=max_epoch, print_freq=2, progress=False, **run)
    weights = {
        f"{scheme.name}.{name}": value for scheme in engine.schemes for name, value in scheme.state_dict().items()
    }
    return {
        "weights": {**engine.model.state_dict(), **weights},
        "values": values,
        "results": results,
        "own_results": engine.own_results,
    }


def assert_parity(found, expected, tolerance=1e-7):
    assert len(found["values"]) == len(expected["values"]) > 0
    for part in ("values", "weights"):
        torch.testing.assert_close(found[part], expected[part], rtol=tolerance, atol=tolerance)
    for part in ("results", "own_results"):  # ranks of test images: equal, not close
        assert found[part] == expected[part]


def assert_the_same(first, second):
    """Two processes of one run: bit for bit."""
    assert first["values"] == second["values"] and first["results"] == second["results"]
    assert [name for name, value in first["weights"].items() if not torch.equal(value, second["weights"][name])] == []


def test_two_processes_are_one(pair, veri_root, tmp_path):
    """Hard-View-EALN: losses of every step, weights and running statistics after them, results, files."""
    expected = train(World(), veri_root, tmp_path / "one")
    first, second = pair.run(train, veri_root, tmp_path / "two")
    assert_parity(first, expected, tolerance=1e-4)
    assert_the_same(first, second)
    files = [
        sorted(name for _, _, names in os.walk(tmp_path / folder) for name in names if not name.startswith("events"))
        for folder in ("one", "two")
    ]
    assert files[0] == files[1]
    assert len([name for name in os.listdir(tmp_path / "two") if name.startswith("events")]) == 1
    states = [checkpoint.load(str(tmp_path / folder / checkpoint.LAST)) for folder in ("one", "two")]
    assert states[0].keys() == states[1].keys() and states[0]["run"] == states[1]["run"]
    assert torch.equal(states[0]["choices"], states[1]["choices"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "names, options",
    [
        ((), {}),
        ((), dict(triplets="batch_hard")),
        (("hard",), {}),
        (("hard", "stargan"), dict(discriminator_steps=2, gan_lr=0.0002)),
        (("cyclegan",), {}),
        (("mix", "perturb"), {}),
        (("hdc",), dict(backbone="hdc:resnet_small")),
        (("gste", "lsro"), {}),
        (("edit",), dict(scheme_options=dict(choose="belt", pixel_weight=0.1))),
        (("edit", "paste"), dict(scheme_options=dict(gan_loss="lsgan"))),
        (("hard",), dict(degrade=0.5, scheme_options=dict(reconstructions=True, adaptive_weight=0.1, residual=False))),
        (
            ("hard", "view"),
            dict(
                triplets="all_active",
                fake_statistics="running",
                refresh_fakes=True,
                scheme_options=dict(negatives="semi_hard"),
            ),
        ),
        (("xvgan",), {}),
        (("vami",), dict(gan_lr=0.0002)),
    ],
)
def test_every_scheme_in_two_processes(pair, veri_root, tmp_path, names, options):
    options["kind"] = torch.float64
    expected = train(World(), veri_root, tmp_path / "one", names, 2, **options)
    first, second = pair.run(train, veri_root, tmp_path / "two", names, 2, **options)
    assert_parity(first, expected)
    assert_the_same(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("optimizers, epochs", [(dict(adam=True, gan_optim="adam", gan_lr=0.0002), 2), (SGD, 1)])
def test_osnet_in_two_processes(pair, veri_root, tmp_path, optimizers, epochs, channels_last):
    """Seven steps with Adam, three with SGD.

    A fresh OSNet magnifies any difference, in SGD's large steps up to a thousand times in each, and the rounding of
    float32 is enough to switch some of its rectifiers. Only double precision leaves room to compare weights.
    """
    options = dict(backbone="osnet_x0_25", channels_last=channels_last, kind=torch.float64, **optimizers)
    expected = train(World(), veri_root, tmp_path / "one", max_epoch=epochs, **options)
    first, second = pair.run(train, veri_root, tmp_path / "two", max_epoch=epochs, **options)
    assert len(first["values"]) == {1: 3, 2: 7}[epochs]
    assert_parity(first, expected)
    torch.testing.assert_close(first["values"][0], expected["values"][0], rtol=1e-12, atol=1e-12)  # nothing grew yet
    assert_the_same(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["", "osnet_x0_25"])
def test_mixed_precision_in_two_processes(pair, veri_root, tmp_path, backbone):
    """The first step's losses; float32 has others. Both processes stay the same to the end."""
    options = dict(backbone=backbone, run=dict(test_untrained=False))
    plain = train(World(), veri_root, tmp_path / "plain", **options)["values"][0]
    expected = train(World(), veri_root, tmp_path / "one", amp=True, **options)["values"][0]
    first, second = pair.run(train, veri_root, tmp_path / "two", amp=True, **options)
    torch.testing.assert_close(first["values"][0], expected, rtol=0.02, atol=0.02)
    assert first["values"][0] != plain
    assert_the_same(first, second)


def train_with_own_clocks(world, root, folder, **options):
    """A run of amp 'auto' in which bfloat16 seems fast to the main process and slow to the other."""
    real, able = precision.measure, precision.has_bfloat16

    def measured(engine, batch_size):
        return real(engine, batch_size)._replace(float32=1.0, bfloat16=0.5 if world.is_main else 2.0)

    precision.measure, precision.has_bfloat16 = measured, lambda: True
    try:
        return train(world, root, folder, amp="auto", **options)
    finally:
        precision.measure, precision.has_bfloat16 = real, able


def test_the_main_process_chooses_the_precision_of_all(pair, veri_root, tmp_path):
    options = dict(run=dict(test_untrained=False))
    expected = pair.run(train, veri_root, tmp_path / "plain", amp=True, **options)
    found = pair.run(train_with_own_clocks, veri_root, tmp_path / "auto", **options)
    assert_the_same(*found)
    for one, other in zip(found, expected):  # the measurement itself has left nothing behind
        assert_the_same(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, options",
    [("eager", dict(kind=torch.float64)), ("aot_eager", dict(kind=torch.float64)), ("aot_eager", dict(amp=True))],
)
def test_compiled_networks_in_two_processes(pair, veri_root, tmp_path, backend, options):
    """They train as two processes do without torch.compile; in mixed precision the first step's losses are compared."""
    options = dict(run=dict(test_untrained=False), **options)
    expected = pair.run(train, veri_root, tmp_path / "plain", **options)
    found = pair.run(train, veri_root, tmp_path / "compiled", compile=backend, **options)
    if "amp" in options:
        torch.testing.assert_close(found[0]["values"][0], expected[0]["values"][0], rtol=0.02, atol=0.02)
    else:
        assert_parity(found[0], expected[0])
    assert_the_same(*found)


@pytest.mark.slow
def test_adams_losses_are_those_of_one_process(pair, veri_root, tmp_path):
    expected = train(World(), veri_root, tmp_path / "one", gan_optim="adam", gan_lr=0.0002)
    for found in pair.run(train, veri_root, tmp_path / "two", gan_optim="adam", gan_lr=0.0002):
        torch.testing.assert_close(found["values"], expected["values"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_without_synchronised_statistics_the_processes_still_agree(pair, veri_root, tmp_path):
    first, second = pair.run(train, veri_root, tmp_path, sync_norm=False)
    assert_the_same(first, second)


def stop_at(step, rank=None):
    """Have the process ``rank`` receive SIGTERM in a step."""

    def go(engine, number, values):
        if number == step and engine.world.rank == (rank or 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return values

    return go


def interrupted(world, root, folder, step, rank, **options):
    """The message of a run that one of its processes is asked to stop in a step."""
    try:
        train(world, root, folder, go=stop_at(step, rank), **options)
    except TrainingInterrupted as stop:
        return str(stop)


def test_all_processes_stop_at_the_same_step(pair, veri_root, tmp_path):
    messages = pair.run(interrupted, veri_root, tmp_path, 2, 1, names=("hard",), run=dict(test_untrained=False))
    assert messages == [f"stopped after step 2, everything is saved in {tmp_path}"] * 2
    state = checkpoint.load(str(tmp_path / checkpoint.LAST))
    assert (state["epoch"], state["position"], state["global_step"]) == (0, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["two", "one"])
def test_a_run_goes_on_with_another_number_of_processes(pair, veri_root, tmp_path, before):
    """Stopped inside the second epoch, in the joint stage; the position counts global batches."""
    options = dict(max_epoch=3, warmup_epochs=1, warmup_generator_epochs=0, kind=torch.float64)
    expected = train(World(), veri_root, tmp_path / "whole", **options)
    run = dict(resume=str(tmp_path / "broken"))
    if before == "two":
        pair.run(interrupted, veri_root, tmp_path / "broken", 6, 1, **options)
        found = [train(World(), veri_root, tmp_path / "broken", run=run, **options)]
    else:
        interrupted(World(), veri_root, tmp_path / "broken", 6, 0, **options)
        found = pair.run(train, veri_root, tmp_path / "broken", run=run, **options)
        assert_the_same(*found)
    assert len(found[0]["values"]) == len(expected["values"]) - 6
    expected["values"] = expected["values"][6:]
    assert_parity(found[0], expected)


def poisoned(world, root, folder):
    """The errors of a run in which a loss becomes NaN in all processes."""

    def poison(engine, number, values):
        return {**values, "loss/E": values["loss/E"] * float("nan")} if number == 2 else values

    try:
        train(world, root, folder, ("hard",), go=poison, run=dict(test_untrained=False))
    except NonFiniteLossError as error:
        return str(error)


def test_a_loss_that_is_not_finite_stops_all_processes(pair, veri_root, tmp_path):
    first, second = pair.run(poisoned, veri_root, tmp_path)
    assert first == second and "loss/E became nan in step 2" in first
    assert not (tmp_path / checkpoint.LAST).exists()


def masks(world, root, folder):
    """How often the processes draw the same mask, and the values of two equal runs."""
    drawn = []

    def run():
        manager = build_datamanager(root)
        engine = build_engine(manager, (), world=world)
        engine.model.register_forward_pre_hook(
            lambda module, inputs: drawn.append(torch.rand(1).item()) if module.training else None
        )
        values = []
        step = engine.forward_backward
        engine.forward_backward = lambda data: values.append(step(data)) or values[-1]
        engine.run(save_dir=folder, max_epoch=1, progress=False, test_untrained=False)
        return [float(value["loss/E"]) for value in values]

    return run(), run(), drawn


def test_dropout_differs_between_processes_and_comes_out_again(pair, veri_root, tmp_path):
    (values, again, first), (_, _, second) = pair.run(masks, veri_root, str(tmp_path))
    assert values == again and len(first) == len(second) > 2
    assert (
        first[: len(first) // 2] == first[len(first) // 2 :]
        and second[: len(second) // 2] == second[len(second) // 2 :]
    )
    assert not set(first) & set(second)


def features(world, root, names):
    """Features of all test images, in the main process."""
    engine = build_engine(build_datamanager(root, batch_size_test=5), names, world=world)
    engine.embedding.eval()
    with torch.no_grad():
        found = extraction.shared_features(engine.extraction, engine.test_loader["veri776"], "veri776", world, False)
    return [part and vars(part) for part in found]


@pytest.mark.parametrize("names", [(), ("view",)])
def test_shared_test_images_keep_their_order(pair, veri_root, names):
    expected = features(World(), veri_root, names)
    first, second = pair.run(features, veri_root, names)
    assert second == [None, None] and (expected[1] is None) == (first[1] is None) == (not names)
    for found, one in zip(first, expected):
        for name, value in (one or {}).items():
            if name == "embeddings":
                torch.testing.assert_close(torch.from_numpy(found[name]), torch.from_numpy(value))
            else:
                assert list(found[name]) == list(value), name


def test_fewer_test_images_than_processes(veri_root, monkeypatch):
    """A process without any image gives nothing, and is not missed."""
    engine = build_engine(build_datamanager(veri_root), ())
    loaders = {
        split: torch.utils.data.DataLoader(
            torch.utils.data.Subset(loader.dataset, range(1)), collate_fn=loader.collate_fn
        )
        for split, loader in engine.test_loader["veri776"].items()
    }
    engine.embedding.eval()
    parts = []
    for rank in (0, 1):
        world = World(rank, 2)
        monkeypatch.setattr(world, "gather_objects", lambda part: parts.append(part))
        with torch.no_grad():
            assert extraction.shared_features(engine.extraction, loaders, "veri776", world, False) == (None, None)
    assert parts[0] is None and len(parts[1][0]) == 2
    main = World(0, 2)
    monkeypatch.setattr(main, "gather_objects", lambda part: parts)
    own, fused = extraction.shared_features(engine.extraction, loaders, "veri776", main, False)
    assert own.is_query.tolist() == [True, False] and fused is None


def test_a_batch_that_the_processes_cannot_share(veri_root, tmp_path):
    engine = build_engine(build_datamanager(veri_root, batch_size_train=6), (), constant_epochs=0)
    engine.world, engine.max_epoch = World(0, 2), 1
    with pytest.raises(
        ValueError,
        match="train.batch_size is 6, which 2 processes cannot share equally in whole "
        "identities of sampler.num_instances 2",
    ):
        check_training(engine, False, None)


def lose(world, root, folder):
    """The error of the main process when the other one leaves in a step, and its own checkpoint."""

    def leave(engine, number, values):
        if number == 2 and not world.is_main:
            raise OSError("image 'a.jpg' cannot be read")
        return values

    train(world, root, folder, ("hard",), go=leave, run=dict(test_untrained=False, checkpoint_every=1))


def test_a_process_that_fails_ends_the_others_with_its_message(veri_root, tmp_path):
    """In a pool of its own, which does not survive it."""
    processes = Processes(2)
    answers = processes.end_with(lose, veri_root, tmp_path)
    processes.close()
    assert "OSError: image 'a.jpg' cannot be read" in answers[1]
    assert (
        "WorkerLostError: process 2 of 2 failed: image 'a.jpg' cannot be read; what was saved before is usable"
    ) in answers[0]
    assert checkpoint.load(str(tmp_path / checkpoint.LAST))["global_step"] in (1, 2)
