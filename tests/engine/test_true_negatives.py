"""Training on the renderer's own hard negatives: which pictures arrive, resuming, several processes, none at all."""

import pytest
import torch

from ealn_plugin import config
from ealn_plugin.data.lookalike_lists import lookalikes_of
from ealn_plugin.runs import build
from ealn_plugin.system.interrupts import TrainingInterrupted
from tests.helpers.standins import build_datamanager, build_engine, render_small


def engine_on(root, names=("truth",), **options):
    manager = build_datamanager(root, transforms=["random_flip", "random_erase"])
    return build_engine(manager, names, **options)


def run(engine, folder, epochs=3, **options):
    return engine.run(save_dir=str(folder), max_epoch=epochs, progress=False, test_untrained=False, **options)


def weights(engine):
    return torch.cat([value.double().flatten() for value in engine.model.state_dict().values()])


def test_every_image_comes_with_one_of_its_lookalikes(rendered_root, tmp_path):
    engine, seen = engine_on(rendered_root, warmup_epochs=1), []
    train = engine.step

    def step(images, batch, stage):
        seen.append((stage.name, batch))
        return train(images, batch, stage)

    engine.step = step
    engine.run(save_dir=str(tmp_path), max_epoch=3, progress=False)
    assert {stage for stage, _ in seen} == {"embedding", "joint"}
    shares = []
    for _, batch in seen:
        assert (
            batch.companions["lookalike"].shape == batch.images.shape
            and batch.companions["lookalike"].abs().max() <= 1.0001
        )
        apart = (batch.images - batch.companions["lookalike"]).abs().amax(1) > 0.1
        shares += apart.double().mean((1, 2)).tolist()
    assert 0 < min(shares) and max(shares) < 0.5, "the same shot, other marks"


def test_donors_are_of_the_view_and_augmented_as_their_image(rendered_root, tmp_path):
    manager = build_datamanager(rendered_root, transforms=["random_flip"])
    options = dict(donors=2, neutral="own", candidates=1)
    engine, seen = build_engine(manager, ("paste",), scheme_options=options), []
    train = engine.step
    engine.step = lambda images, batch, stage: seen.append(batch) or train(images, batch, stage)
    run(engine, tmp_path, 1)
    lists = engine.epochs.companions
    items = {item[0]: item for item in manager.train_loader.dataset.data}
    assert set(lists["donor"]) == set(lists["own"]) == set(items)
    for path, item in items.items():
        assert len(lists["donor"][path]) <= 2 and all(items[other][1] != item[1] for other in lists["donor"][path])
        assert all(items[other][1] == item[1] for other in lists["own"][path])
    for batch in seen:
        assert batch.companions["donor"].shape == batch.companions["own"].shape == batch.images.shape
        nearer = (batch.images - batch.companions["own"]).abs().mean() < (
            batch.images - batch.images.flip(3)
        ).abs().mean()
        assert nearer, "an own image that is not flipped as the image is would be farther than its mirror image"


def test_lookalikes_are_cached_where_images_are(rendered_root, tmp_path):
    options = [
        "data.root",
        str(rendered_root),
        "data.height",
        24,
        "data.width",
        24,
        "data.workers",
        0,
        "train.batch_size",
        8,
    ]
    options += ["sampler.num_instances", 2, "ealn.cache_dir", str(tmp_path), "ealn.scheme"]
    manager = build.build_datamanager(config.load_config(options=[*options, "hard_truth"]))
    reader = manager.train_loader.dataset.image_reader
    lists = lookalikes_of([item[0] for item in manager.train_loader.dataset.data])
    assert all(reader.caches[1].get(path) is not None for found in lists.values() for path in found)
    path = next(iter(lists.values()))[0]
    assert (reader.pixels(path) == reader.transform.decode(path)).all()
    manager = build.build_datamanager(config.load_config(options=[*options, "en"]))
    assert len(manager.train_loader.dataset.image_reader.caches) == 1


def test_an_epoch_of_en_is_the_same_with_and_without_lookalikes(rendered_root, tmp_path):
    plain, alongside = engine_on(rendered_root, ()), engine_on(rendered_root, ())
    alongside.epochs.companions = {
        "lookalike": lookalikes_of([item[0] for item in alongside.train_loader.dataset.data])
    }
    run(plain, tmp_path / "a", 1)
    alongside.epochs.companions, kept = {}, alongside.epochs.companions
    train = alongside.train

    def with_lookalikes(**options):
        alongside.epochs.companions = kept
        return train(**options)

    alongside.train = with_lookalikes
    run(alongside, tmp_path / "b", 1)
    assert torch.equal(weights(plain), weights(alongside))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(rendered_root, tmp_path):
    whole = engine_on(rendered_root)
    run(whole, tmp_path / "whole")
    stopped = engine_on(rendered_root)
    train_batch = stopped.forward_backward

    def stop_after_four(data):
        values = train_batch(data)
        if stopped.global_step == 3:
            stopped.world.any = lambda flag: True
        return values

    stopped.forward_backward = stop_after_four
    with pytest.raises(TrainingInterrupted):
        run(stopped, tmp_path / "stopped")
    resumed = engine_on(rendered_root)
    run(resumed, tmp_path / "stopped", resume=str(tmp_path / "stopped"))
    assert resumed.global_step == whole.global_step > 4
    assert torch.equal(weights(whole), weights(resumed))


def test_the_fakes_change_what_is_learned(rendered_root, tmp_path):
    ends = [engine_on(rendered_root, names) for names in ((), ("truth",))]
    for number, engine in enumerate(ends):
        run(engine, tmp_path / str(number), 1)
    assert not torch.equal(*map(weights, ends))


def losses_of(world, root):
    """Losses of the first batch as a process of a world computes them, on its part."""
    engine = engine_on(root, world=world)
    engine.epochs.companions = {"lookalike": lookalikes_of([item[0] for item in engine.train_loader.dataset.data])}
    engine.embedding.train()
    loader, _ = engine.epochs.epoch(0)
    return {name: float(value) for name, value in engine.forward_backward(next(iter(loader))).items()}


def test_two_processes_see_the_lookalikes_of_the_whole_batch(rendered_root, pair):
    from ealn_plugin.distributed.world import World

    alone = losses_of(World(), rendered_root)
    first, second = pair.run(losses_of, rendered_root)
    assert first == second == pytest.approx(alone, abs=1e-5)
    assert alone["loss/E_truth"] > 0


def test_without_lookalikes_a_run_ends_before_it_begins_and_says_what_to_do(tmp_path):
    root = render_small(tmp_path / "root")
    with pytest.raises(ValueError, match="has no lookalikes .*add_companions"):
        run(engine_on(root), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run(engine_on(root), tmp_path / "run", test_only=True)


def test_random_patch_would_mix_them_with_the_images(rendered_root, tmp_path):
    engine = build_engine(build_datamanager(rendered_root, transforms=["random_patch"]), ["truth"])
    with pytest.raises(ValueError, match="random_patch"):
        run(engine, tmp_path)


def test_a_configuration_renders_them(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(build, "render_dataset", lambda root, **options: f"{root}/VeRi")
    monkeypatch.setattr(build, "add_companions", lambda *arguments: calls.append(arguments))
    options = ["data.root", str(tmp_path), "ealn.render.preset", "tiny"]
    build.render_if_missing(config.load_config(options=options))
    build.render_if_missing(config.load_config(options=[*options, "ealn.render.lookalikes", 4]))
    assert calls == [(f"{tmp_path}/VeRi", 4)]
