"""ealn_plugin/engine/options.py: groups of options, and single ones by name."""

import dataclasses

import pytest

from ealn_plugin import config as configuration
from ealn_plugin.engine.options import (
    ENGINE_OPTIONS,
    RUN_OPTIONS,
    AdversaryOptions,
    LossOptions,
    MonitoringOptions,
    ScheduleOptions,
    gather,
)
from ealn_plugin.runs import build
from tests.helpers.standins import build_engine


def call(losses=None, schedule=None, seed=1, **options):
    return gather(call, {"losses": LossOptions, "schedule": ScheduleOptions}, vars_of(losses, schedule), options)


def vars_of(losses, schedule):
    return {"losses": losses, "schedule": schedule}


def test_single_options_take_the_place_of_what_a_group_says():
    assert call() == [LossOptions(), ScheduleOptions()]
    losses, schedule = call(LossOptions(margin=0.5, weight_t=2.0), weight_t=3.0, warmup_epochs=4)
    assert losses == LossOptions(margin=0.5, weight_t=3.0) and schedule.warmup == (4, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        losses.margin = 1.0


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(margn=1), "call has no option 'margn'; did you mean 'margin'"),
        (dict(sed=1), "call has no option 'sed'; did you mean 'seed'"),
        (dict(losses=3), "losses is 3, expected LossOptions, or its options by name"),
        (dict(schedule=LossOptions()), "schedule is LossOptions.*, expected ScheduleOptions"),
    ],
)
def test_what_does_not_exist_is_a_type_error_with_the_nearest_name(options, sentence):
    with pytest.raises(TypeError, match=sentence):
        call(**options)


@pytest.mark.parametrize(
    "kind, options, sentence",
    [
        (LossOptions, dict(margin=4.5), "margin is 4.5"),
        (LossOptions, dict(distance="cosine"), "distance is 'cosine'"),
        (LossOptions, dict(triplets="easy"), "triplets is 'easy'"),
        (AdversaryOptions, dict(fake_statistics="none"), "fake_statistics is 'none'"),
    ],
)
def test_values_out_of_range_are_refused(kind, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**options)


def test_an_engine_takes_groups_and_names(datamanager, tmp_path):
    engine = build_engine(
        datamanager, ("hard",), losses=LossOptions(margin=0.5), adversaries=AdversaryOptions(gan_lr=0.5), weight_x=2.0
    )
    assert engine.step.en["margin"] == 0.5 and engine.step.en["weight_x"] == 2.0 and engine.gan_lr == 0.5
    with pytest.raises(TypeError, match="EALNEngine has no option 'gan_rl'; did you mean 'gan_lr'"):
        build_engine(datamanager, ("hard",), gan_rl=0.5)
    with pytest.raises(TypeError, match="EALNEngine.run has no option 'eval_frq'; did you mean 'eval_freq'"):
        engine.run(save_dir=str(tmp_path), max_epoch=1, eval_frq=1)
    engine.run(save_dir=str(tmp_path), max_epoch=1, monitoring=MonitoringOptions(sample_every=0), progress=False)
    assert engine.untrained and not (tmp_path / "samples").exists()


def test_no_name_stands_for_two_options():
    names = [
        f.name for kinds in (ENGINE_OPTIONS, RUN_OPTIONS) for kind in kinds.values() for f in dataclasses.fields(kind)
    ]
    assert len(names) == len(set(names))


def test_every_option_has_a_key_and_the_defaults_agree_where_no_paper_speaks():
    config = configuration.load_config("", ["ealn.gan_beta1", 0.25, "ealn.constant_epochs", 3, "test.ranks", [1, 7]])
    groups = {**build.option_groups(ENGINE_OPTIONS, config), **build.option_groups(RUN_OPTIONS, config)}
    assert groups["adversaries"] == AdversaryOptions(gan_betas=(0.25, 0.999))
    assert groups["schedule"] == ScheduleOptions(constant_epochs=3) and groups["losses"] == LossOptions()
    assert groups["evaluation"].ranks == (1, 7) and groups["monitoring"] == MonitoringOptions(print_freq=20)
