"""ealn_plugin/commands/arguments.py: the setting that an unknown flag may mean, and flags as settings."""

import argparse

import pytest

from ealn_plugin.commands.arguments import positive, run_settings, setting_meant


@pytest.mark.parametrize(
    "flag, arguments, expected",
    [
        ("--max-epoch", ["--max-epoch", "5"], "train.max_epoch 5"),
        ("--max_epoch=5", [], "train.max_epoch 5"),
        ("--max-epochs", ["--max-epochs", "7"], "train.max_epoch 7"),
        ("--train.lr", ["--train.lr", "0.1"], "train.lr 0.1"),
        ("--scheme", ["--scheme", "-s"], "ealn.scheme VALUE"),
        ("--resume", ["--resume", "log/a"], "model.resume log/a"),
        ("--bananas", ["--bananas", "3"], None),
    ],
)
def test_the_setting_that_a_flag_may_mean(flag, arguments, expected):
    said = setting_meant(flag, arguments)
    assert said == "" if expected is None else f"did you mean {expected}" in said


def test_flags_that_were_not_given_are_no_settings():
    given = dict(targets=None, data=[], root="", workers=0, device="cpu")
    assert run_settings(argparse.Namespace(**given), test__ranks=[1], test__rerank=None) == [
        "data.workers",
        0,
        "test.ranks",
        [1],
        "use_gpu",
        False,
    ]


def test_numbers_below_one_are_refused():
    assert positive("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="0 is not at least 1"):
        positive("0")
